"""`llmops list …` and `llmops show …`: what the flows left, written for a person or as JSON."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.catalogue import find_flows
from flows.job_commands import described_job, jobs_table, list_jobs, show_job
from flows.mlflow_listings import list_models, list_runs, show_model, show_run
from flows.terminal import Terminal
from llmops.errors import LlmopsError
from llmops.settings import settings

Row = dict[str, Any]


def list_things(what: str, *, json: bool, package: str = "flows") -> int:
    """Print all things of a kind, ``flows``, ``datasets``, ``models``, ``runs`` or ``jobs``; return the exit status."""
    readers: dict[str, Callable[[], list[Row]]] = {
        "flows": lambda: [{"flow": flow.name, "does": flow.summary} for flow in find_flows(package).values()],
        "datasets": _datasets,
        "models": list_models,
        "runs": list_runs,
        "jobs": list_jobs,
    }
    terminal = _terminal(json, quiet=what != "flows")
    try:
        rows = readers[what]()
    except LlmopsError as error:
        terminal.error(str(error))
        return error.exit_status
    if json:
        terminal.print_json(to_json({what: rows}, inf_nan_mode="null").decode())
    elif rows:
        terminal.out.print(jobs_table(rows) if what == "jobs" else _table(rows))
    else:
        terminal.out.print(f"No {what} yet in {settings().home}.", soft_wrap=True)
    return 0


def show_thing(what: str, name: str, *, json: bool) -> int:
    """Print one ``dataset``, ``model``, ``run`` or ``job`` in full, and return the exit status: 2 if there is none."""
    terminal = _terminal(json, quiet=True)
    try:
        content = {"dataset": _dataset, "model": show_model, "run": show_run, "job": show_job}[what](name)
    except LlmopsError as error:  # said here, because the libraries' error stream leads into a file by now
        terminal.error(str(error))
        return error.exit_status
    if json:
        terminal.print_json(to_json(content, inf_nan_mode="null").decode())
    else:
        describe = {"dataset": _described_dataset, "job": described_job}.get(what, described)
        terminal.out.print(Group(*describe(content)), crop=False)  # commands are whole, to be copied
    return 0


def show_difference(new: str, old: str, *, json: bool) -> int:
    """Print what has to be done to the samples of one dataset version to get another's; return the exit status."""
    from llmops.data import DatasetStore
    from llmops.data.versions.changes import difference

    terminal = _terminal(json, quiet=True)
    store = DatasetStore(settings().home / "datasets")
    try:
        versions = [store.resolve(reference) for reference in (old, new)]
        found = difference(*map(store.batches, versions), names=(versions[0].uri, versions[1].uri))
    except LlmopsError as error:
        terminal.error(str(error))
        return error.exit_status
    if json:
        terminal.print_json(found.model_dump_json())
    else:
        terminal.out.print(found)
    return 0


def _terminal(json: bool, *, quiet: bool) -> Terminal:
    terminal = Terminal(json=json)
    if quiet and settings().home.is_dir():
        terminal.quiet_the_libraries(settings().home / "logs" / "listings.log")
    return terminal


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        # The first names the thing, and is there to be copied.
        table.add_column(column, overflow="fold", no_wrap=column == next(iter(rows[0])))
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row.values()))
    return table


def described(content: Row) -> list[RenderableType]:
    """Plain values first, then one table for each nested mapping or list of rows."""
    plain = {name: value for name, value in content.items() if not isinstance(value, dict | list)}
    parts: list[RenderableType] = [_pairs(plain)]
    for name, value in content.items():
        if isinstance(value, dict | list) and value:
            parts += ["", Text(name, style="bold")]
            if isinstance(value, dict):
                parts.append(_pairs(value))
            else:
                parts.append(_table(value) if isinstance(value[0], dict) else Text(cell(value)))
    return parts


def _pairs(values: Row) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, Text(cell(value)))
    return table


def cell(value: Any) -> str:
    """A value as a person reads it in a table."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell(one)}" for key, one in value.items())
    return ", ".join(map(cell, value)) if isinstance(value, list | tuple) else str(value)


def _datasets() -> list[Row]:
    from llmops.data import DatasetStore

    store = DatasetStore(settings().home / "datasets")
    latest = [store.versions(name)[-1] for name in store.names()]
    return [
        {
            "dataset": version.uri,
            "kind": version.kind,
            "samples": version.counts,
            "digest": version.digest[:16],
            "created": version.created_at,
        }
        for version in latest
    ]


def _dataset(reference: str) -> Row:
    from llmops.data import DatasetStore

    store = DatasetStore(settings().home / "datasets")
    version = store.resolve(reference)
    versions = [
        {
            "version": one.number,
            "parent": one.parent,
            "kind": one.kind,
            "samples": one.counts,
            "digest": one.digest[:16],
            "created": one.created_at,
            "made by": f"edit{': ' + one.edit.reason if one.edit.reason else ''}" if one.edit else "preparation",
        }
        for one in store.versions(version.name)
    ]
    return {"dataset": version.uri, **version.model_dump(), "versions": versions}


def _described_dataset(content: Row) -> list[RenderableType]:
    """A version in figures as its preparation showed them, then where it comes from, and what else there is."""
    from llmops.data.preparation.config import PreparationConfig
    from llmops.data.preparation.report import PreparationReport
    from tasks.dataset_summary import next_commands, report_summary

    plain = [name for name in ("kind", "created_at", "parent", "digest", "code_commit") if content[name] is not None]
    parts: list[RenderableType] = [Text(f"Dataset {content['dataset']}", "bold"), ""]
    parts.append(_pairs({name.replace("_", " "): content[name] for name in plain} | {"samples": content["counts"]}))
    if content["edit"]:
        parts += ["", Text("edit", "bold"), _pairs(content["edit"])]
    if content["report"]:
        parts += ["", Text("preparation", "bold")]
        parts.append(report_summary(PreparationReport.model_validate(content["report"])))
    chosen = _differing(content["config"], PreparationConfig().model_dump(mode="json"))
    tables = {"settings other than the defaults": _pairs(chosen)} if chosen else {}
    sources = [{**source, "digest": source["digest"][:16]} for source in content["sources"]]
    tables |= {name: _table(rows) for name, rows in (("sources", sources), ("versions", content["versions"])) if rows}
    for heading, table in tables.items():
        parts += ["", Text(heading, "bold"), table]
    commands = next_commands(content["dataset"], content["counts"])[1:]
    return [
        *parts,
        "",
        Text("go on with", "bold"),
        *(Text(f"  {line}", overflow="ignore", no_wrap=True) for line in commands),
    ]


def _differing(settings_of: Row, defaults: Row, prefix: str = "") -> Row:
    """The settings, nested ones under dotted names, that are not what they are when nobody sets them."""
    found: Row = {}
    for name, value in settings_of.items():
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict) and default:
            found |= _differing(value, default, f"{prefix}{name}.")
        elif value != default and not (name == "on_error" and value == "refuse"):
            found[f"{prefix}{name}"] = value
    return found
