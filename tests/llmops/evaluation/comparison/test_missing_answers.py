"""An answer that was not measured is no pass and no zero: too many of them decide nothing."""

import numpy as np
import pytest

from llmops.errors import InputError
from llmops.evaluation import METRICS, GateConfig, Measured, compare
from llmops.evaluation.comparison.slices import compare_slices
from llmops.evaluation.metrics.measurement import gather
from llmops.evaluation.statistics.repeats import pass_all, with_answers

EXACT = METRICS["exact_match"]
GATE = GateConfig(margins={"exact_match": 0.02})


def right(chance_right: float, questions: range, asked: range = range(1000)) -> dict[str, Measured]:
    """Right on the first part of 1,000 questions; of those asked, those of `questions` were measured."""
    ids = np.array(questions)
    rows = np.column_stack([ids < 1000 * chance_right, np.ones(len(ids))]).astype(float)
    return {"exact_match": Measured(EXACT, rows, ids, ids, unmeasured=np.setdiff1d(asked, questions))}


def repeated(flags: np.ndarray, repeats: int) -> dict[str, Measured]:
    """(n, repeats) flags: 1 right, 0 wrong, NaN no answer; gathered from a row for each answer that came."""
    ids = np.arange(len(flags))
    came = np.isfinite(flags.ravel())
    rows = np.column_stack([flags.ravel(), np.ones(flags.size)])[came]
    return {"exact_match": gather(EXACT, rows, np.repeat(ids, repeats)[came], ids, ids, repeats)}


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
    assert found.verdicts["exact_match"].missing_share == 0.2
    assert found.verdicts["exact_match"].candidate == 0.875  # of the 800 compared


def test_wrong_answers_that_vanish_within_questions_do_not_help() -> None:
    """5 answers to each of 200 questions, 2 of them wrong; the candidate loses 1 wrong one of each: 200 of 1,000."""
    same = np.tile([1.0, 1.0, 1.0, 0.0, 0.0], (200, 1))
    silent = same.copy()
    silent[:, 4] = np.nan
    found = compare(repeated(silent, 5), repeated(same, 5), GATE)
    assert found.verdicts["exact_match"].candidate == 0.75  # it looks better than 0.6
    assert (found.verdict, found.compared, found.candidate_missing) == ("inconclusive", 200, 200)
    assert found.verdicts["exact_match"].candidate_asked == 1000
    assert found.sentence == (
        "Inconclusive: exact match: 200 of 1,000 answers of the candidate were not measured (20.0 %), "
        "and at most 2 % may be missing."
    )


def test_sides_that_were_asked_unequally_often_each_have_their_own_share() -> None:
    """The baseline lacks 10 of 200 single answers (5 %), the candidate 30 of 1,000 (3 %): the baseline is named."""
    ours, theirs = np.ones((200, 5)), np.ones((200, 1))
    ours[:30, 4] = np.nan
    theirs[:10] = np.nan
    found = compare(repeated(ours, 5), repeated(theirs, 1), GATE)
    assert (found.compared, found.candidate_missing, found.baseline_missing) == (190, 30, 10)
    assert found.verdicts["exact_match"].missing_share == 0.05
    assert "the baseline has no measured answer to 10 of 200 questions (5.0 %)" in found.sentence


def test_questions_the_baseline_lacks_count_too() -> None:
    found = compare(right(0.7, range(1000)), right(0.5, range(100, 1000)), GATE)
    assert found.verdict == "inconclusive"
    assert "the baseline has no measured answer to 100 of 1,000 questions (10.0 %)" in found.sentence


def test_questions_that_both_lack_count() -> None:
    """Both have nothing on the same 100 of 200."""
    sides = [right(0.5, range(100), asked=range(200)) for _ in range(2)]
    found = compare(*sides, GateConfig(margins={"exact_match": 0.2}))
    assert (found.verdict, found.compared) == ("inconclusive", 100)
    assert (found.candidate_missing, found.baseline_missing) == (100, 100)
    assert "no measured answer to 100 of 200 questions (50.0 %)" in found.sentence


def test_a_few_may_be_missing_and_are_counted() -> None:
    found = compare(right(0.7, range(980)), right(0.5, range(10, 1000)), GATE)
    assert (found.verdict, found.compared) == ("better", 970)
    assert (found.candidate_missing, found.baseline_missing) == (20, 10)
    strict = GATE.model_copy(update={"max_missing": 0.0199})
    assert compare(right(0.7, range(980)), right(0.5, range(10, 1000)), strict).verdict == "inconclusive"


def test_questions_that_are_new_are_not_missing() -> None:
    """An earlier run on 600 questions; the dataset has grown by 66 and lost 3."""
    earlier = right(0.3, range(600), asked=range(600))
    now = right(0.3, range(3, 666), asked=range(3, 666))
    gate = GateConfig(margins={"exact_match": 0.05})
    found = compare(now, earlier, gate)
    assert (found.verdict, found.compared) == ("not worse", 597)
    assert (found.candidate_missing, found.baseline_missing) == (0, 0)
    assert (found.candidate_only, found.baseline_only) == (66, 3)
    assert found.sentence.endswith(". 66 questions are new; 3 questions were asked of the baseline alone.")


def test_only_common_questions_can_be_missing() -> None:
    """50 of the 66 new questions were not answered, and 6 of the common 600: 1 %."""
    earlier = right(0.3, range(600), asked=range(600))
    found = compare(right(0.3, range(6, 616), asked=range(666)), earlier, GateConfig(margins={"exact_match": 0.05}))
    assert (found.verdict, found.candidate_missing, found.candidate_only) == ("not worse", 6, 66)
    assert found.verdicts["exact_match"].missing_share == 0.01


def test_a_slice_recounts_what_is_missing() -> None:
    """40 of 2,000 are missing, 2 % of all, and all of them are half of the questions on law."""
    ids = np.arange(2000)
    metadata = [{"topic": "law" if place < 80 else "food"} for place in ids]
    answered = np.where((ids < 80) & (ids % 2 == 1), np.nan, 1.0)
    ours, theirs = repeated(answered[:, np.newaxis], 1), repeated((ids >= 80).astype(float)[:, np.newaxis], 1)
    assert compare(ours, theirs, GATE).verdict == "better"
    food, law = compare_slices(ours, theirs, ids, metadata, ["topic"], GATE)
    assert (food.value, food.verdict, food.candidate_missing, food.missing) == ("food", "not worse", 0, "")
    assert (law.value, law.n, law.candidate, law.baseline) == ("law", 40, 1.0, 0.0)
    assert (law.verdict, law.candidate_missing, law.baseline_missing) == ("inconclusive", 40, 0)
    assert law.missing == (
        "the candidate has no measured answer to 40 of 80 questions (50.0 %), and at most 2 % may be missing"
    )
    lost = compare_slices(theirs, ours, ids, metadata, ["topic"], GATE)[1]
    assert (lost.verdict, lost.missing) == ("worse", "")  # a loss stays a loss


def test_repeats_that_are_incomplete_are_missing_from_pass_to_the_k() -> None:
    """pass^3 of 100 questions, of which the candidate answered 10 twice only."""
    complete = np.ones((100, 3))
    partial = complete.copy()
    partial[:10, 2] = np.nan
    gate = GateConfig(margins={"exact_match.pass^3": 0.2})
    sides = []
    for flags in (partial, complete):
        whole = with_answers(repeated(flags, 3)["exact_match"], 3)
        assert whole is not None
        made = pass_all(whole, 3)
        sides.append({made.metric.name: made})
    found = compare(sides[0], sides[1], gate)
    assert (found.primary, found.compared, found.candidate_missing) == ("exact_match.pass^3", 90, 10)
    assert found.verdict == "inconclusive"
    assert compare(sides[1], sides[1], gate).verdict == "not worse"


def test_worse_stays_worse() -> None:
    assert compare(right(0.3, range(800)), right(0.5, range(1000)), GATE).verdict == "worse"


def test_no_question_in_common_is_bad_input() -> None:
    first, last = range(500), range(500, 1000)
    with pytest.raises(InputError, match=r"exact_match: candidate and baseline have no question in common \(500 and"):
        compare(right(0.5, first, first), right(0.5, last, last), GATE)
    with pytest.raises(InputError, match="of 1,000 questions that candidate and baseline were both asked, none was"):
        compare(right(0.5, first), right(0.5, last), GATE)
