from collections.abc import Callable

import pytest

from llmops.errors import InputError
from llmops.evaluation.answers import Collected, ReplaySource
from llmops.evaluation.questions import Questions

Run = Callable[..., Collected]


def test_answers_come_from_the_metadata(run: Run, make_questions: Callable[..., Questions]) -> None:
    metadata = [{"gpt4": f"answer {n}"} if n % 3 else {"other": "x"} for n in range(25)]
    with run(ReplaySource("gpt4"), make_questions([f"Q{n}" for n in range(25)], metadata)) as collected:
        rows = [row for table in collected.tables() for row in table.to_pylist()]
        assert len(collected.batches) == 3
    there = [n for n in range(25) if n % 3]
    assert [(row["question"], row["question_id"], row["text"]) for row in rows] == [
        (n, f"id-{n}", f"answer {n}") for n in there
    ]
    for unknown in ("cost", "latency_s", "input_tokens", "output_tokens", "error_kind"):
        assert {row[unknown] for row in rows} == {None}
    report = collected.report
    assert (report.answered, report.reused, report.unasked, report.cost) == (0, len(there), 25 - len(there), None)
    assert not collected.folder.exists()


def test_the_expected_answers_can_be_replayed(run: Run, make_questions: Callable[..., Questions]) -> None:
    with run(ReplaySource("expected"), make_questions(["a", "b"])) as collected:
        assert [text for table in collected.tables() for text in table["text"].to_pylist()] == ["right 0", "right 1"]


def test_a_column_that_is_not_there_is_named_with_those_that_are(
    run: Run, make_questions: Callable[..., Questions]
) -> None:
    questions = make_questions(["a", "b"], [{"gpt4": "x"}, {"mixtral": "y"}])
    with pytest.raises(InputError, match="'gpt5'; there are expected, gpt4, mixtral"):
        run(ReplaySource("gpt5"), questions)
    with pytest.raises(InputError, match="repeats"):
        run(ReplaySource("gpt4"), questions, repeats=2)
