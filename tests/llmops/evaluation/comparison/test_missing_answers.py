"""A question without a measured answer is no pass and no zero: too many of them decide nothing."""

import numpy as np
import pytest

from llmops.errors import InputError
from llmops.evaluation import METRICS, GateConfig, Measured, compare


def right(chance_right: float, questions: range, name: str = "exact_match") -> dict[str, Measured]:
    """Right on the first part of 1,000 questions, of which those of `questions` were measured."""
    ids = np.array(questions)
    rows = np.column_stack([ids < 1000 * chance_right, np.ones(len(ids))]).astype(float)
    return {name: Measured(METRICS[name], rows, ids, ids)}


GATE = GateConfig(margins={"exact_match": 0.02})


def test_a_candidate_that_skips_the_hard_questions_is_not_better() -> None:
    """It leaves out the last 200, which it would have got wrong."""
    found = compare(right(0.7, range(800)), right(0.5, range(1000)), GATE)
    assert (found.verdict, found.passed, found.samples_needed) == ("inconclusive", False, None)
    assert (found.compared, found.candidate_missing, found.baseline_missing) == (800, 200, 0)
    assert found.sentence == (
        "Inconclusive: exact match: the candidate has no measured answer to 200 of 1,000 questions (20.0 %), "
        "and at most 2 % may be missing."
    )
    assert found.verdicts["exact_match"].verdict == "inconclusive"
    assert found.verdicts["exact_match"].candidate == 0.875  # of the 800 compared


def test_questions_the_baseline_lacks_count_too() -> None:
    found = compare(right(0.7, range(1000)), right(0.5, range(100, 1000)), GATE)
    assert found.verdict == "inconclusive"
    assert "the baseline has no measured answer to 100 of 1,000 questions (10.0 %)" in found.sentence


def test_a_few_may_be_missing_and_are_counted() -> None:
    found = compare(right(0.7, range(980)), right(0.5, range(10, 1000)), GATE)
    assert (found.verdict, found.compared) == ("better", 970)
    assert (found.candidate_missing, found.baseline_missing) == (20, 10)
    strict = GATE.model_copy(update={"max_missing": 0.0199})
    assert compare(right(0.7, range(980)), right(0.5, range(10, 1000)), strict).verdict == "inconclusive"


def test_worse_stays_worse() -> None:
    assert compare(right(0.3, range(800)), right(0.5, range(1000)), GATE).verdict == "worse"


def test_no_question_in_common_is_bad_input() -> None:
    with pytest.raises(InputError, match="exact_match: candidate and baseline have no question in common"):
        compare(right(0.5, range(500)), right(0.5, range(500, 1000)), GATE)
