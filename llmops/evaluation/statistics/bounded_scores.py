"""Intervals for scores with two ends (shares, 0 to 100) that stay honest near the ends, groups or not.

Resampling 40 right answers out of 40 only ever gives 40 of 40, an interval of no width; a mean ROUGE of 98
with two failures among 40 fares little better. The score interval (Wilson 1927) does not degenerate: it is
computed here on the effective sample size, the number of independent yes-or-no samples that would have the
variance observed between groups (Korn and Graubard 1998, Survey Methodology 24:193).

Found by simulation, groups of five samples: 95 % intervals of a share cover 95 to 98 % where the samples of
a group are independent or hang together weakly (intraclass correlation 0.1), from 10 groups on (3,000 test
sets a cell, standard error 0.4 points). At correlation 0.3 they cover 95 % for shares of 50 and 70 %; for a
share of 90 % 91 % with 15 groups, 93.5 % with 25, 94 % with 40, 95 % with 80, because the few failures sit
in even fewer groups (20,000 test sets, standard error 0.2 points).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from llmops.evaluation.metrics.metric import FloatArray, Measured

AT_AN_END = 1e-9  # spread below which a score is 0 or 1 but for rounding


@dataclass(frozen=True)
class BoundedScore:
    """A score scaled to 0..1 and what it rests on: `effective_n` yes-or-no samples in `groups` groups.

    residuals: (G,) each group's part in the error of the score (from the jackknife over groups).
    """

    value: float
    residuals: FloatArray
    effective_n: float

    @property
    def groups(self) -> int:
        return len(self.residuals)

    def limits(self, alpha: float) -> tuple[float, float]:
        """Wilson limits at level 1 - alpha. With few groups the variance behind the effective sample size is
        itself uncertain: t with G - 1 degrees of freedom, as Korn and Graubard do.
        """
        tail = 1 - alpha / 2
        ideal = stdtrit(self.effective_n - 1, tail) if np.isfinite(self.effective_n) else ndtri(tail)
        few_groups = min(1.0, ideal / stdtrit(self.groups - 1, tail))
        return wilson(self.value, self.effective_n * few_groups**2, alpha)


def bounded_score(measured: Measured) -> BoundedScore:
    """Scale a share or a score from 0 to 100 to 0..1, with its effective sample size.

    A share of n trials has an effective sample size of at most n (a design effect of at least 1). At 0 or 1
    nothing tells how the samples of a group hang together: then each group counts as one.
    """
    totals, highest = measured.group_totals, measured.metric.highest
    groups = len(totals)
    value = min(1.0, max(0.0, measured.value / highest))
    spread = value * (1 - value)
    if spread < AT_AN_END:
        return BoundedScore(float(round(value)), np.zeros(groups), float(groups))
    without_one = measured.metric.aggregate(totals.sum(axis=0) - totals) / highest
    residuals = (without_one.mean() - without_one) * (groups - 1) / groups
    variance = groups / (groups - 1) * float(residuals @ residuals)
    worth = 1 + spread / variance if variance > 0 else np.inf
    trials = float(totals[:, 1].sum()) if measured.metric.scale == "share" else np.inf
    return BoundedScore(value, residuals, min(trials, worth))


def wilson(value: float, n: float, alpha: float) -> tuple[float, float]:
    """Score limits for a share of n trials at level 1 - alpha (Wilson 1927); n may be a fraction.

    >>> low, high = wilson(81 / 263, 263, 0.05)  # Newcombe 1998, Stat. Med. 17:857
    >>> round(low, 4), round(high, 4)
    (0.2553, 0.3662)
    """
    z = ndtri(1 - alpha / 2)
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(value * (1 - value) / n + (z / (2 * n)) ** 2) / (1 + z * z / n)
    low = 0.0 if value == 0 else max(0.0, float(middle - half))
    high = 1.0 if value == 1 else min(1.0, float(middle + half))
    return low, high


def paired_limits(first: BoundedScore, second: BoundedScore, alpha: float) -> tuple[float, float]:
    """Limits at level 1 - alpha for first minus second, both measured on the same groups.

    Newcombe 1998 (Stat. Med. 17:2635), method 10: square and add the distances to the two Wilson limits, with
    the correlation of the two scores, a positive one shrunk by his continuity correction. For right and wrong
    without groups it is his interval; with groups, limits and correlation are those of the groups. It has no
    zero width, not even where the two never differ.
    """
    low_1, high_1 = first.limits(alpha)
    low_2, high_2 = second.limits(alpha)
    correlation = _correlation(first, second)

    def add(a: float, b: float) -> float:
        return float(np.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b)))

    difference = first.value - second.value
    return (
        difference - add(first.value - low_1, high_2 - second.value),
        difference + add(high_1 - first.value, second.value - low_2),
    )


def _correlation(first: BoundedScore, second: BoundedScore) -> float:
    norm = float(np.sqrt((first.residuals @ first.residuals) * (second.residuals @ second.residuals)))
    if norm == 0:
        return 0.0
    correlation = float(first.residuals @ second.residuals) / norm
    if correlation <= 0:
        return max(-1.0, correlation)
    n = min(first.effective_n, second.effective_n)
    spread = np.sqrt(first.value * (1 - first.value) * second.value * (1 - second.value))
    return max(0.0, float(correlation - 1 / (2 * n * spread)))
