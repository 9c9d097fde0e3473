"""Metrics of a model's probabilities for the right answers (teacher forcing), per token of the completion."""

import numpy as np

from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, ratio

NLL, TOKENS, RIGHT = 0, 1, 2  # columns of Answers.token_scores


def _loss_rows(answers: Answers) -> FloatArray:
    return _scores(answers)[:, [NLL, TOKENS]]


def _accuracy_rows(answers: Answers) -> FloatArray:
    return _scores(answers)[:, [RIGHT, TOKENS]]


def _scores(answers: Answers) -> FloatArray:
    assert answers.token_scores is not None  # `measure` asks for these metrics only where there are scores
    return answers.token_scores


def perplexity(sums: FloatArray) -> FloatArray:
    """exp of the mean negative log-likelihood (nats) per token."""
    return np.exp(ratio(sums))


TOKEN_METRICS = (
    Metric("loss", "loss", "number", _loss_rows, ratio, higher_is_better=False, needs_token_scores=True),
    Metric(
        "perplexity", "perplexity", "number", _loss_rows, perplexity,
        higher_is_better=False, needs_token_scores=True,
    ),
    Metric("token_accuracy", "token accuracy", "share", _accuracy_rows, ratio, needs_token_scores=True),
)  # fmt: skip
