"""Two models on the questions that both were asked: what both were measured on, and what each side lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import FloatArray, IntArray, Measured, Metric

Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Paired:
    """One metric of a candidate and a baseline on the questions that both were asked, in one order.

    asked: (c,) ids of the questions that both were asked. compared: (n,) places among them of the questions that both
    were measured on. group: (n,) 0 to G - 1. candidate, baseline: (n, k) sufficient statistics. candidate_lacks,
    baseline_lacks: (c,) how many answers to each question were asked for and not measured. candidate_repeats,
    baseline_repeats: how many were asked for. candidate_only, baseline_only: questions that the other was not asked.
    """

    metric: Metric
    asked: Labels
    compared: IntArray
    group: IntArray
    candidate: FloatArray
    baseline: FloatArray
    candidate_lacks: IntArray
    baseline_lacks: IntArray
    candidate_repeats: int = 1
    baseline_repeats: int = 1
    candidate_only: int = 0
    baseline_only: int = 0

    @property
    def n(self) -> int:
        """The number of questions compared."""
        return len(self.compared)

    @cached_property
    def ids(self) -> Labels:
        """(n,) of the questions compared."""
        return self.asked[self.compared]

    @property
    def candidate_missing(self) -> int:
        """Answers to common questions that were asked of the candidate and not measured."""
        return int(self.candidate_lacks.sum())

    @property
    def baseline_missing(self) -> int:
        """The baseline's."""
        return int(self.baseline_lacks.sum())

    @property
    def candidate_asked(self) -> int:
        """Answers to common questions that were asked of the candidate."""
        return self.candidate_repeats * len(self.asked)

    @property
    def baseline_asked(self) -> int:
        """The baseline's."""
        return self.baseline_repeats * len(self.asked)

    @property
    def missing_share(self) -> float:
        """Of the answers asked of a side, the share that was not measured (of the side that lacks more)."""
        return max(
            share_missing(self.candidate_missing, self.candidate_asked),
            share_missing(self.baseline_missing, self.baseline_asked),
        )

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

    @cached_property
    def _row(self) -> IntArray:
        """(c,) where a question stands among those compared, -1 for those that are not."""
        rows = np.full(len(self.asked), -1)
        rows[self.compared] = np.arange(self.n)
        return rows

    def take(self, places: npt.NDArray[Any]) -> "Paired":
        """The same of some of the questions that both were asked."""
        rows = self._row[places]
        kept = rows[rows >= 0]
        return replace(
            self,
            asked=self.asked[places],
            compared=np.flatnonzero(rows >= 0),
            group=np.unique(self.group[kept], return_inverse=True)[1],
            candidate=self.candidate[kept],
            baseline=self.baseline[kept],
            candidate_lacks=self.candidate_lacks[places],
            baseline_lacks=self.baseline_lacks[places],
        )


def share_missing(missing: int, asked: int) -> float:
    """The share of the answers asked that was not measured; 0 where none was asked."""
    return missing / asked if asked else 0.0


@dataclass(frozen=True)
class _Common:
    """Places of the questions that both were asked, among each side's `asked`, and which of them both measured.

    one, two: (c,). compared: (n,) places among the c. group: (n,) numbered by the sorted labels.
    """

    one: IntArray
    two: IntArray
    compared: IntArray
    group: IntArray


def pair(candidate: Mapping[str, Measured], baseline: Mapping[str, Measured]) -> dict[str, Paired]:
    """Each metric that both were measured by, on the questions that both were asked.

    Questions are matched by their ids, in whatever order each side has them. Raises InputError if the two have no
    measured question in common, if a question belongs to different groups, or if the metric counts different things.
    """
    known: dict[tuple[int, ...], _Common] = {}
    found = {}
    for name in [name for name in candidate if name in baseline]:
        one, two = candidate[name], baseline[name]
        if one.rows.shape[1] != two.rows.shape[1]:
            raise InputError(
                f"{name}: the candidate was measured by {one.rows.shape[1]} statistics and the baseline by "
                f"{two.rows.shape[1]}; score the older run again"
            )
        key = tuple(id(part) for side in (one, two) for part in (side.ids, side.groups, side.unmeasured))
        if key not in known:  # the metrics of one run share their questions, and sorting them is what takes long
            known[key] = _match(name, one, two)
        common = known[key]
        found[name] = Paired(
            metric=one.metric,
            asked=one.asked[common.one],
            compared=common.compared,
            group=common.group,
            candidate=one.rows[common.one[common.compared]],
            baseline=two.rows[common.two[common.compared]],
            candidate_lacks=one.lacking[common.one],
            baseline_lacks=two.lacking[common.two],
            candidate_repeats=one.repeats,
            baseline_repeats=two.repeats,
            candidate_only=len(one.asked) - len(common.one),
            baseline_only=len(two.asked) - len(common.two),
        )
    return found


def _match(name: str, one: Measured, two: Measured) -> _Common:
    ids_1, ids_2 = _alike(one.asked, two.asked)
    if np.array_equal(ids_1, ids_2):
        ours = theirs = np.arange(len(ids_1))
    else:
        _, ours, theirs = np.intersect1d(ids_1, ids_2, assume_unique=True, return_indices=True)
    if not len(ours):
        raise InputError(
            f"{name}: candidate and baseline have no question in common ({len(ids_1):,} and {len(ids_2):,} asked); "
            "compare runs on the same dataset"
        )
    compared = np.flatnonzero((ours < one.n) & (theirs < two.n))
    if not len(compared):
        raise InputError(
            f"{name}: of {len(ours):,} questions that candidate and baseline were both asked, none was measured of "
            "both; see why answers are missing, or take it out of the gate"
        )
    labels_1, labels_2 = _alike(one.groups[ours[compared]], two.groups[theirs[compared]])
    differ = np.flatnonzero(labels_1 != labels_2)
    if differ.size:
        place = differ[0]
        raise InputError(
            f"{name}: question {one.ids[ours[compared[place]]]} is in group {labels_1[place]} for the candidate and "
            f"{labels_2[place]} for the baseline; measure both with the same groups"
        )
    return _Common(ours, theirs, compared, np.unique(labels_1, return_inverse=True)[1])


def _alike(one: Labels, two: Labels) -> tuple[Labels, Labels]:
    """Labels of one type: those read back from a table are strings."""
    return (one, two) if one.dtype.kind == two.dtype.kind else (one.astype(str), two.astype(str))


def _totals(rows: FloatArray, group: IntArray) -> FloatArray:
    groups = int(group.max()) + 1
    return np.column_stack([np.bincount(group, column, groups) for column in rows.T])
