"""A question is its input, its context and the conversation before the answer; equal ones share their references."""

from typing import Any

import pyarrow as pa

from llmops.data.conversations import from_messages
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.evaluation.questions import distinct_questions


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
    questions = distinct_questions(samples)
    ids = samples["id"].to_pylist()
    assert (questions.inputs, questions.references) == (["a", "b"], [["3"], ["1", "2"]])
    assert questions.groups.tolist() == ["h", "g"]
    assert questions.table["sample_ids"].to_pylist() == [[ids[1]], [ids[2], ids[0]]]


def test_the_same_input_in_another_context_is_another_question() -> None:
    rows = [
        {"input": "When?", "expected": "at nine", "context": "Open from nine."},
        {"input": "When?", "expected": "at ten", "context": "Open from ten."},
        {"input": "When?", "expected": "who knows"},
        {"input": "When?", "expected": "nine", "context": "Open from nine."},
    ]
    questions = distinct_questions(table(*rows))
    assert questions.inputs == ["When?"] * 3
    assert questions.references == [["at nine", "nine"], ["at ten"], ["who knows"]]
    assert len(set(questions.ids)) == 3
    assert [sent[0]["content"] for sent in questions.messages] == [
        "<context>\nOpen from nine.\n</context>\n\nWhen?",
        "<context>\nOpen from ten.\n</context>\n\nWhen?",
        "When?",
    ]


def test_the_same_input_after_other_instructions_or_with_other_tools_is_another_question() -> None:
    tool = {"type": "function", "function": {"name": "wave"}}
    said = [
        ("salut", conversation("Answer in French.", "salut")),
        ("bonjour", conversation("Answer in French.", "bonjour")),
        ("hallo", conversation("Answer in German.", "hallo")),
        ("coucou", conversation("Answer in French.", "coucou", [tool])),
    ]
    questions = distinct_questions(
        table(*({"input": "hi", "expected": answer, "messages": text} for answer, text in said))
    )
    assert sorted(questions.references) == [["bonjour", "salut"], ["coucou"], ["hallo"]]
    assert all(role == ["system", "user"] for role in ([one["role"] for one in sent] for sent in questions.messages))


def test_the_id_names_what_is_asked_not_what_is_answered() -> None:
    one, other = (distinct_questions(table({"input": "q", "expected": right})) for right in ("a", "b"))
    assert one.ids.tolist() == other.ids.tolist()
    assert one.references != other.references


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = table(*({"input": text, "expected": right} for text in "ab" for right in "xy"))
    assert distinct_questions(rows.take(pa.array([3, 0, 2, 1]))).table.equals(distinct_questions(rows).table)


def test_no_samples_are_no_questions() -> None:
    assert distinct_questions(SAMPLE_SCHEMA.empty_table()).inputs == []
