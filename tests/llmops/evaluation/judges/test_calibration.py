import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS

from llmops.errors import InputError
from llmops.evaluation.judges.answers import Judged, judge_answers
from llmops.evaluation.judges.calibration import calibrate
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.panel import consensus
from llmops.evaluation.metrics.metric import Answers, FloatArray

NONE = np.nan


def judged_by(votes: FloatArray, lengths: list[int] | None = None, **changes: object) -> Judged:
    """A pass/fail panel with these votes."""
    models = tuple("abcdefgh"[: votes.shape[1]])
    config = JudgeConfig(**({"kind": "pass_fail", "models": models, "instructions": "Right?", "quorum": 1} | changes))
    return Judged(
        config=config,
        scores=consensus(votes, config),
        votes=votes,
        reasons=[],
        judges=[],
        lengths=np.array(lengths or [1] * len(votes), dtype=float),
        agreement=None,
    )


def test_accuracy_confusion_sensitivity_and_specificity_counted_by_hand() -> None:
    said = np.array([1, 1, 1, 0, 0, 0, 1, NONE, 1])
    people = np.array([1, 1, 0, 0, 0, 1, 1, 1, NONE])
    judge = calibrate(judged_by(said[:, np.newaxis]), people).judges[0]
    assert judge.n == 7 and judge.values == (0.0, 1.0)
    assert judge.confusion == ((2, 1), (1, 3))
    assert judge.accuracy is not None and judge.accuracy.value == pytest.approx(5 / 7)
    assert judge.sensitivity is not None and judge.sensitivity.value == pytest.approx(3 / 4)
    assert judge.specificity is not None and judge.specificity.value == pytest.approx(2 / 3)
    assert judge.kappa == pytest.approx((5 / 7 - 25 / 49) / (1 - 25 / 49))
    reference = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert (judge.sensitivity.low, judge.sensitivity.high) == pytest.approx((reference.low, reference.high))
    errors = np.array([0, 0, 1, 0, 0, -1, 0])
    t = stats.ttest_1samp(errors, 0).confidence_interval()
    assert judge.bias is not None and (judge.bias.low, judge.bias.high) == pytest.approx((t.low, t.high))


def test_people_without_a_majority_are_no_truth() -> None:
    people = np.array([[1, 1, 0], [1, 0, NONE], [0, NONE, NONE]])
    judge = calibrate(judged_by(np.array([[1.0], [1.0], [1.0]])), people).judges[0]
    assert judge.n == 2 and judge.confusion == ((0, 1), (0, 1))


def test_weights_are_log_odds_and_none_for_chance() -> None:
    """90 of 100 right, 50 of 100 and 20 of 100, with half a vote added to right and wrong."""
    votes = np.array([[i < 90, i < 50, i < 20] for i in range(100)], dtype=float)
    weights = calibrate(judged_by(votes), np.ones(100)).weights
    assert weights == pytest.approx({"a": np.log(90.5 / 10.5), "b": 0.0, "c": 0.0})
    weighted = JudgeConfig(
        kind="pass_fail", models=("a", "b", "c"), instructions="Right?", consensus="weighted", weights=weights
    )
    assert consensus(np.array([[1.0, 0.0, 0.0]]), weighted).tolist() == [1.0]


def test_scores_weigh_by_their_squared_error() -> None:
    people = np.array([[3.0, 3.0], [2.0, 3.0], [5.0, 5.0], [1.0, 1.0]])
    votes = np.array([[3, 5], [2, 1], [5, 4], [1, 2]], dtype=float)
    found = calibrate(judged_by(votes, kind="rubric", scale={1: "no", 5: "yes"}, consensus="mean"), people)
    squared = (0.25, 4 + 2.25 + 1 + 1)
    assert found.weights == pytest.approx({"a": 5 / (squared[0] + 1 / 12), "b": 5 / (squared[1] + 1 / 12)})
    assert found.judges[0].accuracy is not None and found.judges[0].accuracy.value == 1.0  # 2.5 rounds to 2
    assert found.judges[0].sensitivity is None and found.pass_rate is None
    assert found.judges[1].bias is not None and found.judges[1].bias.value == pytest.approx((2 - 1.5 - 1 + 1) / 4)


def test_a_judge_that_favours_length_more_than_people_shows_it() -> None:
    random = np.random.default_rng(11)
    lengths = random.integers(10, 1000, 400)
    people = (random.random(400) < 0.5).astype(float)
    fair = np.where(random.random(400) < 0.9, people, 1 - people)
    fond_of_length = np.where((lengths > 500) & (random.random(400) < 0.5), 1.0, people)
    found = calibrate(judged_by(np.stack([fair, fond_of_length], axis=1), lengths.tolist()), people)
    even, biased = (judge.length_bias for judge in found.judges)
    assert even is not None and even.low < 0 < even.high
    # Half of the long answers that people fail are passed: a quarter of the long half.
    assert biased is not None and 0.15 < biased.low < 0.25 < biased.high
    known = np.stack([np.ones(400), people, lengths > np.median(lengths)], axis=1)
    fit = OLS(fond_of_length, known).fit(cov_type="HC1", use_t=True)
    assert [biased.value, biased.low, biased.high] == pytest.approx([fit.params[2], *fit.conf_int()[2]])


def test_noise_is_no_dislike_of_the_length_that_people_like() -> None:
    random = np.random.default_rng(3)
    lengths = random.integers(10, 1000, 2000)
    people = (random.random(2000) < np.where(lengths > 500, 0.8, 0.3)).astype(float)
    noisy = np.where(random.random(2000) < 0.7, people, 1 - people)
    bias = calibrate(judged_by(noisy[:, np.newaxis], lengths.tolist()), people).judges[0].length_bias
    assert bias is not None and bias.low < 0 < bias.high


def test_the_pass_rate_of_a_lenient_panel_is_corrected_from_few_human_votes() -> None:
    """2,000 answers, 60 % right; the judge passes 95 % of these and 30 % of the others. People saw 400 of them."""
    random = np.random.default_rng(4)
    right = random.random(2000) < 0.6
    says = iter(np.where(random.random(2000) < np.where(right, 0.95, 0.3), "pass", "fail").tolist())
    config = JudgeConfig(kind="pass_fail", models=("a",), instructions="Right?")
    answers = Answers([str(i) for i in range(2000)], [])
    judged = judge_answers(config, answers, lambda model, prompts, _: [next(says) for _ in prompts])
    human = np.where(np.arange(2000) < 400, right.astype(float), NONE)
    found = calibrate(judged, human).pass_rate
    assert np.mean(judged.scores) == pytest.approx(0.6 * 0.95 + 0.4 * 0.3, abs=0.03)
    assert found is not None and found.low < 0.6 < found.high and found.high - found.low < 0.15


def test_human_votes_must_fit() -> None:
    judged = judged_by(np.ones((3, 1)))
    with pytest.raises(InputError, match="2 rows of human votes for 3 samples"):
        calibrate(judged, np.ones(2))
    with pytest.raises(InputError, match="no sample has a human vote"):
        calibrate(judged, np.full(3, NONE))
