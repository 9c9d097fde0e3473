"""How much loss is none: the margins of metrics for which the gate names none."""

from collections.abc import Mapping

from llmops.evaluation.statistics.pairing import Paired
from llmops.evaluation.statistics.repeats import base_of

BY_NAME = {"loss": 0.02, "token_accuracy": 0.01}
"""In the metric's own unit: 0.02 nats a token is 2 % of perplexity."""
BY_SCALE = {"share": 0.02, "fraction": 0.02, "hundred": 1.0}
OF_THE_BASELINE = 0.05  # for numbers with no upper end, relative to the baseline's value
NOT_GATED = frozenset({"latency", "input_tokens", "output_tokens", "cost", "refusal", "perplexity"})
"""What an answer takes is a matter of budgets, and refusing may be right; perplexity is the loss again."""
SAID_BY = {"rouge1": "rougeL", "rouge2": "rougeL"}
"""Metrics that say little beside another one: every gated metric makes each verdict harder to reach."""


def default_margins(pairs: Mapping[str, Paired], primary: str | None = None) -> dict[str, float]:
    """A margin for each metric that both were measured by, but for those that say nothing of quality.

    Those (`NOT_GATED`), and those that another one stands for (`SAID_BY`, and pass@k and the like, which repeat their
    metric), are gated where they are the primary metric, or where the gate's configuration gives a margin.
    """
    return {
        name: default_margin(one)
        for name, one in pairs.items()
        if name == primary or (name not in NOT_GATED and SAID_BY.get(name) not in pairs and base_of(name) not in pairs)
    }


def default_margin(one: Paired) -> float:
    """By the metric's name, else by its scale, else 5 % of the baseline's value."""
    if one.metric.name in BY_NAME:
        return BY_NAME[one.metric.name]
    if one.metric.scale in BY_SCALE:
        return BY_SCALE[one.metric.scale]
    return OF_THE_BASELINE * abs(one.baseline_value)
