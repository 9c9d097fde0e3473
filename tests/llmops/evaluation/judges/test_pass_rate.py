import numpy as np
import pytest

from llmops.evaluation.judges.pass_rate import corrected_pass_rate


def test_rogan_and_gladens_estimate_by_hand() -> None:
    """0.26 = 0.2 * 0.9 + 0.8 * 0.1, so a share of 0.2 is what a judge of 90 and 90 % sees as 0.26."""
    found = corrected_pass_rate((260, 1000), (90, 100), (180, 200))
    assert found is not None and found.value == pytest.approx(0.2) and found.n == 1000


def test_a_judge_that_never_errs_needs_no_correction_but_keeps_its_uncertainty() -> None:
    few, many = (corrected_pass_rate((70, 100), (n, n), (n, n)) for n in (10, 10_000))
    assert few is not None and many is not None and few.value == many.value == pytest.approx(0.7)
    assert few.high - few.low > many.high - many.low > 0.17  # Wilson's of 70 of 100 is 0.178 wide


@pytest.mark.parametrize(
    "counts",
    [
        ((50, 100), (50, 100), (50, 100)),  # a coin
        ((50, 100), (20, 100), (20, 100)),  # worse than one
        ((0, 0), (9, 10), (9, 10)),
        ((5, 10), (0, 0), (9, 10)),
    ],
)
def test_no_correction_without_a_judge_that_tells_something(counts: tuple[tuple[int, int], ...]) -> None:
    assert corrected_pass_rate(*counts) is None


def test_value_and_limits_stay_between_0_and_1() -> None:
    low, high = corrected_pass_rate((8, 100), (90, 100), (90, 100)), corrected_pass_rate((99, 100), (9, 10), (9, 10))
    assert low is not None and high is not None
    assert 0 == low.low == low.value < low.high < 0.1
    assert 1 == high.high == high.value > high.low > 0.7


@pytest.mark.parametrize(
    ("rate", "se", "sp", "people"), [(0.7, 0.9, 0.8, 50), (0.95, 0.98, 0.7, 40), (0.3, 0.8, 0.95, 100)]
)
def test_intervals_cover_the_true_rate(rate: float, se: float, sp: float, people: int) -> None:
    """2,000 runs a cell; at least 95 % less three standard errors (1.5 points)."""
    random = np.random.default_rng(6)
    runs = 2000
    passes = random.binomial(300, rate * se + (1 - rate) * (1 - sp), runs)
    hits, rejections = random.binomial(people, se, runs), random.binomial(people, sp, runs)
    found = [
        corrected_pass_rate((int(p), 300), (int(h), people), (int(r), people))
        for p, h, r in zip(passes, hits, rejections, strict=True)
    ]
    assert np.mean([one is not None and one.low <= rate <= one.high for one in found]) >= 0.95 - 0.015
