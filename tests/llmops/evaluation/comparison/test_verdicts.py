"""Verdicts against the tests and the power that other libraries compute."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from llmops.evaluation import METRICS, Estimate, Measured, differences
from llmops.evaluation.comparison.verdicts import decide, samples_needed


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_not_worse_is_the_lower_half_of_a_tost(alpha: float) -> None:
    """Losses whose differences are symmetric, so that no skewness shifts the t interval of many groups."""
    random = np.random.default_rng(0)
    changes = random.normal(size=1500)
    changes = 0.02 + np.concatenate([changes, -changes])
    theirs = random.normal(5, 1, 3000)
    ours, ids = theirs - changes, np.arange(3000)
    sides = [
        {"loss": Measured(METRICS["loss"], np.column_stack([of, np.ones(3000)]), ids, ids)} for of in (ours, theirs)
    ]
    found = differences(*sides)["loss"]
    margin = -found.limits(alpha)[0]  # at this margin it is just not worse
    p = ttost_paired(theirs, ours, -margin, 1.0)[1][1]
    assert p == pytest.approx(alpha / 2, rel=1e-6)
    assert decide({"loss": found.limits}, {"loss": margin * 1.0001}, alpha) == {"loss": "not worse"}
    assert decide({"loss": found.limits}, {"loss": margin * 0.9999}, alpha) == {"loss": "inconclusive"}


@pytest.mark.parametrize("metrics", [1, 5, 20])
@pytest.mark.parametrize(("value", "margin"), [(0.0, 0.2), (0.1, 0.1), (-0.3, 0.1)])
def test_samples_needed_equals_statsmodels_power(value: float, margin: float, metrics: int) -> None:
    """Of the one-sided t test at Holm's first level; the normal approximation is a few questions short of it."""
    half = 1.959964 / np.sqrt(20)  # standard deviation 1, 20 questions
    found = samples_needed(Estimate(value=value, low=value - half, high=value + half, n=20), margin, 0.05, metrics)
    gap = max(value + margin, -value)
    expected = TTestPower().solve_power(gap, alpha=0.025 / metrics, power=0.8, alternative="larger")
    assert found is not None
    assert 0 <= expected - found < 6
