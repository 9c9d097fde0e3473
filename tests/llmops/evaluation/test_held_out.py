"""A question is its input, its context and the conversation before the answer; equal ones share their references."""

from typing import Any

import pyarrow as pa

from llmops.data.conversations import from_messages
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.evaluation.held_out import held_out


def table(*rows: dict[str, Any]) -> pa.Table:
    names = ("input", "expected", "context", "messages", "group")
    columns = {name: pa.chunked_array([[row.get(name) for row in rows]], pa.string()) for name in names}
    return sample_table(**columns)


def conversation(system: str, answer: str, tools: list[dict[str, Any]] | None = None) -> str | None:
    said = [("system", system), ("user", "hi"), ("assistant", answer)]
    return from_messages([{"role": role, "content": content} for role, content in said], tools).messages


def test_right_answers_to_one_question_are_gathered_with_the_ids_of_their_samples() -> None:
    samples = table(
        {"input": "b", "expected": "2", "group": "g"},
        {"input": "a", "expected": "3", "group": "h"},
        {"input": "b", "expected": "1", "group": "g"},
    )
    held = held_out(samples)
    ids = samples["id"].to_pylist()
    assert (held.inputs, held.references, held.groups) == (["a", "b"], [["3"], ["1", "2"]], ["h", "g"])
    assert held.ids == [[ids[1]], [ids[2], ids[0]]]
    assert held.pairs == [("a", "3"), ("b", "1"), ("b", "2")]


def test_the_same_input_in_another_context_is_another_question() -> None:
    rows = [
        {"input": "When?", "expected": "at nine", "context": "Open from nine."},
        {"input": "When?", "expected": "at ten", "context": "Open from ten."},
        {"input": "When?", "expected": "who knows"},
        {"input": "When?", "expected": "nine", "context": "Open from nine."},
    ]
    held = held_out(table(*rows))
    assert held.inputs == ["When?"] * 3
    assert held.references == [["at nine", "nine"], ["at ten"], ["who knows"]]


def test_the_same_input_after_other_instructions_or_with_other_tools_is_another_question() -> None:
    tool = {"type": "function", "function": {"name": "wave"}}
    said = [
        ("salut", conversation("Answer in French.", "salut")),
        ("bonjour", conversation("Answer in French.", "bonjour")),
        ("hallo", conversation("Answer in German.", "hallo")),
        ("coucou", conversation("Answer in French.", "coucou", [tool])),
    ]
    held = held_out(table(*({"input": "hi", "expected": answer, "messages": text} for answer, text in said)))
    assert sorted(held.references) == [["bonjour", "salut"], ["coucou"], ["hallo"]]


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = table(*({"input": text, "expected": right} for text in "ab" for right in "xy"))
    assert held_out(rows.take(pa.array([3, 0, 2, 1]))) == held_out(rows)


def test_no_samples_are_no_questions() -> None:
    assert held_out(SAMPLE_SCHEMA.empty_table()).inputs == []
