"""Every measured value with its interval, and every difference between two models on the same questions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from pydantic import BaseModel, ConfigDict

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import FloatArray, Measured, Metric
from llmops.evaluation.statistics.bootstrap import SEED, resampled_totals, stretched_percentiles
from llmops.evaluation.statistics.bounded_scores import bounded_score, paired_limits
from llmops.evaluation.statistics.jackknife import influences, skewness_adjusted_t
from llmops.evaluation.statistics.pairing import Paired, pair

Limits = Callable[[float], tuple[float, float]]
"""alpha -> limits of the two-sided interval at level 1 - alpha"""
ArrayLimits = Callable[[float], tuple[FloatArray, FloatArray]]
"""The same for many test sets at once."""
MANY_GROUPS = 2000
"""From here on the bootstrap gives way to the skewness-adjusted t: no less accurate, and takes no draws."""


class Estimate(BaseModel):
    """A value, its interval, and the number of questions it was measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline in one metric, turned so that positive means better."""

    value: float
    n: int
    limits: Limits

    def estimate(self, alpha: float = 0.05) -> Estimate:
        low, high = self.limits(alpha)
        return Estimate(value=self.value, low=low, high=high, n=self.n)


def estimate(measured: Measured, level: float = 0.95, seed: int = SEED) -> Estimate:
    """The value of one metric with its interval.

    Shares get the Wilson interval on the effective sample size (`bounded_scores`); numbers without an upper end
    (loss) and real numbers the cluster bootstrap (`bootstrap`), from `MANY_GROUPS` groups on the skewness-adjusted t
    (`jackknife`); scores from 0 to 1 or 100 the wider of the two. Raises InputError with fewer than two groups.
    """
    return estimates({measured.metric.name: measured}, level, seed)[measured.metric.name]


def estimates(measured: Mapping[str, Measured], level: float = 0.95, seed: int = SEED) -> dict[str, Estimate]:
    """The same for several metrics, which share their resamples where they have as many groups."""
    tables = [(one.metric, one.group_totals) for one in measured.values()]
    for one, (metric, totals) in zip(measured.values(), tables, strict=True):
        _check_groups(metric.name, one.n, len(totals))
    found = {}
    for (name, one), (metric, totals), drawn in zip(measured.items(), tables, replicates(tables, seed), strict=True):
        low, high = value_limits(metric, totals, drawn)(1 - level)
        found[name] = Estimate(
            value=one.value, low=max(float(low), metric.lowest), high=min(float(high), metric.highest), n=one.n
        )
    return found


def differences(
    candidate: Mapping[str, Measured], baseline: Mapping[str, Measured], seed: int = SEED
) -> dict[str, Difference]:
    """Candidate against baseline in each metric that both have, paired on the questions that both have.

    By the same rule as `estimate`: Newcombe's paired interval (`bounded_scores.paired_limits`), one cluster bootstrap
    that draws the same groups for both models, or the wider of the two. Raises InputError where the two cannot be
    paired (see `pairing`), and with fewer than two groups in common.
    """
    return paired_differences(pair(candidate, baseline), seed)


def paired_differences(pairs: Mapping[str, Paired], seed: int = SEED) -> dict[str, Difference]:
    """The differences of models that were paired already."""
    for name, one in pairs.items():
        _check_groups(name, one.n, len(one.candidate_totals))
    ours = [(one.metric, one.candidate_totals) for one in pairs.values()]
    theirs = [(one.metric, one.baseline_totals) for one in pairs.values()]
    drawn = replicates(ours + theirs, seed)
    found = {}
    for name, one, drawn_1, drawn_2 in zip(pairs, pairs.values(), drawn, drawn[len(pairs) :], strict=False):
        both = None if drawn_1 is None or drawn_2 is None else (drawn_1, drawn_2)
        limits = difference_limits(one.metric, one.candidate_totals, one.baseline_totals, both)
        sign = 1.0 if one.metric.higher_is_better else -1.0
        found[name] = Difference(sign * (one.candidate_value - one.baseline_value), one.n, partial(_floats, limits))
    return found


def value_limits(metric: Metric, totals: FloatArray, drawn: FloatArray | None) -> ArrayLimits:
    """The interval of scores from (..., G, k) group totals and their replicates (draws, ...) if there are some."""
    wilson = partial(_scaled, bounded_score(metric, totals).limits, metric.highest) if _has_ends(metric) else None
    if wilson is not None and metric.scale == "share":
        return wilson
    value = metric.aggregate(totals.sum(axis=-2))
    influence = influences(metric, totals) if drawn is None else None
    sampled = _sampled(value, drawn, influence, totals.shape[-2])
    return partial(_wider, sampled, wilson) if wilson is not None else sampled


def difference_limits(
    metric: Metric, candidate: FloatArray, baseline: FloatArray, drawn: tuple[FloatArray, FloatArray] | None
) -> ArrayLimits:
    """The interval of candidate minus baseline, positive where the candidate is better.

    candidate, baseline: (..., G, k) totals of the same groups. drawn: the replicates of both, (draws, ...).
    """
    first, second = (candidate, baseline) if metric.higher_is_better else (baseline, candidate)
    newcombe = None
    if _has_ends(metric):
        scores = partial(paired_limits, bounded_score(metric, first), bounded_score(metric, second))
        newcombe = partial(_scaled, scores, metric.highest)
        if metric.scale == "share":
            return newcombe
    value = metric.aggregate(first.sum(axis=-2)) - metric.aggregate(second.sum(axis=-2))
    if drawn is None:
        sampled = _sampled(value, None, influences(metric, first) - influences(metric, second), first.shape[-2])
    else:
        sign = 1.0 if metric.higher_is_better else -1.0
        sampled = _sampled(value, sign * (drawn[0] - drawn[1]), None, first.shape[-2])
    return partial(_wider, sampled, newcombe) if newcombe is not None else sampled


def replicates(tables: Sequence[tuple[Metric, FloatArray]], seed: int = SEED) -> list[FloatArray | None]:
    """The bootstrap's scores of each metric, (draws, ...), from its (..., G, k) group totals.

    Tables with as many groups are drawn together: the same groups for all. None where none are needed: for a share,
    and with many groups.
    """
    found: list[FloatArray | None] = [None] * len(tables)
    together: dict[int, list[int]] = {}
    for place, (metric, totals) in enumerate(tables):
        if metric.scale != "share" and totals.shape[-2] < MANY_GROUPS:
            together.setdefault(totals.shape[-2], []).append(place)
    for groups, places in together.items():
        columns = [np.moveaxis(tables[place][1], -2, 0).reshape(groups, -1) for place in places]
        drawn = resampled_totals(np.hstack(columns), seed=seed)
        parts = np.split(drawn, np.cumsum([one.shape[1] for one in columns])[:-1], axis=1)
        for place, part in zip(places, parts, strict=True):
            metric, totals = tables[place]
            shape = (len(drawn), *totals.shape[:-2], totals.shape[-1])
            found[place] = metric.aggregate(part.reshape(shape))
    return found


def _has_ends(metric: Metric) -> bool:
    return bool(np.isfinite(metric.highest))


def _sampled(value: FloatArray, drawn: FloatArray | None, influence: FloatArray | None, groups: int) -> ArrayLimits:
    if drawn is None:
        assert influence is not None  # the one or the other
        return partial(skewness_adjusted_t, value, influence)
    ordered = np.sort(np.moveaxis(drawn, 0, -1), axis=-1)
    return partial(stretched_percentiles, value, ordered, groups)


def _scaled(limits: ArrayLimits, factor: float, alpha: float) -> tuple[FloatArray, FloatArray]:
    low, high = limits(alpha)
    return factor * low, factor * high


def _wider(first: ArrayLimits, second: ArrayLimits, alpha: float) -> tuple[FloatArray, FloatArray]:
    (low_1, high_1), (low_2, high_2) = first(alpha), second(alpha)
    return np.minimum(low_1, low_2), np.maximum(high_1, high_2)


def _floats(limits: ArrayLimits, alpha: float) -> tuple[float, float]:
    low, high = limits(alpha)
    return float(low), float(high)


def _check_groups(name: str, n: int, groups: int) -> None:
    if groups < 2:
        raise InputError(
            f"{name}: the {n} test inputs form a single group, which cannot tell "
            "how sure the value is; test on at least two independent groups"
        )
