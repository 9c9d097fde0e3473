"""Measure a model's answers by every metric asked for."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.evaluation.metrics.answer_matching import EXACT_MATCH, MATCH_METRICS
from llmops.evaluation.metrics.choice_answers import CHOICE_METRICS, choice_metric
from llmops.evaluation.metrics.definitions import MetricDefinition
from llmops.evaluation.metrics.meteor import METEOR_METRIC
from llmops.evaluation.metrics.metric import Answers, FloatArray, Measured, Metric, TokenScored
from llmops.evaluation.metrics.number_answers import NUMBER_METRICS
from llmops.evaluation.metrics.operations import OPERATION_METRICS
from llmops.evaluation.metrics.refusals import REFUSAL_METRICS
from llmops.evaluation.metrics.rouge import ROUGE_METRICS
from llmops.evaluation.metrics.scoring import score
from llmops.evaluation.metrics.scoring_functions import function_metric, mlflow_metric
from llmops.evaluation.metrics.similarity import SIMILARITY_METRICS, embedding_metric
from llmops.evaluation.metrics.structure import (
    STRUCTURE_METRICS,
    contains_metric,
    json_metric,
    json_schema_metric,
    regex_metric,
)
from llmops.evaluation.metrics.text_overlap import BLEU_METRIC, CHRF_METRIC, TER_METRIC
from llmops.evaluation.metrics.token_likelihood import TOKEN_METRICS, TOKENS

TEXT_METRICS = (EXACT_MATCH, BLEU_METRIC, CHRF_METRIC, *ROUGE_METRICS)
"""What is measured where no metric is named: it needs nothing but outputs and references."""

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *TEXT_METRICS,
        *TOKEN_METRICS,
        *MATCH_METRICS,
        *NUMBER_METRICS,
        *CHOICE_METRICS,
        *STRUCTURE_METRICS,
        TER_METRIC,
        METEOR_METRIC,
        *SIMILARITY_METRICS,
        *REFUSAL_METRICS,
        *OPERATION_METRICS,
    )
}
"""The metrics that need no definition."""

_BY_TYPE: dict[str, Callable[[str, Any], Metric]] = {
    "contains": contains_metric,
    "regex": regex_metric,
    "json": json_metric,
    "json_schema": json_schema_metric,
    "choice": choice_metric,
    "embedding": embedding_metric,
    "function": function_metric,
    "mlflow": mlflow_metric,
}


def find_metric(name: str) -> Metric:
    """The metric of that name; InputError listing the known ones if there is none."""
    if name not in METRICS:
        raise InputError(f"no metric is called {name!r}; known are {', '.join(METRICS)}")
    return METRICS[name]


def build_metrics(
    names: Sequence[str] | None = None,
    definitions: Mapping[str, MetricDefinition] | None = None,
    *,
    token_scores: bool = False,
) -> list[Metric]:
    """The metrics of these names, in their order.

    names: metrics known by themselves or from the definitions; unset, `TEXT_METRICS`, all that are defined, and with
    token_scores those of token probabilities. definitions: metrics of one's own by name.

    Raises InputError for a name that is unknown, stands there twice, or is defined although it is known without, and
    for a definition that cannot be used.

    >>> from llmops.evaluation.metrics.definitions import RegexDefinition
    >>> [one.name for one in build_metrics(["has_year", "bleu"], {"has_year": RegexDefinition(pattern=r"\\d{4}")})]
    ['has_year', 'bleu']
    """
    own = definitions or {}
    for name in own:
        if name in METRICS:
            raise InputError(f"the metric {name!r} is defined here and known already; give yours another name")
        if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
            raise InputError(f"a metric cannot be called {name!r}; use letters, digits, '_', '-' and '.'")
    if names is None:
        names = [*(metric.name for metric in (*TEXT_METRICS, *(TOKEN_METRICS if token_scores else ()))), *own]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"asked for more than once: {', '.join(twice)}; name each metric once")
    unknown = [name for name in names if name not in METRICS and name not in own]
    if unknown:
        called = f"no metric is called {unknown[0]!r}" if len(unknown) == 1 else f"no metrics are called {unknown}"
        raise InputError(f"{called}; known are {', '.join([*METRICS, *own])}")
    return [METRICS[name] if name in METRICS else _BY_TYPE[own[name].type](name, own[name]) for name in names]


def gather(
    metric: Metric,
    rows: FloatArray,
    question: npt.NDArray[np.integer[Any]],
    ids: npt.NDArray[np.generic],
    groups: npt.NDArray[np.generic],
    repeats: int = 1,
) -> Measured:
    """What a metric measured of each question, from its rows of each answer.

    rows: (m, k) of m answers, NaN where one was not measured. question: (m,) the place of each answer's question among
    the n. ids, groups: (n,) of all questions that were asked. repeats: how many answers to each were asked for; where
    more came of some question, as many as that. The rows of a question's answers are summed; a question without a
    measured answer counts as asked and unmeasured. A metric that `needs_references` does not apply to a question that
    was answered and has none: that one was not asked as far as this metric goes.

    Raises InputError where no answer was measured.
    """
    measured = ~np.isnan(rows).any(axis=1)
    if not measured.any():
        raise InputError(
            f"{metric.name}: none of {len(rows)} answers could be measured; leave it out, or give what it needs"
        )
    sums = np.zeros((len(ids), rows.shape[1]))
    np.add.at(sums, question[measured], rows[measured])
    answered = np.bincount(question, minlength=len(ids))
    counts = np.bincount(question[measured], minlength=len(ids))
    known = counts > 0
    unmeasured = ~known & (answered == 0) if metric.needs_references else ~known
    return Measured(
        metric=metric,
        rows=sums[known],
        groups=groups[known],
        ids=ids[known],
        answers=counts[known],
        repeats=max(repeats, int(answered.max())),
        unmeasured=ids[unmeasured],
    )


def measure(
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    token_scores: Iterable[TokenScored] | None = None,
    groups: Sequence[object] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, Measured]:
    """Each metric's sufficient statistics for the answers to n distinct inputs.

    outputs: n generated texts. references: for each input one or more right answers (their number may
    differ). token_scores: one for each pair of input and reference, in the order of the references. groups:
    which inputs depend on each other; unset, each stands for itself. names: the metrics wanted; unset, the usual ones
    that the given data allow.

    Raises InputError for lengths that do not fit, an input without reference, an unknown metric, a token
    metric without token scores, and scores that are not finite.

    >>> measured = measure(["a cat", "a dog"], [["a cat", "the cat"], ["a bird"]], names=["exact_match"])
    >>> measured["exact_match"].value
    0.5
    """
    if not outputs or len(outputs) != len(references):
        raise InputError(
            f"{len(outputs)} outputs for {len(references)} test inputs; give one output for each, and at least one"
        )
    for place, texts in enumerate(references):
        if isinstance(texts, str) or not texts:
            raise InputError(f"test input {place} has no list of references; give at least one right answer")
    if groups is not None and len(groups) != len(outputs):
        raise InputError(f"{len(groups)} groups for {len(outputs)} test inputs; give one for each")

    answers = Answers(outputs, references, token_scores=_token_scores(token_scores, references))
    wanted = build_metrics(names, token_scores=answers.token_scores is not None)
    labels = np.asarray(range(len(outputs)) if groups is None else [str(group) for group in groups])
    ids = np.asarray([content_digest([place, list(texts)]) for place, texts in enumerate(references)])
    rows = score(wanted, answers)
    return {metric.name: gather(metric, rows[metric.name], np.arange(len(ids)), ids, labels) for metric in wanted}


def _token_scores(scores: Iterable[TokenScored] | None, references: Sequence[Sequence[str]]) -> FloatArray | None:
    """Token scores of each (input, reference) pair summed per input, (n, 3)."""
    if scores is None:
        return None
    per_pair = np.array([(one.nll, one.tokens, one.correct) for one in scores], dtype=np.float64).reshape(-1, 3)
    counts = [len(texts) for texts in references]
    if len(per_pair) != sum(counts):
        raise InputError(
            f"{len(per_pair)} token scores for {sum(counts)} references; give one for each reference of each input"
        )
    per_input = np.add.reduceat(per_pair, np.cumsum([0, *counts[:-1]]), axis=0)
    broken = np.flatnonzero(~np.isfinite(per_input).all(axis=1))
    if broken.size:
        raise InputError(f"the token scores of test input {broken[0]} are not finite; score it again or leave it out")
    without_tokens = np.flatnonzero(per_input[:, TOKENS] <= 0)
    if without_tokens.size:
        raise InputError(f"test input {without_tokens[0]} has no token that was scored; give it a longer reference")
    return per_input
