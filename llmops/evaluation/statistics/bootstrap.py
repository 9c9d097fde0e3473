"""The cluster bootstrap: whole groups drawn with replacement, the scores of every draw computed at once."""

import numpy as np
from scipy.special import ndtri, stdtrit

from llmops.evaluation.metrics.metric import FloatArray

DRAWS = 4000
"""Resamples. With Holm over eight metrics a limit is the 0.3 % quantile: 12 of 4,000 draws lie beyond it."""
SEED = 20261121
CELLS = 2_000_000  # weights held at a time, so that memory does not grow with the number of groups


def resampled_totals(group_totals: FloatArray, draws: int = DRAWS, seed: int = SEED) -> FloatArray:
    """Summed statistics of resamples of whole groups, (draws, k), from the totals of the groups, (G, k).

    The draws depend on the number of groups and the seed alone, so tables of the same samples are resampled
    alike: that is what makes a comparison paired. Columns of several tables may be stacked side by side.
    """
    count = len(group_totals)
    chunk = max(1, CELLS // count)
    random = np.random.default_rng(seed)
    varying = np.ptp(group_totals, axis=0) > 0
    tables = np.ascontiguousarray(group_totals[:, varying])
    totals = np.empty((draws, tables.shape[1]), tables.dtype)
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        drawn = random.integers(0, count, size=(size, count))
        drawn += np.arange(size)[:, np.newaxis] * count
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        np.matmul(weights.astype(tables.dtype), tables, out=totals[start : start + size])
    if varying.all():
        return totals
    # A column that is the same for all groups, as the number of questions is, is so in every resample.
    found = np.empty((draws, group_totals.shape[1]), totals.dtype)
    found[:, varying] = totals
    found[:, ~varying] = count * group_totals[0, ~varying]
    return found


def stretched_percentiles(
    value: FloatArray, ordered: FloatArray, groups: int, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Limits of the two-sided 1 - alpha interval: bootstrap percentiles, pulled outwards for few groups.

    value: (...). ordered: (..., draws) the bootstrap's values, sorted.

    Plain percentiles are too narrow with few groups: they take the normal for the t distribution, and the
    bootstrap's variance is (G - 1) / G of the unbiased one. Hesterberg (2015, "What Teachers Should Know
    About the Bootstrap", The American Statistician 69:371, "expanded percentile") reads
    percentiles further out; with few groups and small alpha those lie beyond all draws, so here the distance
    from the value to the percentile is stretched by the same factor, t(G - 1) / z * sqrt(G / (G - 1)), which
    for a normal bootstrap distribution is the same interval. The value always lies within the limits.

    Found by simulation (20,000 test sets a cell, standard error 0.2 points): 95 % intervals of a mean of
    normal values and of a loss per token cover 94 % with 5 groups, 94 to 95 % with 10, 95 % from 40 on;
    plain percentiles cover 84, 90 and 94 %. For a mean of exponential values it is 90 % with 10 groups, 92.5
    % with 20, 94 % with 40, 95 % from 100 on (2,000 sets, standard error 0.6 points or less).
    """
    tail = 1 - alpha / 2
    stretch = stdtrit(groups - 1, tail) / ndtri(tail) * np.sqrt(groups / (groups - 1))
    low, high = _quantile(ordered, 1 - tail), _quantile(ordered, tail)
    return value - stretch * np.maximum(value - low, 0), value + stretch * np.maximum(high - value, 0)


def _quantile(ordered: FloatArray, level: float) -> FloatArray:
    """NumPy's default (linear) quantile along the last axis, which is sorted already."""
    place = level * (ordered.shape[-1] - 1)
    below = min(int(place), ordered.shape[-1] - 2)
    found: FloatArray = ordered[..., below] + (place - below) * (ordered[..., below + 1] - ordered[..., below])
    return found
