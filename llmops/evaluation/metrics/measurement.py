"""Measure a model's answers by every metric asked for."""

from collections.abc import Iterable, Sequence

import numpy as np

from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.evaluation.metrics.metric import Answers, FloatArray, Measured, Metric, TokenScored
from llmops.evaluation.metrics.text_overlap import TEXT_METRICS
from llmops.evaluation.metrics.token_likelihood import TOKEN_METRICS, TOKENS

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*TEXT_METRICS, *TOKEN_METRICS)}


def find_metric(name: str) -> Metric:
    """The metric of that name; InputError listing the known ones if there is none."""
    if name not in METRICS:
        raise InputError(f"no metric is called {name!r}; known are {', '.join(METRICS)}")
    return METRICS[name]


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
    which inputs depend on each other; unset, each stands for itself. names: the metrics wanted; unset, all
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
    wanted = _wanted(names, with_token_scores=answers.token_scores is not None)
    labels = np.asarray(range(len(outputs)) if groups is None else [str(group) for group in groups])
    ids = np.asarray([content_digest([place, list(texts)]) for place, texts in enumerate(references)])
    return {metric.name: Measured(metric, metric.rows(answers), labels, ids) for metric in wanted}


def _wanted(names: Sequence[str] | None, *, with_token_scores: bool) -> list[Metric]:
    if names is None:
        return [metric for metric in METRICS.values() if with_token_scores or not metric.needs_token_scores]
    wanted = [find_metric(name) for name in names]
    for metric in wanted:
        if metric.needs_token_scores and not with_token_scores:
            raise InputError(f"{metric.name} needs token scores, and none were given; leave it out or score the model")
    return wanted


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
    without_tokens = np.flatnonzero(per_input[:, TOKENS] <= 0)
    if without_tokens.size:
        raise InputError(f"test input {without_tokens[0]} has no token that was scored; give it a longer reference")
    return per_input
