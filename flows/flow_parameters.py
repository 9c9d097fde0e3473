"""The values a flow is run with: the command line before the configuration file before the flow's defaults."""

import difflib
import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from flows.flow_options import Schema, model_schema
from llmops.errors import InputError

FieldPath = tuple[str, ...]
# A section that a file may have beside those of its flows: evaluation suites, see llmops.evaluation.suites.
SUITES = "suites"


@dataclass(frozen=True)
class ConfigSection:
    """One flow's section of a configuration file."""

    file: Path
    flow: str
    values: Mapping[str, Any]


def read_config(file: Path, flow: str, known_flows: Collection[str]) -> ConfigSection:
    """One flow's section of a YAML file that has a section for each flow it configures.

    Raises:
        InputError: the file is missing, is not YAML, has a section that is no flow, or none for this flow.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else str(file)
        raise InputError(f"{where}: not valid YAML ({getattr(error, 'problem', None) or 'unreadable'})") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{file}: a configuration file has one section a flow, such as `{flow}:`")
    for section in content:
        if section not in known_flows and section != SUITES:
            raise InputError(f"{file}: section {section!r} names no flow{_closest(str(section), known_flows)}")
    if flow not in content:
        raise InputError(f"{file}: no section {flow!r}; it has: {', '.join(content) or 'none'}")
    values = content[flow] if content[flow] is not None else {}
    if not isinstance(values, Mapping):
        raise InputError(f"{file}: section {flow!r} must hold the flow's parameters as `name: value` lines")
    return ConfigSection(file, flow, values)


def parameter_values(
    function: Callable[..., Any],
    schema: Schema,
    typed: Mapping[FieldPath, Any],
    config: ConfigSection | None,
) -> dict[str, Any]:
    """The checked arguments of a flow.

    Args:
        function: the flow's function; its annotations are what the values are checked against.
        schema: Prefect's schema of its parameters.
        typed: values of the command line, by field.
        config: the flow's section of a configuration file.

    Raises:
        InputError: a value is missing, unknown or of the wrong type; the message says which and where it was set.
    """
    definitions = schema.get("definitions", {})
    root = {"properties": schema.get("properties", {}), "additionalProperties": False}
    values: dict[str, Any] = {}
    if config is not None:
        _refuse_unknown(config, config.values, root, definitions, ())
        values = _merged({}, config.values, root, definitions)
    for path, value in typed.items():
        values = _merged(values, _nested(path, value), root, definitions)
    missing = [name for name in schema.get("required", []) if name not in values]
    if missing:
        flags = " and ".join("--" + name.replace("_", "-") for name in missing)
        raise InputError(f"{flags} must be given, on the command line or with --config FILE")
    return _checked(function, values, root, definitions, typed, config)


def _checked(
    function: Callable[..., Any],
    values: Mapping[str, Any],
    root: Schema,
    definitions: Schema,
    typed: Mapping[FieldPath, Any],
    config: ConfigSection | None,
) -> dict[str, Any]:
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function).parameters
    checked = {}
    for name, value in values.items():
        default = signature[name].default
        if isinstance(default, BaseModel) and isinstance(value, Mapping):
            # What nobody set stays as the flow's own default has it, not as the model's class has it.
            field = root["properties"][name]
            before = default.model_dump(exclude_unset=True)
            value = _merged({name: before}, {name: value}, {"properties": {name: field}}, definitions)[name]
        try:
            checked[name] = TypeAdapter(hints.get(name, Any)).validate_python(value)
        except ValidationError as error:
            raise InputError(_one_line(error, name, typed, config)) from error
    return checked


def _one_line(error: ValidationError, name: str, typed: Mapping[FieldPath, Any], config: ConfigSection | None) -> str:
    problem = error.errors(include_url=False)[0]
    path = (name, *(part for part in problem["loc"] if isinstance(part, str) and part.isidentifier()))
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message[:1].lower() + message[1:]
    given = problem["input"]
    shown = "" if isinstance(given, Mapping | BaseModel) else f" (given: {given!r})"
    return f"{_where_set(path, typed, config)}: {message}{shown}"


def _where_set(path: FieldPath, typed: Mapping[FieldPath, Any], config: ConfigSection | None) -> str:
    """The place a person has to change: an option, or a field of the file."""
    for given in typed:
        if path[: len(given)] == given or given[: len(path)] == path:
            return "--" + ".".join(given).replace("_", "-")
    if config is not None:
        return f"{config.file}: {'.'.join((config.flow, *path))}"
    return "--" + ".".join(path).replace("_", "-")


def _merged(below: Mapping[str, Any], above: Mapping[str, Any], model: Schema, definitions: Schema) -> dict[str, Any]:
    """`above` over `below`; models are merged field by field, any other value replaces what was there."""
    merged = dict(below)
    for name, value in above.items():
        inner = model_schema(model.get("properties", {}).get(name, {}), definitions)
        lower = merged.get(name)
        if inner is not None and isinstance(value, Mapping) and isinstance(lower, Mapping):
            merged[name] = _merged(lower, value, inner, definitions)
        else:
            merged[name] = value
    return merged


def _nested(path: FieldPath, value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return value  # type: ignore[no-any-return]


def _refuse_unknown(
    config: ConfigSection, values: Mapping[str, Any], model: Schema, definitions: Schema, path: FieldPath
) -> None:
    known = model.get("properties", {})
    for name, value in values.items():
        here = (*path, str(name))
        if name not in known:
            if model.get("additionalProperties"):
                continue
            field = ".".join((config.flow, *here))
            raise InputError(f"{config.file}: unknown field {field}{_closest(str(name), known)}")
        inner = model_schema(known[name], definitions)
        if inner is not None and isinstance(value, Mapping):
            _refuse_unknown(config, value, inner, definitions, here)


def _closest(name: str, known: Collection[str]) -> str:
    by_form = {one.replace("-", "_").lower(): one for one in known}
    close = difflib.get_close_matches(name.replace("-", "_").lower(), by_form, n=1)
    return f"; did you mean {by_form[close[0]]}?" if close else f"; there are: {', '.join(known)}"
