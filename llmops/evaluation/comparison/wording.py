"""Measured values and differences as a person would say them."""

from llmops.evaluation.metrics.metric import Metric
from llmops.evaluation.statistics.intervals import Estimate
from llmops.evaluation.statistics.pairing import share_missing


def say_value(metric: Metric, value: float) -> str:
    """A value in the unit people use for the metric.

    >>> from llmops.evaluation.metrics.measurement import METRICS
    >>> say_value(METRICS["exact_match"], 0.61), say_value(METRICS["bleu"], 48.53)
    ('61.0 %', '48.5')
    """
    if metric.scale == "share":
        return f"{100 * value:.1f} %"
    return _number(metric, value)


def say_difference(metric: Metric, candidate: float, baseline: float, difference: Estimate, level: float) -> str:
    """Candidate against baseline with the interval of the difference, as more or less of the metric."""
    change = candidate - baseline
    word = "more" if change > 0 else "less"
    # `difference` is positive where the candidate is better; the sentence counts as its word says.
    turned = (change > 0) == metric.higher_is_better
    low, high = (difference.low, difference.high) if turned else (-difference.high, -difference.low)
    factor = 100 if metric.scale == "share" else 1
    unit = " points" if metric.scale in ("share", "hundred") else ""
    span = f"({100 * level:.4g} % interval {_number(metric, factor * low)} to {_number(metric, factor * high)})"
    amount = f"{_number(metric, factor * abs(change))}{unit} {word}" if change else "no difference"
    values = f"{say_value(metric, candidate)} against {say_value(metric, baseline)}"
    return f"{metric.label} {values}: {amount} {span}"


def _number(metric: Metric, value: float) -> str:
    text = f"{value:.1f}" if metric.scale in ("share", "hundred") else f"{value:.3f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def say_missing(n: int, candidate: int, baseline: int, most: float) -> str:
    """What one side lacks beside the n questions compared, and how much it may lack."""
    who, missing = ("candidate", candidate) if candidate >= baseline else ("baseline", baseline)
    share = share_missing(n, candidate, baseline)
    return (
        f"the {who} has no measured answer to {missing:,} of {n + candidate + baseline:,} questions "
        f"({100 * share:.1f} %), and at most {100 * most:.4g} % may be missing"
    )


def listed(names: list[str]) -> str:
    """Names as a sentence has them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
