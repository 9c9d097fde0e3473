"""Intervals for scores with two ends (shares, 0 to 100) that stay honest near the ends, groups or not.

Resampling 40 right answers out of 40 only ever gives 40 of 40, an interval of no width; a mean ROUGE of 98
with two failures among 40 fares little better. The score interval (Wilson 1927) does not degenerate: it is
computed here on the effective sample size, the number of independent yes-or-no samples that would have the
variance observed between groups (Korn and Graubard 1998, Survey Methodology 24:193).

All functions take the figures of many test sets at once: `...` stands for any leading axes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from llmops.evaluation.metrics.metric import FloatArray, Metric
from llmops.evaluation.statistics.jackknife import influences

AT_AN_END = 1e-9  # spread below which a score is 0 or 1 but for rounding


@dataclass(frozen=True)
class BoundedScore:
    """A score scaled to 0..1 and what it rests on: `effective_n` yes-or-no samples in G groups.

    value, effective_n, degrees, fewest: (...). residuals: (..., G) each group's part in the error of the score.
    degrees: of freedom of the variance behind the effective sample size. fewest: what it is worth if all samples of a
    group are alike; an interval need never be wider than that.
    """

    value: FloatArray
    residuals: FloatArray
    effective_n: FloatArray
    degrees: FloatArray
    fewest: FloatArray

    def limits(self, alpha: float) -> tuple[FloatArray, FloatArray]:
        """Wilson limits at level 1 - alpha. With few groups the variance behind the effective sample size is
        itself uncertain: t in place of z, as Korn and Graubard do.
        """
        tail = 1 - alpha / 2
        finite = np.isfinite(self.effective_n)
        ideal = np.where(finite, stdtrit(np.where(finite, self.effective_n, 2) - 1, tail), ndtri(tail))
        few_groups = np.minimum(1.0, ideal / stdtrit(self.degrees, tail))
        return wilson(self.value, np.maximum(self.effective_n * few_groups**2, self.fewest), alpha)


def bounded_score(metric: Metric, totals: FloatArray) -> BoundedScore:
    """Scale a share or a score from 0 to 100 to 0..1, with its effective sample size, from (..., G, k) group totals.

    A share of n trials has an effective sample size of at most n (a design effect of at least 1). At 0 or 1
    nothing tells how the samples of a group hang together: then each group counts as one.
    """
    groups, highest = totals.shape[-2], metric.highest
    value = np.clip(metric.aggregate(totals.sum(axis=-2)) / highest, 0.0, 1.0)
    spread = value * (1 - value)
    at_an_end = spread < AT_AN_END
    residuals = np.where(at_an_end[..., np.newaxis], 0.0, influences(metric, totals) / highest)
    variance = groups / (groups - 1) * np.square(residuals).sum(axis=-1)
    effective_n = 1 + np.divide(spread, variance, out=np.full_like(spread, np.inf), where=variance > 0)
    if metric.scale == "share":
        effective_n = np.minimum(totals[..., 1].sum(axis=-1), effective_n)
    effective_n = np.where(at_an_end, float(groups), effective_n)
    degrees = np.full_like(value, groups - 1)
    fewest = np.ones_like(value)
    if metric.scale == "share" and totals[..., 1].max() > 1:  # the variance of single trials follows from their share
        degrees = np.minimum(degrees, _degrees_of_freedom(residuals))
        # Answers of a group are at worst all alike; then each group is one trial, weighted by its size (Kish 1965).
        sizes = totals[..., 1]
        fewest = np.square(sizes.sum(axis=-1)) / np.square(sizes).sum(axis=-1)
    return BoundedScore(np.where(at_an_end, np.round(value), value), residuals, effective_n, degrees, fewest)


def _degrees_of_freedom(residuals: FloatArray) -> FloatArray:
    """Of the variance of (..., G) residuals: 2 G / (kurtosis - 1), at least 2.

    Satterthwaite's (1946, Biometrics Bulletin 2:110): a variance whose own variance is (kurtosis - 1) / G of its
    square is worth a chi-square of so many degrees; G for normal residuals. Where the few wrong answers sit in fewer
    groups still, the variance says little: at 90 % right and an intraclass correlation of 0.3 in groups of five, G - 1
    degrees cover 91 % with 15 groups and 94 % with 25, these 97 % and 95 %.
    """
    second, fourth = np.square(residuals).mean(axis=-1), np.power(residuals, 4).mean(axis=-1)
    kurtosis = np.divide(fourth, second**2, out=np.full_like(second, 3.0), where=second > 0)
    found: FloatArray = np.maximum(2.0, 2 * residuals.shape[-1] / np.maximum(kurtosis - 1, 1e-9))
    return found


def wilson(value: FloatArray, n: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Score limits for a share of n trials at level 1 - alpha (Wilson 1927); n may be a fraction.

    >>> low, high = wilson(np.array(81 / 263), np.array(263), 0.05)  # Newcombe 1998, Stat. Med. 17:857
    >>> round(float(low), 4), round(float(high), 4)
    (0.2553, 0.3662)
    """
    z = ndtri(1 - alpha / 2)
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(value * (1 - value) / n + (z / (2 * n)) ** 2) / (1 + z * z / n)
    low = np.where(value == 0, 0.0, np.maximum(0.0, middle - half))
    high = np.where(value == 1, 1.0, np.minimum(1.0, middle + half))
    return low, high


def paired_limits(first: BoundedScore, second: BoundedScore, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Limits at level 1 - alpha for first minus second, both measured on the same groups.

    Newcombe 1998 (Stat. Med. 17:2635), method 10: square and add the distances to the two Wilson limits, with
    the correlation of the two scores, a positive one shrunk by his continuity correction. For right and wrong
    without groups it is his interval; with groups, limits and correlation are those of the groups. It has no
    zero width, not even where the two never differ.
    """
    low_1, high_1 = first.limits(alpha)
    low_2, high_2 = second.limits(alpha)
    correlation = _correlation(first, second)

    def add(a: FloatArray, b: FloatArray) -> FloatArray:
        length: FloatArray = np.sqrt(np.maximum(0.0, a * a - 2 * correlation * a * b + b * b))
        return length

    difference = first.value - second.value
    return (
        difference - add(first.value - low_1, high_2 - second.value),
        difference + add(high_1 - first.value, second.value - low_2),
    )


def _correlation(first: BoundedScore, second: BoundedScore) -> FloatArray:
    """Of the two scores' errors; 0 where one of them is at an end."""

    def product(a: BoundedScore, b: BoundedScore) -> FloatArray:
        found: FloatArray = np.einsum("...g,...g->...", a.residuals, b.residuals)
        return found

    norm = np.sqrt(product(first, first) * product(second, second))
    correlation = np.divide(product(first, second), norm, out=np.zeros_like(norm), where=norm > 0)
    n = np.minimum(first.effective_n, second.effective_n)
    spread = np.sqrt(first.value * (1 - first.value) * second.value * (1 - second.value))
    correction = np.divide(1.0, 2 * n * spread, out=np.zeros_like(spread), where=spread > 0)
    shrunk: FloatArray = np.maximum(0.0, correlation - correction)
    return np.where(correlation <= 0, np.maximum(-1.0, correlation), shrunk)
