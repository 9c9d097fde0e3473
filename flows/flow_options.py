"""A flow's parameters as options of a command, made from the JSON schema that Prefect keeps for every flow.

A nested pydantic model becomes dotted options (`--training.learning-rate 0.001`), a list may be repeated or
separated by commas, a choice lists its choices, and a boolean is `--x/--no-x`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click
import yaml

from llmops.errors import InputError

Schema = Mapping[str, Any]
Kind = Literal["text", "choice", "number", "switch", "list", "mapping", "anything"]

# A model within a model within a parameter is as deep as anyone wants to type.
DEEPEST = 3


@dataclass(frozen=True)
class FlowOption:
    """One option: the field it sets, and how a person writes its value."""

    path: tuple[str, ...]
    kind: Kind
    schema: Schema
    default: Any
    required: bool
    nullable: bool

    @property
    def flag(self) -> str:
        """What is typed, e.g. ``--training.learning-rate``."""
        return "--" + ".".join(self.path).replace("_", "-")

    @property
    def section(self) -> str:
        """The parameter whose part it is, or nothing for a parameter itself."""
        return self.path[0] if len(self.path) > 1 else ""

    def read(self, raw: Any) -> Any:
        """The value that was typed, as plain data; pydantic checks it later.

        Raises:
            InputError: it is meant to be structured and cannot be read.
        """
        if self.kind == "switch":
            return raw
        if self.kind == "list":
            return [item for text in raw for item in self._items(text)]
        if self.nullable and raw in ("null", "none"):
            return None
        if self.kind == "mapping":
            return self._mapping(raw)
        return self._structure(raw) if self.kind == "anything" else raw

    def _items(self, text: str) -> list[Any]:
        if text.lstrip().startswith("["):
            return list(self._structure(text))
        return [item.strip() for item in text.split(",") if item.strip()]

    def _mapping(self, text: str) -> Any:
        if text.lstrip().startswith("{"):
            return self._structure(text)
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise InputError(f"{self.flag}: write name=value,name=value instead of {text!r}")
        return {name.strip(): value.strip() for name, _, value in pairs}

    def _structure(self, text: str) -> Any:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"{self.flag}: {text!r} cannot be read as YAML") from error


def options_of(parameters: Schema) -> list[FlowOption]:
    """The options of a flow, from the schema of its parameters."""
    definitions = parameters.get("definitions", {})
    required = parameters.get("required", [])
    return [
        option
        for name, schema in parameters.get("properties", {}).items()
        for option in _options((name,), schema, definitions, schema.get("default"), name in required)
    ]


def model_schema(schema: Schema, definitions: Schema) -> Schema | None:
    """The schema with the fields of a model, where a value is one (or null); None for anything else."""
    variants = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if len(variants) != 1:
        return None
    found = resolve(variants[0], definitions)
    return found if "properties" in found else None


def resolve(schema: Schema, definitions: Schema) -> Schema:
    """A schema with its reference followed."""
    reference = schema.get("$ref") or (schema.get("allOf") or [{}])[0].get("$ref")
    return definitions[reference.rpartition("/")[2]] if reference else schema


def _options(
    path: tuple[str, ...], schema: Schema, definitions: Schema, default: Any, required: bool
) -> Iterator[FlowOption]:
    model = model_schema(schema, definitions)
    if model is not None and len(path) < DEEPEST:
        given = default if isinstance(default, Mapping) else {}
        needed = model.get("required", []) if required else []
        for name, field in model["properties"].items():
            inner = given.get(name, field.get("default"))
            yield from _options((*path, name), field, definitions, inner, name in needed)
        return
    variants = [resolve(one, definitions) for one in schema.get("anyOf", [schema])]
    plain = [one for one in variants if one.get("type") != "null"]
    leaf = plain[0] if len(plain) == 1 else {}
    described = {**leaf, **{key: schema[key] for key in ("description",) if key in schema}}
    yield FlowOption(path, _kind(leaf), described, default, required, nullable=len(plain) < len(variants))


def _kind(leaf: Schema) -> Kind:
    if "enum" in leaf:
        return "choice"
    match leaf.get("type"):
        case "boolean":
            return "switch"
        case "integer" | "number":
            return "number"
        case "string":
            return "text"
        case "array":
            return "list"
        case "object":
            return "mapping"
    return "anything"


class FlowCommand(click.Command):
    """The command of one flow; its help has a section for each nested model."""

    def __init__(self, name: str, parameters: Schema, help_text: str, extra: Sequence[click.Option]) -> None:
        self.flow_options = {f"option_{place}": option for place, option in enumerate(options_of(parameters))}
        self._described = {
            key: schema.get("description", "") for key, schema in parameters.get("properties", {}).items()
        }
        mine = [_click_option(key, option) for key, option in self.flow_options.items()]
        super().__init__(name, params=[*mine, *extra], help=help_text, context_settings={"max_content_width": 110})

    def typed_values(self, ctx: click.Context) -> dict[tuple[str, ...], Any]:
        """What was typed, by field; what was not typed is not there."""
        typed = click.core.ParameterSource.COMMANDLINE
        return {
            option.path: option.read(ctx.params[key])
            for key, option in self.flow_options.items()
            if ctx.get_parameter_source(key) is typed
        }

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of each nested model under a heading of their own."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                option = self.flow_options.get(param.name or "")
                section = "Of the command" if option is None else option.section
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            about = self._described.get(section, "")
            heading = f"{section}: {about.rstrip('.')}" if about else section or "Parameters"
            with formatter.section(heading):
                formatter.write_dl(records)


def _click_option(key: str, option: FlowOption) -> click.Option:
    about = str(option.schema.get("description", "")).strip().partition("\n\n")[0]
    notes = ["required"] if option.required else _default_note(option)
    help_text = " ".join([*about.split(), *(f"[{note}]" for note in notes)])
    if option.kind == "switch":
        off = option.flag.replace("--", "--no-", 1)
        return click.Option([key, f"{option.flag}/{off}"], help=help_text, default=None)
    if option.kind == "choice":
        choices = click.Choice([str(choice) for choice in option.schema["enum"]])
        return click.Option([key, option.flag], type=choices, help=help_text)
    metavar = {"number": "NUMBER", "list": "ITEM,…", "mapping": "NAME=VALUE,…", "anything": "YAML"}
    return click.Option(
        [key, option.flag],
        metavar=metavar.get(option.kind, _metavar_of_text(option.schema)),
        multiple=option.kind == "list",
        help=help_text,
    )


def _metavar_of_text(schema: Schema) -> str:
    return "PATH" if schema.get("format") in ("path", "file-path", "directory-path") else "TEXT"


def _default_note(option: FlowOption) -> list[str]:
    value = option.default
    if value is None or value == [] or value == {}:
        return []
    if isinstance(value, bool):
        return [f"default: {'on' if value else 'off'}"]
    if isinstance(value, list | tuple):
        return [f"default: {','.join(map(str, value))}"]
    if isinstance(value, Mapping):
        return [f"default: {','.join(f'{name}={one}' for name, one in value.items())}"]
    return [f"default: {value}"]
