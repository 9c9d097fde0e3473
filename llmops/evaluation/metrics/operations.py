"""What an answer took: seconds, tokens, money; the mean over the answers of which it is known."""

from functools import partial
from typing import Literal

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio

_Field = Literal["latency_s", "input_tokens", "output_tokens", "cost"]


def _rows(field: _Field, name: str, answers: Answers) -> FloatArray:
    if answers.usage is None:
        raise InputError(
            f"{name} needs what the answers took (latency, tokens, cost), and nothing is known; leave it out"
        )
    return mean_rows(getattr(answers.usage, field))


def _metric(name: str, label: str, field: _Field) -> Metric:
    return Metric(name, label, "number", partial(_rows, field, name), ratio, higher_is_better=False)


OPERATION_METRICS = (
    _metric("latency", "latency (s)", "latency_s"),
    _metric("input_tokens", "input tokens", "input_tokens"),
    _metric("output_tokens", "output tokens", "output_tokens"),
    _metric("cost", "cost (USD)", "cost"),
)
