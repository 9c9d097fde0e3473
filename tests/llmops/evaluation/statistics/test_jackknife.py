"""Influences against the formula of a variance, the skewness-adjusted t against its source, both against bootstrap."""

import numpy as np
import pytest
from scipy import stats

from llmops.evaluation import METRICS
from llmops.evaluation.statistics.intervals import replicates, value_limits
from llmops.evaluation.statistics.jackknife import influences, skewness_adjusted_t

LOSS = METRICS["loss"]


def mean_totals(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones_like(values)], axis=-1)


def test_influences_give_the_standard_error_of_a_mean() -> None:
    values = np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
    found = influences(LOSS, mean_totals(values))
    assert found == pytest.approx((values - values.mean()) / 8)
    assert np.sqrt(8 / 7 * found @ found) == pytest.approx(stats.sem(values))


def test_without_skewness_it_is_students_interval() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7])
    low, high = skewness_adjusted_t(np.array(4.0), influences(LOSS, mean_totals(values)), 0.05)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 6, 4.0, stats.sem(values)))


def test_skewness_shifts_it_as_johnson_says() -> None:
    """x + s / sqrt(n) (k (1 + 2 t^2) -+ t), k the moment skewness over 6 sqrt(n)."""
    values = np.random.default_rng(1).exponential(size=50)
    low, high = skewness_adjusted_t(np.array(values.mean()), influences(LOSS, mean_totals(values)), 0.05)
    t, k = stats.t.ppf(0.975, 49), stats.skew(values) / (6 * np.sqrt(50))
    shift = k * (1 + 2 * t * t)
    expected = values.mean() + stats.sem(values) * np.array([shift - t, shift + t])
    assert (low, high) == pytest.approx(expected)


def test_it_agrees_with_the_bootstrap_where_it_takes_over() -> None:
    """At 1,900 groups, log-normal: limits within a tenth of the interval's width of each other."""
    totals = mean_totals(np.random.default_rng(2).lognormal(size=1900))
    drawn = value_limits(LOSS, totals, replicates([(LOSS, totals)])[0])(0.05)
    computed = value_limits(LOSS, totals, None)(0.05)
    width = drawn[1] - drawn[0]
    assert np.abs(np.array(drawn) - computed).max() < 0.1 * width


def test_coverage_of_a_skewed_mean() -> None:
    """Exponential, 200 groups: 2.5 % on either side, within three standard errors of 4,000 test sets."""
    values = np.random.default_rng(3).exponential(size=(4000, 200))
    low, high = skewness_adjusted_t(values.mean(axis=1), influences(LOSS, mean_totals(values)), 0.05)
    error = 3 * np.sqrt(0.025 * 0.975 / 4000)
    assert abs((low > 1).mean() - 0.025) < error
    assert abs((high < 1).mean() - 0.025) < error
