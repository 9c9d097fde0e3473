"""What answers took, and which declined."""

import numpy as np
import pytest

from llmops.errors import InputError
from llmops.evaluation.metrics.measurement import build_metrics, gather
from llmops.evaluation.metrics.metric import Answers, Usage
from llmops.evaluation.metrics.refusals import is_refusal
from llmops.evaluation.metrics.scoring import score

NAMES = ["latency", "input_tokens", "output_tokens", "cost", "refusal"]
USAGE = Usage(
    latency_s=np.array([0.5, 1.5, 1.0]),
    input_tokens=np.array([10.0, 20.0, np.nan]),
    output_tokens=np.array([1.0, 2.0, 3.0]),
    cost=np.array([0.25, np.nan, np.nan]),
    finish_reasons=["stop", "refusal", "stop"],
)


def test_means_leave_out_what_is_unknown() -> None:
    metrics = build_metrics(NAMES)
    rows = score(metrics, Answers(["a", "b", "I'm sorry, but I cannot help with that."], [[], [], []], usage=USAGE))
    measured = {
        metric.name: gather(metric, rows[metric.name], np.arange(3), np.arange(3), np.arange(3)) for metric in metrics
    }
    assert {name: one.value for name, one in measured.items()} == {
        "latency": 1.0, "input_tokens": 15.0, "output_tokens": 2.0, "cost": 0.25, "refusal": pytest.approx(2 / 3),
    }  # fmt: skip
    assert measured["cost"].n == 1
    assert not any(metric.higher_is_better for metric in metrics)


def test_without_usage_the_error_names_the_metric() -> None:
    with pytest.raises(InputError, match="latency needs what the answers took"):
        score(build_metrics(["latency"]), Answers(["a"], [["a"]]))


def test_what_is_known_nowhere_cannot_be_gathered() -> None:
    (cost,) = build_metrics(["cost"])
    rows = score([cost], Answers(["b"], [[]], usage=USAGE.take([1])))["cost"]
    with pytest.raises(InputError, match="cost: none of 1 answers could be measured"):
        gather(cost, rows, np.array([0]), np.array([0]), np.array([0]))


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I’m sorry, but I can’t assist with that request.", True),
        ("Sorry, I cannot provide medical advice.", True),
        ("As an AI language model, I am unable to share opinions.", True),
        ("Unfortunately, I won't be able to", False),
        ("I apologize, but I must decline.", True),
        ("I can't comply with this.", True),
        ("I do not feel comfortable writing this.", True),
        ("This request violates our policy.", True),
        ("I would rather not.", True),
        ("Yes. I cannot help loving it.", False),
        ("I can't say exactly, but about 42.", False),
        ("I cannot do better than 7 minutes", True),
        ("Sorry for the delay: the answer is 5.", False),
        ("As an AI researcher, she publishes papers.", False),
        ("The answer is 5. I'm sorry, but I can't help with more.", False),
        ("", False),
    ],
)
def test_refusals_by_their_first_words(text: str, refused: bool) -> None:
    assert is_refusal(text) == refused
