"""Every measured value with its interval, and every difference between two models on the same samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from pydantic import BaseModel, ConfigDict

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import FloatArray, Measured
from llmops.evaluation.statistics.bootstrap import SEED, resampled_totals, stretched_percentiles
from llmops.evaluation.statistics.bounded_scores import bounded_score, paired_limits

Limits = Callable[[float], tuple[float, float]]
"""alpha -> limits of the two-sided interval at level 1 - alpha"""


class Estimate(BaseModel):
    """A value, its interval, and the number of samples it was measured on."""

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

    Numbers without an upper end (loss) get the cluster bootstrap (`bootstrap`), shares the Wilson interval on
    the effective sample size (`bounded_scores`), scores from 0 to 100 the wider of the two. Raises InputError
    with fewer than two groups.
    """
    return estimates({measured.metric.name: measured}, level, seed)[measured.metric.name]


def estimates(measured: Mapping[str, Measured], level: float = 0.95, seed: int = SEED) -> dict[str, Estimate]:
    """The same for several metrics of the same samples, which share their resamples."""
    replicates = _replicates(list(measured.values()), seed)
    found = {}
    for (name, one), resampled in zip(measured.items(), replicates, strict=True):
        low, high = _limits(one, resampled)(1 - level)
        low, high = max(low, 0.0), min(high, one.metric.highest)
        found[name] = Estimate(value=one.value, low=low, high=high, n=one.n)
    return found


def differences(
    candidate: Mapping[str, Measured], baseline: Mapping[str, Measured], seed: int = SEED
) -> dict[str, Difference]:
    """Candidate against baseline in each metric that both have, paired on the samples.

    By the same rule: one cluster bootstrap that draws the same groups for both models, Newcombe's paired
    interval (`bounded_scores.paired_limits`), or the wider of the two. Raises InputError if the two were not
    measured on the same samples.
    """
    names = [name for name in candidate if name in baseline]
    for name in names:
        _check_same_samples(name, candidate[name], baseline[name])
    replicates = _replicates([measured[name] for measured in (candidate, baseline) for name in names], seed)
    found = {}
    for place, name in enumerate(names):
        one, two = candidate[name], baseline[name]
        resampled_1, resampled_2 = replicates[place], replicates[len(names) + place]
        sign = 1.0 if one.metric.higher_is_better else -1.0
        value = sign * (one.value - two.value)
        limits = _paired_limits(one, two, value, sign * (resampled_1 - resampled_2))
        found[name] = Difference(value, one.n, limits)
    return found


def _limits(measured: Measured, resampled: FloatArray) -> Limits:
    groups, scale = len(measured.group_totals), measured.metric.scale
    bootstrap = partial(stretched_percentiles, measured.value, resampled, groups)
    if scale == "number":
        return bootstrap
    wilson = partial(_scaled, bounded_score(measured).limits, measured.metric.highest)
    return wilson if scale == "share" else partial(_wider, bootstrap, wilson)


def _paired_limits(one: Measured, two: Measured, value: float, resampled: FloatArray) -> Limits:
    groups, scale = len(one.group_totals), one.metric.scale
    bootstrap = partial(stretched_percentiles, value, resampled, groups)
    if scale == "number":
        return bootstrap
    first, second = (one, two) if one.metric.higher_is_better else (two, one)
    scores = partial(paired_limits, bounded_score(first), bounded_score(second))
    newcombe = partial(_scaled, scores, one.metric.highest)
    return newcombe if scale == "share" else partial(_wider, bootstrap, newcombe)


def _scaled(limits: Limits, factor: float, alpha: float) -> tuple[float, float]:
    low, high = limits(alpha)
    return factor * low, factor * high


def _wider(first: Limits, second: Limits, alpha: float) -> tuple[float, float]:
    (low_1, high_1), (low_2, high_2) = first(alpha), second(alpha)
    return min(low_1, low_2), max(high_1, high_2)


def _replicates(measured: list[Measured], seed: int) -> list[FloatArray]:
    """The bootstrap scores of each metric, (draws,); all metrics drawn together. Empty for a share."""
    for one in measured:
        if len(one.group_totals) < 2:
            raise InputError(
                f"{one.metric.name}: the {one.n} test inputs form a single group, which cannot tell "
                "how sure the value is; test on at least two independent groups"
            )
    drawn = [one for one in measured if one.metric.scale != "share"]
    totals = resampled_totals(np.hstack([one.group_totals for one in drawn]), seed=seed) if drawn else np.empty((0, 0))
    found, start = [], 0
    for one in measured:
        width = 0 if one.metric.scale == "share" else one.rows.shape[1]
        part = totals[:, start : start + width]
        found.append(one.metric.aggregate(part) if width else np.empty(0))
        start += width
    return found


def _check_same_samples(name: str, one: Measured, two: Measured) -> None:
    if one.n != two.n or not np.array_equal(one.ids, two.ids) or not np.array_equal(one.groups, two.groups):
        raise InputError(
            f"{name}: candidate and baseline were measured on different samples ({one.n} and {two.n}); "
            "evaluate both on the same test split, in the same order"
        )
