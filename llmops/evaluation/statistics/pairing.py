"""Two models on the questions that both were measured on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import FloatArray, IntArray, Measured, Metric

Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Paired:
    """One metric of a candidate and a baseline on the n questions that both have, in one order.

    ids: (n,). group: (n,) 0 to G - 1. candidate, baseline: (n, k) sufficient statistics. candidate_missing: questions
    that only the baseline was measured on; baseline_missing: those that only the candidate was.
    """

    metric: Metric
    ids: Labels
    group: IntArray
    candidate: FloatArray
    baseline: FloatArray
    candidate_missing: int
    baseline_missing: int

    @property
    def n(self) -> int:
        """The number of questions compared."""
        return len(self.ids)

    @property
    def missing_share(self) -> float:
        """Of the questions that either was measured on, the share that one side lacks (the side that lacks more)."""
        return share_missing(self.n, self.candidate_missing, self.baseline_missing)

    @property
    def candidate_value(self) -> float:
        """The candidate's score on the questions compared."""
        return float(self.metric.aggregate(self.candidate.sum(axis=0)))

    @property
    def baseline_value(self) -> float:
        """The baseline's score on the questions compared."""
        return float(self.metric.aggregate(self.baseline.sum(axis=0)))

    @cached_property
    def candidate_totals(self) -> FloatArray:
        """(G, k): the candidate's statistics summed within each group."""
        return _totals(self.candidate, self.group)

    @cached_property
    def baseline_totals(self) -> FloatArray:
        """(G, k): the baseline's."""
        return _totals(self.baseline, self.group)

    @cached_property
    def changes(self) -> FloatArray:
        """(n,) candidate minus baseline on each question by itself, turned so that positive is better."""
        sign = 1.0 if self.metric.higher_is_better else -1.0
        return sign * (self.metric.aggregate(self.candidate) - self.metric.aggregate(self.baseline))

    @cached_property
    def grouped(self) -> bool:
        """Whether some group holds more than one question."""
        return len(self.candidate_totals) < self.n

    def take(self, places: npt.NDArray[Any]) -> "Paired":
        """The same of some of the questions."""
        group = np.unique(self.group[places], return_inverse=True)[1]
        return Paired(self.metric, self.ids[places], group, self.candidate[places], self.baseline[places], 0, 0)


def share_missing(n: int, candidate_missing: int, baseline_missing: int) -> float:
    """`Paired.missing_share` from its counts."""
    return max(candidate_missing, baseline_missing) / (n + candidate_missing + baseline_missing)


def pair(candidate: Mapping[str, Measured], baseline: Mapping[str, Measured]) -> dict[str, Paired]:
    """Each metric that both were measured by, on the questions that both were measured on.

    Questions are matched by their ids, in whatever order each side has them. Raises InputError if the two have no
    question in common, if a question belongs to different groups, or if the metric counts different things.
    """
    known: dict[tuple[int, ...], tuple[IntArray, IntArray, IntArray]] = {}
    found = {}
    for name in [name for name in candidate if name in baseline]:
        one, two = candidate[name], baseline[name]
        if one.rows.shape[1] != two.rows.shape[1]:
            raise InputError(
                f"{name}: the candidate was measured by {one.rows.shape[1]} statistics and the baseline by "
                f"{two.rows.shape[1]}; score the older run again"
            )
        key = (id(one.ids), id(two.ids), id(one.groups), id(two.groups))
        if key not in known:  # the metrics of one run share their questions, and sorting them is what takes long
            known[key] = _match(name, one, two)
        ours, theirs, group = known[key]
        found[name] = Paired(
            metric=one.metric,
            ids=one.ids[ours],
            group=group,
            candidate=one.rows[ours],
            baseline=two.rows[theirs],
            candidate_missing=two.n - len(ours),
            baseline_missing=one.n - len(ours),
        )
    return found


def _match(name: str, one: Measured, two: Measured) -> tuple[IntArray, IntArray, IntArray]:
    """Places of the common questions on each side, and their groups numbered by their sorted labels."""
    ids_1, ids_2 = _alike(one.ids, two.ids)
    if np.array_equal(ids_1, ids_2):
        ours = theirs = np.arange(one.n)
    else:
        _, ours, theirs = np.intersect1d(ids_1, ids_2, assume_unique=True, return_indices=True)
    if not len(ours):
        raise InputError(
            f"{name}: candidate and baseline have no question in common ({one.n:,} and {two.n:,} measured); "
            "compare runs on the same dataset"
        )
    labels_1, labels_2 = _alike(one.groups[ours], two.groups[theirs])
    differ = np.flatnonzero(labels_1 != labels_2)
    if differ.size:
        place = differ[0]
        raise InputError(
            f"{name}: question {one.ids[ours[place]]} is in group {labels_1[place]} for the candidate and "
            f"{labels_2[place]} for the baseline; measure both with the same groups"
        )
    return ours, theirs, np.unique(labels_1, return_inverse=True)[1]


def _alike(one: Labels, two: Labels) -> tuple[Labels, Labels]:
    """Labels of one type: those read back from a table are strings."""
    return (one, two) if one.dtype.kind == two.dtype.kind else (one.astype(str), two.astype(str))


def _totals(rows: FloatArray, group: IntArray) -> FloatArray:
    groups = int(group.max()) + 1
    return np.column_stack([np.bincount(group, column, groups) for column in rows.T])
