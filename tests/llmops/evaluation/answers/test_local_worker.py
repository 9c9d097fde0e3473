from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.evaluation.answers import Budget, Collected, LocalSource
from llmops.evaluation.questions import Questions
from llmops.llm.completions import Parameters

Run = Callable[..., Collected]
Make = Callable[..., Questions]
INPUTS = ["a b c d", "a b", "a", "a b c", "a b c d e"]


class _Generator:
    """Repeats the words of a prompt, as far as it may."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Any]] = []
        self.tokenizer = lambda text, add_special_tokens: {"input_ids": text.split()}
        self.fail_at: int | None = None

    def generate(self, inputs: Sequence[Any], max_new_tokens: int, batch_size: int, num_beams: int) -> list[str]:
        if len(self.batches) == self.fail_at:
            raise KeyboardInterrupt
        self.batches.append(list(inputs))
        return [" ".join(str(text).split()[:max_new_tokens]) for text in inputs]


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> _Generator:
    import llmops.llm

    loaded = _Generator()
    monkeypatch.setattr(llmops.llm, "LocalModel", SimpleNamespace(load=lambda path: loaded))
    return loaded


def _source(num_beams: int = 1) -> LocalSource:
    return LocalSource(Path("model"), "my model", "digest", batch_size=2, num_beams=num_beams)


def test_it_answers_in_batches_of_like_length(run: Run, make_questions: Make, generator: _Generator) -> None:
    with run(_source(), make_questions(INPUTS), parameters=Parameters(max_tokens=3)) as collected:
        rows = [row for table in collected.tables() for row in table.to_pylist()]
    assert generator.batches == [["a b c d e", "a b c d"], ["a b c", "a b"], ["a"]]
    assert [row["text"] for row in rows] == ["a b c", "a b", "a", "a b c", "a b c"]
    assert [(row["input_tokens"], row["output_tokens"]) for row in rows] == [(4, 3), (2, 2), (1, 1), (3, 3), (5, 3)]
    assert [row["finish_reason"] for row in rows] == ["length", "stop", "stop", "length", "length"]
    assert {(row["cost"], row["model_used"], row["model"]) for row in rows} == {(0.0, "my model", "local:digest")}
    assert collected.report.cost == 0.0 and collected.report.answered == 5


def test_an_interrupted_run_goes_on_where_it_was(run: Run, make_questions: Make, generator: _Generator) -> None:
    generator.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        run(_source(), make_questions(INPUTS))
    generator.fail_at = None
    with run(_source(), make_questions(INPUTS)) as collected:
        assert (collected.report.answered, collected.report.reused) == (1, 4)
    assert generator.batches[2:] == [["a"]]


def test_what_is_known_needs_no_model(
    run: Run, make_questions: Make, generator: _Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(_source(), make_questions(INPUTS)).close()
    monkeypatch.setattr("llmops.llm.LocalModel", None)
    with run(_source(), make_questions(INPUTS)) as again:
        assert again.report.reused == 5


def test_beam_search_is_another_model(run: Run, make_questions: Make, generator: _Generator) -> None:
    run(_source(), make_questions(INPUTS)).close()
    with run(_source(num_beams=4), make_questions(INPUTS)) as beams:
        assert beams.report.answered == 5


def test_conversations_are_passed_on(run: Run, make_questions: Make, generator: _Generator) -> None:
    system = [[{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]]
    run(_source(), make_questions(["Hi"]), messages=system).close()
    assert generator.batches == [system]


def test_a_budget_ends_it_between_two_batches(run: Run, make_questions: Make, generator: _Generator) -> None:
    with run(_source(), make_questions(INPUTS), budget=Budget(max_tokens=10)) as collected:
        assert collected.report.answered == 2 and collected.report.unasked == 3
        assert collected.report.stopped is not None and "10 tokens" in collected.report.stopped


def test_the_length_of_an_answer_must_be_known(run: Run, make_questions: Make, generator: _Generator) -> None:
    with pytest.raises(InputError, match="how long an answer may be"):
        run(_source(), make_questions(INPUTS), parameters=Parameters())
