"""Form of an answer: texts, patterns, JSON and JSON Schema."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmops.errors import InputError
from llmops.evaluation.metrics.definitions import (
    ContainsDefinition,
    JsonDefinition,
    JsonSchemaDefinition,
    MetricDefinition,
    RegexDefinition,
)
from llmops.evaluation.metrics.measurement import build_metrics
from llmops.evaluation.metrics.metric import Answers
from llmops.evaluation.metrics.scoring import score
from llmops.evaluation.metrics.structure import parse_json

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}
TREE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def right(definition: MetricDefinition, *outputs: str) -> list[float]:
    rows = score(build_metrics(["own"], {"own": definition}), Answers(outputs, [[] for _ in outputs]))
    return [float(value) for value in rows["own"][:, 0]]


def test_contains() -> None:
    outputs = ("Straße 5", "STRASSE", "5")
    assert right(ContainsDefinition(texts=("Straße", "5")), *outputs) == [1, 0, 1]
    assert right(ContainsDefinition(texts=("Straße", "5"), every=True), *outputs) == [1, 0, 0]
    assert right(ContainsDefinition(texts=("straße",), ignore_case=True), *outputs) == [1, 1, 0]


def test_regex() -> None:
    assert right(RegexDefinition(pattern=r"\d{4}"), "in 1984", "in 84") == [1, 0]
    assert right(RegexDefinition(pattern=r"\A(yes|no)\Z"), "yes", "yes.") == [1, 0]
    with pytest.raises(ValidationError, match="no regular expression"):
        RegexDefinition(pattern="(")


@given(TREE)
def test_what_python_writes_as_json_is_valid(value: object) -> None:
    assert right(JsonDefinition(), json.dumps(value)) == [1]
    assert right(JsonDefinition(fenced=True), f"Here:\n```json\n{json.dumps(value)}\n```\nDone.") == [1]


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a': 1}", "[1,]", "NaN", "[Infinity]", "01", '{"a": 1} and more', "```json\n{}\n```", "[" * 100_000],
)
def test_what_is_not_json(text: str) -> None:
    assert right(JsonDefinition(), text) == [0]


def test_long_whole_numbers_are_json() -> None:
    assert right(JsonDefinition(), "9" * 5000) == [1]
    assert parse_json("12345678901234567890") == 12345678901234567890


def test_json_schema() -> None:
    definition = JsonSchemaDefinition(schema=PERSON)
    texts = ['{"name": "Ann", "age": 3}', '{"age": 3}', '{"name": "Ann", "age": -1}', "Ann", '{"name": "Ann", "x": 1}']
    assert right(definition, *texts) == [1, 0, 0, 0, 0]
    fenced = JsonSchemaDefinition(schema=PERSON, fenced=True)
    assert right(fenced, '```json\n{"name": "Ann"}\n```', '```\n{"name": 1}\n```', '{"name": "Bo"}') == [1, 0, 1]


def test_draft_2020_12() -> None:
    # prefixItems came with that draft.
    definition = JsonSchemaDefinition(schema={"prefixItems": [{"type": "integer"}, {"type": "string"}]})
    assert right(definition, '[1, "a"]', '["a", 1]') == [1, 0]


def test_a_broken_schema_is_named() -> None:
    with pytest.raises(ValidationError, match=r"not a JSON Schema at \$\.type"):
        JsonSchemaDefinition(schema={"type": "objekt"})


def test_a_schema_elsewhere_is_never_fetched() -> None:
    definition = JsonSchemaDefinition(schema={"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(InputError, match=r"own: the schema refers to 'http://127.0.0.1:9/schema.json'"):
        right(definition, "{}")
