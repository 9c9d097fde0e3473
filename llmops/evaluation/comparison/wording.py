"""Measured values and differences as a person would say them."""

from llmops.evaluation.metrics.metric import Metric
from llmops.evaluation.statistics.intervals import Estimate
from llmops.evaluation.statistics.pairing import Paired, share_missing


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


def say_missing(one: Paired, most: float) -> str:
    """What the side that lacks more lacks of what both were asked, and how much it may lack."""
    candidate = ("candidate", one.candidate_missing, one.candidate_asked, one.candidate_repeats)
    baseline = ("baseline", one.baseline_missing, one.baseline_asked, one.baseline_repeats)
    ours, theirs = share_missing(*candidate[1:3]), share_missing(*baseline[1:3])
    who, missing, asked, repeats = candidate if ours >= theirs else baseline
    share = f"({100 * max(ours, theirs):.1f} %), and at most {100 * most:.4g} % may be missing"
    if repeats == 1:
        return f"the {who} has no measured answer to {missing:,} of {asked:,} questions {share}"
    return f"{missing:,} of {asked:,} answers of the {who} were not measured {share}"


def say_uncommon(candidate_only: int, baseline_only: int) -> str:
    """Questions that only one side was asked, which are not compared; empty where there are none.

    >>> say_uncommon(6, 0), say_uncommon(1, 2)
    ('6 questions are new.', '1 question is new; 2 questions were asked of the baseline alone.')
    """

    def questions(number: int) -> str:
        return f"{number:,} question{'' if number == 1 else 's'}"

    said = []
    if candidate_only:
        said.append(f"{questions(candidate_only)} {'is' if candidate_only == 1 else 'are'} new")
    if baseline_only:
        said.append(f"{questions(baseline_only)} {'was' if baseline_only == 1 else 'were'} asked of the baseline alone")
    return f"{'; '.join(said)}." if said else ""


def listed(names: list[str]) -> str:
    """Names as a sentence has them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
