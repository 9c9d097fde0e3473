"""Whether an answer has the form that was asked for: texts, patterns, JSON, a JSON Schema."""

import json
import re
from functools import partial
from typing import Any

from llmops.errors import InputError
from llmops.evaluation.metrics.definitions import (
    ContainsDefinition,
    JsonDefinition,
    JsonSchemaDefinition,
    RegexDefinition,
)
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio

_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
_NO_JSON = object()
_MOST_DIGITS = 4000  # Python refuses to read longer whole numbers.


def parse_json(text: str, *, fenced: bool = False) -> Any:
    """The value of a JSON text by RFC 8259; ValueError if it is none.

    NaN, Infinity and text around the JSON are refused. fenced: the content of the first ```json fence is taken, where
    there is one.

    >>> parse_json('Here: ```json\\n[1, 2]\\n```'.replace(" ```", "\\n```"), fenced=True)
    [1, 2]
    """
    if fenced and (fence := _FENCE.search(text)):
        text = fence[1]
    try:
        return json.loads(text, parse_constant=_refuse, parse_int=_whole_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def contains_metric(name: str, definition: ContainsDefinition) -> Metric:
    """Whether an answer contains the texts."""
    return _share(name, partial(_contains_rows, definition))


def regex_metric(name: str, definition: RegexDefinition) -> Metric:
    """Whether a pattern is found in an answer."""
    return _share(name, partial(_regex_rows, definition))


def json_metric(name: str, definition: JsonDefinition) -> Metric:
    """Whether an answer is JSON."""
    return _share(name, partial(_json_rows, definition))


def json_schema_metric(name: str, definition: JsonSchemaDefinition) -> Metric:
    """Whether an answer is JSON that is valid under the schema."""
    return _share(name, partial(_json_schema_rows, definition, name))


def _share(name: str, rows: Any) -> Metric:
    return Metric(name, name.replace("_", " "), "share", rows, ratio)


def _contains_rows(definition: ContainsDefinition, answers: Answers) -> FloatArray:
    def folded(text: str) -> str:
        return text.casefold() if definition.ignore_case else text

    texts = [folded(text) for text in definition.texts]
    enough = all if definition.every else any
    return mean_rows(enough(text in folded(output) for text in texts) for output in answers.outputs)


def _regex_rows(definition: RegexDefinition, answers: Answers) -> FloatArray:
    pattern = re.compile(definition.pattern)
    return mean_rows(pattern.search(output) is not None for output in answers.outputs)


def _json_rows(definition: JsonDefinition, answers: Answers) -> FloatArray:
    return mean_rows(_value(output, definition.fenced) is not _NO_JSON for output in answers.outputs)


def _json_schema_rows(definition: JsonSchemaDefinition, name: str, answers: Answers) -> FloatArray:
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # An empty registry: jsonschema would fetch a schema that is referred to by its address.
    validator = Draft202012Validator(definition.json_schema, registry=Registry())
    values = [_value(output, definition.fenced) for output in answers.outputs]
    try:
        return mean_rows(value is not _NO_JSON and validator.is_valid(value) for value in values)
    except Unresolvable as error:
        raise InputError(
            f"{name}: the schema refers to {error.ref!r}, which is not in it; put it under $defs"
        ) from None


def _value(text: str, fenced: bool) -> Any:
    try:
        return parse_json(text, fenced=fenced)
    except ValueError:
        return _NO_JSON


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)


STRUCTURE_METRICS = (json_metric("valid_json", JsonDefinition()),)
