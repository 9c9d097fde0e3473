"""From limits to verdicts: three questions a metric, each corrected for their number.

For each gated metric the difference (positive is better) is asked three one-sided questions at alpha / 2:

- superior: is it above 0?              yes -> `better`
- non-inferior: is it above -margin?    yes -> `not worse`
- inferior: is it below 0?              yes -> `worse`
- none of them                          -> `inconclusive`

With several metrics some would look better or worse by chance, so each question is asked of all metrics with
Holm's step-down correction (Holm 1979): the chance that any metric gets a false `better` is at most alpha /
2, and the same for `worse` and for `not worse`. Holm is expressed through interval levels, because the
intervals are what is reported: with k metrics undecided the interval at level 1 - alpha / k decides.
"""

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Literal

from scipy.special import ndtri

from llmops.evaluation.statistics.holm import Name, holm
from llmops.evaluation.statistics.intervals import Estimate, Limits

Verdict = Literal["better", "not worse", "worse", "inconclusive"]
POWER = 0.8  # of the study that `samples_needed` plans


def decide(limits: Mapping[Name, Limits], margins: Mapping[Name, float], alpha: float) -> dict[Name, Verdict]:
    """The verdict of each metric from the limits of its difference, corrected for their number."""
    superior = holm(limits, lambda name, level: limits[name](level)[0] > 0, alpha)
    non_inferior = holm(limits, lambda name, level: limits[name](level)[0] > -margins[name], alpha)
    inferior = holm(limits, lambda name, level: limits[name](level)[1] < 0, alpha)

    def verdict(name: Name) -> Verdict:
        if name in superior:
            return "better"
        if name in non_inferior:
            return "not worse"
        return "worse" if name in inferior else "inconclusive"

    return {name: verdict(name) for name in limits}


def samples_needed(difference: Estimate, margin: float, alpha: float, metrics: int = 1) -> int | None:
    """Test inputs that would settle an inconclusive metric with a chance of 80 %.

    Normal approximation n (z(1 - alpha / 2k) + z(0.8))^2 se^2 / gap^2 with the standard error behind the
    interval at level 1 - alpha, Holm's first level for k metrics, and the larger of two gaps: from the
    difference to -margin (it would turn out not worse) or down from 0 (it would turn out worse). None if
    both are 0.

    >>> samples_needed(Estimate(value=0.0, low=-0.05, high=0.05, n=100), margin=0.02, alpha=0.05)
    1278
    """
    gap = max(difference.value + margin, -difference.value)
    if gap <= 0:
        return None
    z = ndtri(1 - alpha / 2)
    standard_error = (difference.high - difference.low) / (2 * z)
    planned = ndtri(1 - alpha / (2 * metrics)) + ndtri(POWER)
    needed = difference.n * (planned * standard_error / gap) ** 2
    return max(difference.n + 1, ceil(needed)) if isfinite(needed) else None
