"""Against published values, and against other implementations."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from llmops.errors import InputError
from llmops.evaluation.judges.agreement import (
    Level,
    agreement,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    raw_agreement,
)
from llmops.evaluation.metrics.metric import FloatArray

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
FOUR_OBSERVERS = ("12332141 2***", "123322412 5*3", "*33323422 51*", "123324412 51*")
# Fleiss 1971, table 1: thirty subjects, six psychiatrists, five diagnoses; who said which is not published.
DIAGNOSES = """444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445
333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"""


def votes_of(observers: tuple[str, ...]) -> FloatArray:
    rows = [[np.nan if one == "*" else float(one) for one in text.replace(" ", "")] for text in observers]
    return np.array(rows).T


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_krippendorffs_example(level: Level, published: float) -> None:
    assert round(krippendorff_alpha(votes_of(FOUR_OBSERVERS), level), 3) == published


def test_kappa_of_fleiss_example() -> None:
    votes = np.array([[float(one) for one in subject] for subject in DIAGNOSES.split()])
    assert fleiss_kappa(votes) == pytest.approx(0.4302445, abs=1e-7)  # 0.430 in the paper, more digits from R's irr


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_cohens_kappa_equals_scikit_learns(weights: str) -> None:
    random = np.random.default_rng(3)
    first = random.integers(1, 6, 300)
    second = np.where(random.random(300) < 0.6, first, random.integers(1, 6, 300))
    votes = np.stack([first, second], axis=1).astype(float)
    expected = cohen_kappa_score(first, second, weights=None if weights == "none" else weights)
    assert cohen_kappa(votes, weights) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]


def test_missing_votes_are_left_out_and_not_counted_as_disagreement() -> None:
    whole = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    more = np.vstack([whole, [[np.nan, 1.0], [np.nan, np.nan]]])
    for coefficient in (krippendorff_alpha, cohen_kappa, fleiss_kappa, raw_agreement):
        assert coefficient(more) == pytest.approx(coefficient(whole))
    assert raw_agreement(whole) == pytest.approx(2 / 3)


def test_one_value_throughout_is_no_agreement_beyond_chance() -> None:
    same = np.ones((10, 2))
    assert np.isnan([krippendorff_alpha(same), cohen_kappa(same), fleiss_kappa(same)]).all()
    found = agreement(same)
    assert found is not None and found.all_agree
    assert (found.raw.value, found.alpha, found.cohen, found.fleiss) == (1.0, {}, {}, None)


def test_full_agreement_on_two_values_has_an_alpha() -> None:
    found = agreement(np.repeat([[0.0, 0.0], [1.0, 1.0]], 10, axis=0))
    assert found is not None and found.all_agree
    assert [one.value for one in (*found.alpha.values(), *found.cohen.values())] == [1.0] * 6


def test_without_two_votes_on_a_sample_there_is_none() -> None:
    assert agreement(np.array([[1.0, np.nan], [np.nan, 0.0]])) is None
    assert np.isnan(krippendorff_alpha(np.array([[1.0, np.nan]])))


def test_cohens_kappa_is_for_two() -> None:
    with pytest.raises(InputError, match="two judges and there are 3"):
        cohen_kappa(np.ones((4, 3)))


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    """Drawn sample by sample here, and as counts of distinct rows there."""
    random = np.random.default_rng(5)
    truth = random.integers(1, 5, 120)
    votes = np.stack([np.where(random.random(120) < 0.75, truth, random.integers(1, 5, 120)) for _ in range(3)], axis=1)
    votes = np.where(random.random(votes.shape) < 0.1, np.nan, votes)
    found = agreement(votes)
    assert found is not None
    assert found.alpha["interval"].value == krippendorff_alpha(votes, "interval")
    estimate = found.alpha["ordinal"]
    draws = [krippendorff_alpha(votes[random.integers(0, 120, 120)], "ordinal") for _ in range(600)]
    # 600 draws give a percentile to about a tenth of the interval's half width.
    assert [estimate.low, estimate.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)


def test_the_interval_covers_the_agreement_of_many_samples() -> None:
    """100 panels of 60 samples; 95 % coverage within three standard errors (6.5 points)."""
    random = np.random.default_rng(7)

    def draw(n: int) -> FloatArray:
        truth = (random.random(n) < 0.6).astype(float)
        return np.stack([np.where(random.random(n) < 0.85, truth, 1 - truth) for _ in range(3)], axis=1)

    limit = krippendorff_alpha(draw(400_000))
    found = [agreement(draw(60), seed=seed) for seed in range(100)]
    covered = np.mean([one.alpha["nominal"].low <= limit <= one.alpha["nominal"].high for one in found if one])
    assert covered == pytest.approx(0.95, abs=0.065)
