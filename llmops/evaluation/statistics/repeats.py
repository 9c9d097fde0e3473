"""What asking each question several times tells: pass@k, pass^k, flakiness, and how many repeats are worth it.

The first three are metrics themselves: they come as `Measured`, so `estimate` gives their interval and `compare`
compares two models in them. All need a share (right or wrong) that was measured on several answers a question.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from scipy.special import betaln

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import Answers, FloatArray, IntArray, Measured, Metric, ratio


def pass_at(measured: Measured, k: int) -> Measured:
    """pass@k: the chance that at least one of k answers is right, unbiased: 1 - C(n - c, k) / C(n, k).

    c right of n answers a question (Chen et al. 2021, arXiv:2107.03374, equation 1). Every question counts alike.
    Raises InputError where a question has fewer than k answers.
    """
    right, asked = _counts(measured, k)
    return _of_questions(measured, _pass_at_metric(measured.metric, k), 1 - _all_of(asked - right, asked, k))


def pass_all(measured: Measured, k: int) -> Measured:
    """pass^k: the chance that all of k answers are right, unbiased: C(c, k) / C(n, k).

    Yao et al. 2024 (tau-bench, arXiv:2406.12045). Raises InputError where a question has fewer than k answers.
    """
    right, asked = _counts(measured, k)
    return _of_questions(measured, _pass_all_metric(measured.metric, k), _all_of(right, asked, k))


def flakiness(measured: Measured) -> Measured:
    """The share of questions that were answered right sometimes and wrong sometimes. `rows[:, 0]` says of each.

    It grows with the number of repeats; compare models that were asked equally often. Raises InputError where a
    question has a single answer.
    """
    right, asked = _counts(measured, 2)
    return _of_questions(measured, _flaky_metric(measured.metric), ((right > 0) & (right < asked)).astype(np.float64))


def with_answers(measured: Measured, k: int) -> Measured | None:
    """The questions with at least k measured answers; the others stay among the asked, as unmeasured. None if none has.

    pass@k and the like need k answers of every question. A question that lacks one is not dropped silently: where
    such a metric is gated, it counts as missing.
    """
    enough = _counts(measured, 1)[1] >= k
    if not enough.any():
        return None
    return Measured(
        metric=measured.metric,
        rows=measured.rows[enough],
        groups=measured.groups[enough],
        ids=measured.ids[enough],
        answers=None if measured.answers is None else measured.answers[enough],
        repeats=measured.repeats,
        unmeasured=np.concatenate([measured.unmeasured, measured.ids[~enough]])
        if len(measured.unmeasured)
        else measured.ids[~enough],
    )


def base_of(name: str) -> str | None:
    """The metric that pass@k, pass^k or flakiness of this name is made of; None for any other name.

    >>> base_of("exact_match.pass@3"), base_of("exact_match")
    ('exact_match', None)
    """
    parts = _NAME.fullmatch(name)
    return parts["base"] if parts else None


def metric_of_repeats(name: str, metrics: Mapping[str, Metric]) -> Metric | None:
    """The metric that such a name stands for, made from one of the given; None where it stands for none.

    >>> from llmops.evaluation.metrics.measurement import METRICS
    >>> found = metric_of_repeats("exact_match.pass^3", METRICS)
    >>> found.label if found else None
    'pass^3 of exact match'
    """
    parts = _NAME.fullmatch(name)
    if parts is None or parts["base"] not in metrics:
        return None
    base = metrics[parts["base"]]
    if parts["k"] is None:
        return _flaky_metric(base)
    return (_pass_at_metric if parts["kind"] == "@" else _pass_all_metric)(base, int(parts["k"]))


@dataclass(frozen=True)
class VarianceComponents:
    """Variance of the scores between questions and, for one answer, within a question; on n questions.

    One-way analysis of variance with unequal numbers of answers (Searle, Casella and McCulloch 1992, section 3.6);
    an estimate below 0 is 0.
    """

    between: float
    within: float
    n: int

    def standard_error(self, repeats: int, questions: int | None = None) -> float:
        """Of the mean score over so many questions (unset, those measured), asked so often each."""
        return sqrt((self.between + self.within / repeats) / (questions or self.n))

    def repeats_worth(self, excess: float = 0.1) -> int | None:
        """The fewest repeats whose standard error exceeds that of infinitely many by no more than this part.

        Beyond it only more questions help. None where questions do not differ: there every answer tells as much.

        >>> VarianceComponents(between=0.1, within=0.1, n=100).repeats_worth()
        5
        """
        if self.between == 0:
            return None
        return max(1, ceil(self.within / (((1 + excess) ** 2 - 1) * self.between)))


def share_components(measured: Measured) -> VarianceComponents:
    """The variance components of right and wrong, from the counts. Raises InputError unless there are repeats."""
    right, asked = _counts(measured, 1)
    return _components(asked, right, right)  # the squares of 0 and 1 are themselves


def variance_components(scores: FloatArray, question: IntArray) -> VarianceComponents:
    """The variance components of the scores of m answers, (m,), to the questions of these numbers, (m,).

    NaN scores (not measured) are left out. Raises InputError unless two questions, and one of them twice, were scored.
    """
    measured = np.isfinite(scores)
    place = np.unique(question[measured], return_inverse=True)[1]
    known = scores[measured]
    count, total, squares = (np.bincount(place, of).astype(np.float64) for of in (known**0, known, known**2))
    return _components(count, total, squares)


def _components(count: FloatArray, total: FloatArray, squares: FloatArray) -> VarianceComponents:
    n, answers = len(count), float(count.sum())
    if n < 2 or answers == n:
        raise InputError(
            f"{answers:,.0f} answers to {n:,} questions: variance within questions needs repeats; ask at least two "
            "questions, and more than once"
        )
    within = float(np.maximum(squares - total**2 / count, 0).sum()) / (answers - n)
    around = float((count * (total / count - total.sum() / answers) ** 2).sum()) / (n - 1)
    typical = (answers - float((count**2).sum()) / answers) / (n - 1)  # answers a question, for unequal numbers
    return VarianceComponents(between=max(0.0, (around - within) / typical), within=within, n=n)


def _counts(measured: Measured, k: int) -> tuple[FloatArray, FloatArray]:
    if measured.metric.scale != "share":
        raise InputError(f"{measured.metric.name} is no share of right answers; repeats are counted right or wrong")
    right, asked = measured.rows[:, 0], measured.rows[:, 1]
    fewest = int(asked.min())
    if k < 1 or fewest < k:
        question = measured.ids[int(asked.argmin())]
        raise InputError(
            f"{measured.metric.name}: question {question} has {fewest} answers, and {k} are needed; ask it more often, "
            "leave it out, or take a smaller k"
        )
    return right, asked


def _all_of(wanted: FloatArray, asked: FloatArray, k: int) -> FloatArray:
    """C(wanted, k) / C(asked, k): the chance that k drawn of those asked are all wanted."""
    enough = wanted >= k
    known = np.where(enough, wanted, k)
    # ln C(n, k) but for k!, which cancels: C(n, k) = 1 / ((n + 1) B(n - k + 1, k + 1)).
    logarithm = np.log(asked + 1) - np.log(known + 1) + betaln(asked - k + 1, k + 1) - betaln(known - k + 1, k + 1)
    return np.where(enough, np.exp(np.minimum(logarithm, 0.0)), 0.0)


_NAME = re.compile(r"(?P<base>.+)\.(?:flaky|pass(?P<kind>[@^])(?P<k>\d+))")


def _pass_at_metric(base: Metric, k: int) -> Metric:
    return Metric(f"{base.name}.pass@{k}", f"pass@{k} of {base.label}", "fraction", _no_rows, ratio)


def _pass_all_metric(base: Metric, k: int) -> Metric:
    return Metric(f"{base.name}.pass^{k}", f"pass^{k} of {base.label}", "fraction", _no_rows, ratio)


def _flaky_metric(base: Metric) -> Metric:
    return Metric(f"{base.name}.flaky", f"flaky in {base.label}", "share", _no_rows, ratio, higher_is_better=False)


def _of_questions(measured: Measured, metric: Metric, values: FloatArray) -> Measured:
    """One value a question; it takes all answers to a question to make it."""
    rows = np.column_stack([values, np.ones(len(values))])
    return Measured(metric, rows, measured.groups, measured.ids, unmeasured=measured.unmeasured)


def _no_rows(answers: Answers) -> FloatArray:
    raise InputError("a metric of repeats is made from a measured share, not from answers")
