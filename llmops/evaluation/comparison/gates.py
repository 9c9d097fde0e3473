"""The gate: is the candidate better, not worse, worse, or can these samples not tell?

For each gated metric the difference (positive is better) is asked three one-sided questions at alpha / 2:

- superior: is it above 0?              yes -> `better`
- non-inferior: is it above -margin?    yes -> `not worse`
- inferior: is it below 0?              yes -> `worse`
- none of them                          -> `inconclusive`

With several metrics some would look better or worse by chance, so each question is asked of all metrics with
Holm's step-down correction (Holm 1979): the chance that any metric gets a false `better` is at most alpha /
2, and the same for `worse` and for `not worse`. Holm is expressed through interval levels, because the
intervals are what is reported: with k metrics undecided the interval at level 1 - alpha / k decides.

Over all metrics: `worse` if any is worse, `inconclusive` if any is inconclusive, else `better` if the
primary metric is better, else `not worse`. The last two need every metric to pass, an intersection-union
test (Berger 1982, Technometrics 24:295): a candidate that is truly worse by a margin in some metric passes
only if that very metric errs, so the overall claim keeps its level however many metrics there are. It is
never one metric alone: BLEU can fall while perplexity improves.
"""

from collections.abc import Callable, Iterable, Mapping
from math import ceil, isfinite
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from scipy.special import ndtri

from llmops.errors import InputError
from llmops.evaluation.comparison.wording import say_difference
from llmops.evaluation.metrics.measurement import METRICS, find_metric
from llmops.evaluation.metrics.metric import Measured
from llmops.evaluation.statistics.bootstrap import SEED
from llmops.evaluation.statistics.intervals import Difference, Estimate, Limits, differences

Verdict = Literal["better", "not worse", "worse", "inconclusive"]
POWER = 0.8  # of the study that `samples_needed` plans


class GateConfig(BaseModel):
    """What is gated, and how much loss is none.

    primary: the metric that must be better for `better`. margins: for each gated metric the largest loss
    that does not matter, in the metric's own unit (0.02 of exact match is 2 points of a percentage); 0
    allows none. alpha: two-sided error level, half of it on each side. inconclusive_passes: let an undecided
    gate pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    primary: str = "exact_match"
    margins: dict[str, float] = Field(
        default={
            "exact_match": 0.02,
            "bleu": 1.0,
            "chrf": 1.0,
            "rougeL": 1.0,
            "loss": 0.02,
            "token_accuracy": 0.01,
        }
    )
    alpha: float = Field(default=0.05, gt=0, lt=1)
    inconclusive_passes: bool = False

    @field_validator("margins")
    @classmethod
    def _known_and_not_negative(cls, margins: dict[str, float]) -> dict[str, float]:
        for name, margin in margins.items():
            if name not in METRICS:
                raise ValueError(f"no metric is called {name!r}; known are {', '.join(METRICS)}")
            if not (isfinite(margin) and margin >= 0):
                raise ValueError(f"the margin of {name} is {margin}; give a number that is 0 or more")
        return margins

    @model_validator(mode="after")
    def _primary_is_gated(self) -> Self:
        if self.primary not in self.margins:
            raise ValueError(f"the primary metric {self.primary!r} has no margin; add it to margins")
        return self


class MetricVerdict(BaseModel):
    """The answer for one gated metric.

    difference: candidate against baseline with its uncorrected interval, positive is better. samples_needed:
    for `inconclusive`, how many test inputs would settle it with a chance of 80 % if the spread and the
    difference are as observed; None where no number would.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    verdict: Verdict
    candidate: float
    baseline: float
    difference: Estimate
    margin: float
    samples_needed: int | None = None
    sentence: str


class Comparison(BaseModel):
    """The answer over all gated metrics. `passed` is what an exit status or a promotion goes by.

    verdicts: the gated metrics. differences: these and every other metric that both were measured by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    passed: bool
    verdicts: dict[str, MetricVerdict]
    differences: dict[str, Estimate]
    samples_needed: int | None = None
    sentence: str


def compare(
    candidate: Mapping[str, Measured],
    baseline: Mapping[str, Measured],
    gate: GateConfig | None = None,
    seed: int = SEED,
) -> Comparison:
    """Gate a candidate against a baseline measured on the same samples.

    Raises InputError if either lacks a gated metric, or if they were measured on different samples.
    """
    gate = gate or GateConfig()
    for who, measured in (("candidate", candidate), ("baseline", baseline)):
        for name in gate.margins:
            if name not in measured:
                raise InputError(
                    f"the gate needs {name}, and the {who} was not measured by it; measure it or take it out of margins"
                )
    found = differences(candidate, baseline, seed)
    decided = decide({name: found[name].limits for name in gate.margins}, gate.margins, gate.alpha)
    verdicts = {
        name: _metric_verdict(verdict, candidate[name], baseline[name], found[name], gate)
        for name, verdict in decided.items()
    }
    overall = _overall(decided, gate.primary)
    return Comparison(
        verdict=overall,
        passed=overall in ("better", "not worse") or (overall == "inconclusive" and gate.inconclusive_passes),
        verdicts=verdicts,
        differences={name: difference.estimate(gate.alpha) for name, difference in found.items()},
        samples_needed=_samples_for_all(verdicts) if overall == "inconclusive" else None,
        sentence=_overall_sentence(overall, verdicts, gate.primary),
    )


def decide(limits: Mapping[str, Limits], margins: Mapping[str, float], alpha: float) -> dict[str, Verdict]:
    """The verdict of each metric from the limits of its difference, corrected for their number."""
    superior = holm(limits, lambda name, level: limits[name](level)[0] > 0, alpha)
    non_inferior = holm(limits, lambda name, level: limits[name](level)[0] > -margins[name], alpha)
    inferior = holm(limits, lambda name, level: limits[name](level)[1] < 0, alpha)

    def verdict(name: str) -> Verdict:
        if name in superior:
            return "better"
        if name in non_inferior:
            return "not worse"
        return "worse" if name in inferior else "inconclusive"

    return {name: verdict(name) for name in limits}


def holm(names: Iterable[str], rejects: Callable[[str, float], bool], alpha: float) -> set[str]:
    """Holm's step-down procedure: the names whose test, asked at a level, rejects after correction.

    >>> p_values = {"a": 0.01, "b": 0.04, "c": 0.02}
    >>> sorted(holm(p_values, lambda name, level: p_values[name] <= level, alpha=0.05))
    ['a', 'b', 'c']
    >>> sorted(holm(p_values, lambda name, level: p_values[name] <= level, alpha=0.03))
    ['a']
    """
    left, rejected = set(names), set[str]()
    while left:
        level = alpha / len(left)
        now = {name for name in left if rejects(name, level)}
        if not now:
            break
        rejected |= now
        left -= now
    return rejected


def _metric_verdict(
    verdict: Verdict, candidate: Measured, baseline: Measured, difference: Difference, gate: GateConfig
) -> MetricVerdict:
    metric, margin = candidate.metric, gate.margins[candidate.metric.name]
    estimate = difference.estimate(gate.alpha)
    said = say_difference(metric, candidate.value, baseline.value, estimate, level=1 - gate.alpha)
    sentence = f"{said}, {verdict}"
    needed = None
    if verdict == "inconclusive":
        needed = samples_needed(estimate, margin, gate.alpha, len(gate.margins))
        alone = decide({metric.name: difference.limits}, gate.margins, gate.alpha)[metric.name]
        if alone != verdict:
            sentence += f" once corrected for {len(gate.margins)} metrics"
        if needed is not None:
            sentence += f"; about {needed:,} test inputs would settle it"
    return MetricVerdict(
        metric=metric.name,
        verdict=verdict,
        candidate=candidate.value,
        baseline=baseline.value,
        difference=estimate,
        margin=margin,
        samples_needed=needed,
        sentence=sentence,
    )


def samples_needed(difference: Estimate, margin: float, alpha: float, metrics: int = 1) -> int | None:
    """Test inputs that would settle an inconclusive metric with a chance of 80 %.

    Normal approximation n (z(1 - alpha / 2k) + z(0.8))^2 se^2 / gap^2 with the standard error behind the
    interval at level 1 - alpha, Holm's first level for k metrics, and the larger of two gaps: from the
    difference to -margin (it would turn out not worse) or down from 0 (it would turn out worse). None if
    both are 0.

    >>> samples_needed(Estimate(value=0.0, low=-0.05, high=0.05, n=100), margin=0.02, alpha=0.05)
    1278
    """
    gap = max(difference.value + margin, -difference.value)
    if gap <= 0:
        return None
    z = ndtri(1 - alpha / 2)
    standard_error = (difference.high - difference.low) / (2 * z)
    planned = ndtri(1 - alpha / (2 * metrics)) + ndtri(POWER)
    needed = difference.n * (planned * standard_error / gap) ** 2
    return max(difference.n + 1, ceil(needed)) if isfinite(needed) else None


def _overall(decided: Mapping[str, Verdict], primary: str) -> Verdict:
    for verdict in ("worse", "inconclusive"):
        if verdict in decided.values():
            return verdict
    return decided[primary]


def _samples_for_all(verdicts: Mapping[str, MetricVerdict]) -> int | None:
    needed = [one.samples_needed for one in verdicts.values() if one.verdict == "inconclusive"]
    return None if None in needed else max(number for number in needed if number is not None)


def _overall_sentence(overall: Verdict, verdicts: Mapping[str, MetricVerdict], primary: str) -> str:
    named = [find_metric(name).label for name, one in verdicts.items() if one.verdict == overall]
    of_all = f"{len(verdicts)} gated metrics"
    if overall == "inconclusive":
        n = verdicts[primary].difference.n
        needed = _samples_for_all(verdicts)
        settle = f"about {needed:,} would" if needed is not None else "no number of them would at this difference"
        undecided = f"{_listed(named)} (of the {of_all})" if len(verdicts) > 1 else named[0]
        return f"Inconclusive: {n:,} test inputs cannot settle {undecided}; {settle}."
    if overall == "worse":
        first = next(one for one in verdicts.values() if one.verdict == "worse")
        return f"Worse in {_listed(named)}: {first.sentence.removesuffix(', worse')}."
    rest = f"none of the {of_all} is worse" if len(verdicts) > 1 else "no other metric is gated"
    claim = verdicts[primary].sentence.removesuffix(f", {overall}")
    return f"{overall.capitalize()}: {claim}; {rest}."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
