"""What each group contributes to a score, and the interval that follows from it where groups are many."""

import numpy as np
from scipy.special import stdtrit

from llmops.evaluation.metrics.metric import FloatArray, Metric


def influences(metric: Metric, totals: FloatArray) -> FloatArray:
    """Each group's part in the error of the score, (..., G), from the totals of the groups, (..., G, k).

    The score without each group in turn (the jackknife over groups), turned so that the influences sum to zero and
    G / (G - 1) times the sum of their squares is the variance of the score. For a mean over groups of one size it is
    the group's distance from the mean, divided by G.
    """
    groups = totals.shape[-2]
    without_one = metric.aggregate(totals.sum(axis=-2, keepdims=True) - totals)
    found: FloatArray = (without_one.mean(axis=-1, keepdims=True) - without_one) * ((groups - 1) / groups)
    return found


def skewness_adjusted_t(value: FloatArray, influence: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Limits of the two-sided 1 - alpha interval: value + s (k (1 + 2 t^2) -+ t), k the skewness over 6 sqrt(G).

    Hesterberg 2015 (The American Statistician 69:371, section 5.4), after Johnson 1978 (JASA 73:536). Its error
    falls as 1 / G, that of bootstrap percentiles as 1 / sqrt(G).
    """
    groups = influence.shape[-1]
    squares = np.square(influence).sum(axis=-1)
    cubes = np.power(influence, 3).sum(axis=-1)
    error = np.sqrt(squares * groups / (groups - 1))
    skew = np.divide(cubes, squares**1.5, out=np.zeros_like(squares), where=squares > 0) / 6
    t = stdtrit(groups - 1, 1 - alpha / 2)
    shift = skew * (1 + 2 * t * t)
    return value + error * np.minimum(shift - t, 0), value + error * np.maximum(shift + t, 0)
