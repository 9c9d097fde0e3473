"""Wilson and Newcombe intervals against published values and statsmodels; honest at the ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from llmops.evaluation import METRICS, Measured
from llmops.evaluation.statistics.bounded_scores import BoundedScore, bounded_score, paired_limits, wilson


def shares(right: np.ndarray, groups: np.ndarray | None = None) -> BoundedScore:
    rows, ids = np.column_stack([right, np.ones(len(right))]).astype(float), np.arange(len(right))
    measured = Measured(METRICS["exact_match"], rows, ids if groups is None else groups, ids)
    return bounded_score(measured.metric, measured.group_totals)


def test_the_same_answers_three_times_over_leave_the_interval_as_it_was() -> None:
    right = np.repeat([1.0, 0.0], [1, 29])
    once = shares(right)
    rows, ids = np.column_stack([3 * right, np.full(30, 3.0)]), np.arange(30)
    thrice = bounded_score(METRICS["exact_match"], Measured(METRICS["exact_match"], rows, ids, ids).group_totals)
    assert np.allclose(thrice.limits(0.05), once.limits(0.05), atol=2e-3)
    low, high = proportion_confint(1, 30, method="wilson")
    assert np.allclose(thrice.limits(0.05), (low, high))


def pair(both: int, first_only: int, second_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, first_only, second_only, neither]
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Newcombe 1998, Stat. Med. 17:857, score method (the first two also in the tests of R's propint).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_newcombes_table(right: int, n: int, low: float, high: float) -> None:
    assert shares(np.arange(n) < right).limits(0.05) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(2, 3000), st.floats(0, 1), st.sampled_from([0.01, 0.05, 0.2]))
def test_wilson_equals_statsmodels(n: int, part: float, alpha: float) -> None:
    right = round(part * n)
    expected = proportion_confint(right, n, alpha=alpha, method="wilson")
    assert wilson(np.array(right / n), np.array(n), alpha) == pytest.approx(expected, abs=1e-12)
    assert shares(np.arange(n) < right).limits(alpha) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe 1998, Stat. Med. 17:2635, method 10, as quoted in the tests of the R package propint:
        # (both, first only, second only, neither).
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((18, 12, 2, 18), 0.0562, 0.3290),
        ((53, 0, 0, 1), -0.0729, 0.0729),
        ((0, 30, 0, 0), 0.8395, 1.0000),
        # Complete response before and after consolidation therapy (Cavo et al. 2012), as quoted in the tests
        # of the R package contingencytables (Fagerland, Lydersen and Laake 2017, chapter 8).
        ((59, 6, 16, 80), -0.1186, -0.0046),
    ],
)
def test_paired_difference_equals_newcombes_method_10(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    first, second = pair(*table)
    found = paired_limits(shares(first), shares(second), 0.05)
    assert found == pytest.approx((low, high), abs=5.1e-5)


def test_all_right_still_leaves_doubt() -> None:
    low, high = shares(np.ones(40)).limits(0.05)
    assert (low, high) == pytest.approx((0.9124, 1.0), abs=1e-4)  # 40 / (40 + 1.96^2)
    low, high = paired_limits(*[shares(np.ones(40))] * 2, 0.05)
    assert low < -0.05 < 0.05 < high


def test_samples_repeated_within_groups_count_once() -> None:
    right = np.array([1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1.0])
    other = np.array([1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1.0])
    groups = np.repeat(np.arange(12), 5)
    once, fivefold = shares(right), shares(np.repeat(right, 5), groups)
    assert fivefold.effective_n == pytest.approx(12)
    once_low, once_high = once.limits(0.05)
    low, high = fivefold.limits(0.05)  # wider, because that they hang together had to be estimated
    assert 0.9 * once_low < low <= once_low < once_high <= high < 1.05 * once_high
    other_once, other_fivefold = shares(other), shares(np.repeat(other, 5), groups)
    low, high = paired_limits(fivefold, other_fivefold, 0.05)
    once_low, once_high = paired_limits(once, other_once, 0.05)
    assert 1.2 * once_low < low <= once_low < once_high <= high < 1.2 * once_high


def test_all_right_in_ten_groups_is_worth_ten_samples() -> None:
    one = shares(np.ones(50), np.repeat(np.arange(10), 5))
    assert np.allclose(one.limits(0.05), wilson(np.array(1.0), np.array(10), 0.05))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 6)), min_size=3, max_size=60))
def test_swapping_the_models_mirrors_the_interval_which_always_has_width(
    rows: list[tuple[bool, bool, int]],
) -> None:
    first, second, groups = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    groups[:2] = [0, 1]  # at least two
    one, two = shares(first, groups), shares(second, groups)
    low, high = paired_limits(one, two, 0.05)
    assert low <= one.value - two.value <= high
    assert high - low > 1e-6
    assert paired_limits(two, one, 0.05) == pytest.approx((-high, -low))
    wide = paired_limits(one, two, 0.01)
    assert wide[0] <= low + 1e-12
    assert wide[1] >= high - 1e-12
