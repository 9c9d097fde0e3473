"""Editing a dataset as a task: add and retire samples, publish the result as a version, and show what is different."""

from typing import Any

from mlflow import MlflowClient
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import ValidationError, field_serializer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from llmops.data.preparation.config import PreparationConfig
from llmops.data.samples import SPLITS
from llmops.data.versions.changes import VersionDifference, difference
from llmops.data.versions.edits import edit_samples
from llmops.data.versions.manifest import DatasetVersion, EditRecord
from llmops.errors import InputError
from llmops.names import require_name
from tasks.dataset_summary import next_commands
from tasks.datasets import dataset_store
from tasks.edit_sources import DatasetEdit, read_given
from tasks.progress import stage
from tasks.report import artifact_key, markdown_table, run_link
from tasks.results import FlowResult
from tasks.tracking import code_commit

NEW_ROWS_SHOWN = 5


class EditResult(FlowResult):
    """A version made by an edit, and how it differs from its parent.

    Attributes:
        dataset: the version that holds the result.
        parent: the version edited; none where the edit made the dataset.
        reused: the edit changed nothing, and `dataset` was there before.
        warnings: added rows that validation has doubts about, by rule.
    """

    dataset: str
    version: DatasetVersion
    parent: str | None
    edit: EditRecord
    difference: VersionDifference
    reused: bool
    warnings: dict[str, int]
    run_id: str

    @field_serializer("version")
    def _version_without_its_report(self, version: DatasetVersion) -> dict[str, Any]:
        # Where nothing was edited it is the version of a preparation, whose report `llmops show dataset` has.
        return version.model_dump(mode="json", exclude={"report"})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"Dataset {self.dataset}", "bold")
        if self.reused:
            yield Text("Nothing to change: no new version was published.", "yellow")
        yield Text(edit_sentence(self.edit))
        if self.warnings:
            yield Text(f"Validation warns of: {', '.join(f'{rule} {rows:,}' for rule, rows in self.warnings.items())}")
        yield ""
        yield self.difference
        yield Text("\nGo on with")
        for line in next_commands(self.dataset):
            yield Segment(f"  {line}\n")  # whole, to be copied, however narrow the terminal


def edit_sentence(edit: EditRecord) -> str:
    """What an edit did in one line.

    >>> edit_sentence(EditRecord(added=3, repeats=1))
    '3 added, 0 retired; 1 row was there already'
    """
    parts = [f"{edit.added:,} added, {edit.retired:,} retired"]
    if edit.repeats:
        parts.append(f"{edit.repeats:,} {'row was' if edit.repeats == 1 else 'rows were'} there already")
    if edit.twins:
        parts.append(f"{edit.twins:,} dropped that said nearly what another sample says")
    if edit.bridging:
        parts.append(f"{edit.bridging:,} dropped because two splits would have shared a group or a question")
    return "; ".join(parts)


def require_editable(edit: DatasetEdit) -> None:
    """Refuse an edit that cannot be meant, before anything is read or made.

    Raises:
        InputError: there is nothing to do, or no such dataset and no kind for a new one, or it is of another kind.
    """
    if not (edit.add or edit.retire or edit.add_failures):
        raise InputError("nothing to do: give --add, --retire or --add-failures")
    name = edit.name.partition("@")[0]
    require_name(name)
    parent = _parent(edit) if dataset_store().versions(name) or edit.kind is None else None
    if parent and edit.kind not in (None, parent.kind):
        raise InputError(f"{parent.uri} is a {parent.kind} dataset: leave --kind out, or choose another name")


@task(name="edit dataset", cache_policy=NO_CACHE)
def publish_edit(edit: DatasetEdit, run_id: str) -> EditResult:
    """Publish an edited version, leave the difference beside an MLflow run and as an artifact in Prefect.

    Edits of one dataset wait for each other, so that none is lost. One that changes nothing publishes nothing.

    Raises:
        InputError: a source or an id is wrong, an added row is faulty, or no sample would be left.
    """
    store = dataset_store()
    name = edit.name.partition("@")[0]
    with stage("Edit") as line, store.editing(name):
        parent = _parent(edit)
        config = preparation_config(parent)
        line.update(0, 3, "reading")
        given = read_given(edit, config)
        line.update(1, 3, f"{len(given.samples):,} rows to add, {len(given.retired):,} samples to retire")
        edited = edit_samples(
            store.batches(parent) if parent else (),
            added=given.samples,
            retired=given.retired,
            shares=_shares(edit, parent, config),
            seed=config.seed,
            duplicates=config.duplicates,
        )
        record = EditRecord(
            reason=edit.reason,
            added=len(edited.placed.samples),
            retired=len(edited.retired),
            repeats=edited.placed.repeats,
            twins=edited.placed.twins,
            bridging=edited.placed.bridging,
        )
        line.update(2, 3, "publishing")
        before = store.versions(name)
        version = store.publish(
            name,
            edited,
            kind=parent.kind if parent else edit.kind or "user",
            sources=given.sources,
            config=parent.config if parent else {},
            code_commit=code_commit(),
            parent=parent.number if parent else None,
            edit=record,
        )
        line.finish(f"{version.uri} · {edit_sentence(record)}")
    changes = difference(
        store.batches(parent) if parent else (),
        store.batches(version),
        names=(parent.uri if parent else "nothing", version.uri),
    )
    result = EditResult(
        dataset=version.uri,
        version=version,
        parent=parent.uri if parent else None,
        edit=record,
        difference=changes,
        reused=version in before,
        warnings=given.warnings,
        run_id=run_id,
    )
    MlflowClient().log_text(run_id, changes.model_dump_json(indent=2), "difference.json")
    create_markdown_artifact(
        edit_markdown(result),
        key=f"dataset-{artifact_key(name)}-edit",
        description=f"{version.uri}: {changes.sentence}",
    )
    return result


def preparation_config(version: DatasetVersion | None) -> PreparationConfig:
    """The configuration that the samples of a version were prepared with; the defaults where they were not.

    Raises:
        InputError: this release does not understand it.
    """
    if version is None:
        return PreparationConfig()
    try:
        return PreparationConfig.model_validate(
            {name: value for name, value in version.config.items() if name in PreparationConfig.model_fields}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{version.uri} was prepared with settings of another release ({where}: {first['msg']}); prepare it again"
        ) from error


def edit_markdown(result: EditResult) -> str:
    """An edit as markdown: why, what became of the rows, and the first samples of each sort."""
    changes = result.difference
    parts = [f"# {changes.old} → {changes.new}", edit_sentence(result.edit)]
    if result.edit.reason:
        parts.insert(1, f"> {' '.join(result.edit.reason.split())}")
    sorts = ("added", "removed", "changed", "moved", "unchanged")
    parts.append(markdown_table(["samples", "count"], [[sort, f"{getattr(changes, sort):,}"] for sort in sorts]))
    for sort in ("added", "removed"):
        samples = getattr(changes, f"{sort}_samples")[:NEW_ROWS_SHOWN]
        if samples:
            rows = [[one.split, one.input, one.expected] for one in samples]
            parts += [f"## {sort}", markdown_table(["split", "input", "expected"], rows)]
    sources = [[source.path, f"{source.rows:,}", source.digest[:16]] for source in result.version.sources]
    if sources:
        parts.append(markdown_table(["source", "rows", "SHA-256"], sources))
    return "\n\n".join([*parts, f"MLflow run {run_link(result.run_id)}."])


def _parent(edit: DatasetEdit) -> DatasetVersion | None:
    store = dataset_store()
    name, _, number = edit.name.partition("@")
    if not number and edit.kind and not store.versions(name):
        return None
    try:
        parent = store.resolve(edit.name)
        if parent.number != (latest := store.resolve(name)).number:
            raise InputError(
                f"{parent.uri} is not the latest version, and an edit of it would lose what {latest.uri} changed; "
                f"name {name}"
            )
        return parent
    except InputError as error:
        if store.versions(name):
            raise
        raise InputError(f"{error}; to make it, say with --kind what it is for (regression, golden, …)") from error


def _shares(edit: DatasetEdit, parent: DatasetVersion | None, config: PreparationConfig) -> dict[str, float]:
    """Into which splits rows go that nothing ties to one: a training set is split, what measures is all test.

    It is split by the hash, also where the preparation split by class or time.
    """
    if edit.split:
        return {edit.split: 1.0}
    if (parent.kind if parent else edit.kind) != "user":
        return {"test": 1.0}
    shares = dict(zip(SPLITS, config.ratios, strict=True))
    if parent and parent.config.get("test_source"):
        del shares["test"]
    return shares
