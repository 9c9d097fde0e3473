"""Answers scored in slices, in chunks and in processes have the same rows."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import InputError
from llmops.evaluation import METRICS
from llmops.evaluation.metrics import scoring
from llmops.evaluation.metrics.measurement import build_metrics
from llmops.evaluation.metrics.metric import Answers, Usage
from llmops.evaluation.metrics.scoring import score

# METEOR loads WordNet for seconds; it has tests of its own.
NAMES = [name for name in METRICS if name != "meteor"]
TEXT = st.text(alphabet="ab cd.5-\n日", max_size=20) | st.sampled_from(
    ["The answer is 5.", "{}", "(B)", "I can't help."]
)
CORPUS = st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=3)), max_size=8)


def answers_of(corpus: list[tuple[str, list[str]]]) -> Answers:
    size = len(corpus)
    amounts = np.arange(size, dtype=np.float64)
    usage = Usage(amounts, amounts, np.where(amounts % 2 == 0, np.nan, amounts), amounts, ["stop"] * size)
    return Answers(
        [output for output, _ in corpus],
        [references for _, references in corpus],
        [f"question {place}" for place in range(size)],
        [None] * size,
        [{}] * size,
        usage,
        np.ones((size, 3)),
        [str(place) for place in range(size)],
    )


@settings(max_examples=30, deadline=None)
@given(CORPUS, st.lists(st.integers(0, 8), max_size=3))
def test_rows_of_slices_are_slices_of_the_rows(corpus: list[tuple[str, list[str]]], cuts: list[int]) -> None:
    metrics, answers = build_metrics(NAMES), answers_of(corpus)
    whole = score(metrics, answers)
    bounds = sorted({0, len(corpus), *(cut for cut in cuts if cut < len(corpus))})
    parts = [score(metrics, answers.take(range(*ends))) for ends in pairwise(bounds)]
    for name in NAMES:
        together = np.concatenate([np.empty((0, whole[name].shape[1])), *(part[name] for part in parts)])
        assert np.array_equal(together, whole[name], equal_nan=True)
        assert len(whole[name]) == len(corpus)


def test_an_answer_without_references_is_not_measured_by_them() -> None:
    answers = answers_of([("a", []), ("a", ["a"])])
    rows = score(build_metrics(NAMES), answers)
    for name in NAMES:
        assert np.isnan(rows[name][0]).all() == (METRICS[name].needs_references or name == "output_tokens"), name


def test_processes_give_identical_rows_also_from_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WORTH_A_PROCESS", 0)
    corpus = [(f"the cat {place % 7} sat on mat {place % 5}", [f"a cat {place % 3} sat"]) for place in range(1200)]
    answers, metrics = answers_of(corpus), build_metrics(["bleu", "chrf", "rougeL", "exact_match", "latency"])
    alone = score(metrics, answers)
    found: list[dict[str, np.ndarray]] = []
    threads = [threading.Thread(target=lambda: found.append(score(metrics, answers, processes=2))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for rows in found:
        assert list(rows) == list(alone)
        assert all(np.array_equal(rows[name], alone[name], equal_nan=True) for name in alone)


def test_a_small_input_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("joblib.Parallel", refuse)
    score(build_metrics(["bleu"]), answers_of([("a cat", ["a cat"])] * 600), processes=2)


def test_long_texts_close_a_chunk_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CHUNK_CHARACTERS", 10)
    sizes = [len(chunk) for chunk in scoring._chunks(answers_of([("abc", ["de"])] * 5))]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (Answers(["a", "b"], [["a"]]), "1 references for 2 answers"),
        (Answers(["a"], [["a"]], inputs=["a", "b"]), "2 inputs for 1 answers"),
        (Answers(["a"], [["a"]]), "loss needs token scores"),
    ],
)
def test_what_does_not_fit_is_named(answers: Answers, message: str) -> None:
    with pytest.raises(InputError, match=message):
        score(build_metrics(["loss"]), answers)
