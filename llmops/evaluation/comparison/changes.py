"""Which questions broke and which were fixed, one by one."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import Measured
from llmops.evaluation.statistics.pairing import Paired, pair

HALF = 0.5  # for right and wrong: at least half of a question's answers turned


class Change(BaseModel):
    """A question on which the two differ: its scores, and candidate minus baseline (positive is better)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    baseline: float
    candidate: float
    change: float


class Changes(BaseModel):
    """The questions on which a metric fell or rose, the largest change first.

    regressed, fixed: how many there are; the lists may be cut. compared: of how many questions. threshold: the least
    change that counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    label: str
    threshold: float
    compared: int
    regressed: int
    fixed: int
    regressions: tuple[Change, ...]
    fixes: tuple[Change, ...]


def find_changes(
    candidate: Measured, baseline: Measured, threshold: float | None = None, most: int | None = 100
) -> Changes:
    """Regressions and fixes of one metric, question by question.

    threshold: the least change that counts, in the metric's unit; unset, for right and wrong a half (right became
    wrong; with repeats, at least half of the answers turned), and for other scores any change. most: the longest
    either list may get; None lists all. One question's change says little where answers vary (see `repeats`).
    """
    if threshold is not None and not threshold >= 0:
        raise InputError(f"a change of at least {threshold} was asked for; give 0 or more")
    one = pair({candidate.metric.name: candidate}, {candidate.metric.name: baseline})[candidate.metric.name]
    least = threshold if threshold is not None else HALF if one.metric.scale == "share" else 0.0
    # 0.8 - 0.7 counts as 0.1.
    counts = (np.abs(one.changes) >= least - 1e-12) & (one.changes != 0)
    worse, better = np.flatnonzero(counts & (one.changes < 0)), np.flatnonzero(counts & (one.changes > 0))
    return Changes(
        metric=one.metric.name,
        label=one.metric.label,
        threshold=least,
        compared=one.n,
        regressed=len(worse),
        fixed=len(better),
        regressions=_largest(one, worse, most),
        fixes=_largest(one, better, most),
    )


def _largest(one: Paired, places: np.ndarray, most: int | None) -> tuple[Change, ...]:
    order = places[np.lexsort((one.ids[places], -np.abs(one.changes[places])))][:most]
    before, after = one.metric.aggregate(one.baseline[order]), one.metric.aggregate(one.candidate[order])
    return tuple(
        Change(id=str(key), baseline=was, candidate=now, change=change)
        for key, was, now, change in zip(
            one.ids[order], before.tolist(), after.tolist(), one.changes[order].tolist(), strict=True
        )
    )
