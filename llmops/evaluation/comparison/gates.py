"""The gate: is the candidate better, not worse, worse, or can these questions not tell?

Each gated metric gets its verdict from the interval of the paired difference, corrected for the number of metrics
(see `verdicts`). A metric of which one side lacks too many answers is at most `inconclusive`: what a model did not
answer, or a judge did not judge, is no pass and no zero, and leaving it out silently would flatter the score. Questions
that only one side was asked are not compared and not missing: a dataset may grow.

Over all metrics: `worse` if any is worse, `inconclusive` if any is inconclusive, else `better` if the
primary metric is better, else `not worse`. The last two need every metric to pass, an intersection-union
test (Berger 1982, Technometrics 24:295): a candidate that is truly worse by a margin in some metric passes
only if that very metric errs, so the overall claim keeps its level however many metrics there are. It is
never one metric alone: BLEU can fall while perplexity improves.
"""

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llmops.errors import InputError
from llmops.evaluation.comparison.margins import default_margins
from llmops.evaluation.comparison.verdicts import Verdict, decide, samples_needed
from llmops.evaluation.comparison.wording import listed, say_difference, say_missing, say_uncommon
from llmops.evaluation.metrics.metric import Measured
from llmops.evaluation.statistics.bootstrap import SEED
from llmops.evaluation.statistics.intervals import Difference, Estimate, paired_differences
from llmops.evaluation.statistics.paired_tests import PairedTest, paired_tests
from llmops.evaluation.statistics.pairing import Paired, pair, share_missing


class GateConfig(BaseModel):
    """What is gated, and how much loss is none.

    primary: the metric that must be better for `better`; unset, the first gated one. margins: for each gated metric
    the largest loss that does not matter, in the metric's own unit (0.02 of exact match is 2 points of a percentage);
    0 allows none; unset, every metric of quality that both were measured by, with the margins of `margins.py`. alpha:
    two-sided error level, half of it on each side. max_missing: the share of the answers asked of one side, to the
    questions that both were asked, that may be unmeasured. inconclusive_passes: let an undecided gate pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    primary: str | None = None
    margins: dict[str, float] | None = Field(default=None, min_length=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    max_missing: float = Field(default=0.02, ge=0, lt=1)
    inconclusive_passes: bool = False

    @field_validator("margins")
    @classmethod
    def _not_negative(cls, margins: dict[str, float] | None) -> dict[str, float] | None:
        for name, margin in (margins or {}).items():
            if not (isfinite(margin) and margin >= 0):
                raise ValueError(f"the margin of {name} is {margin}; give a number that is 0 or more")
        return margins

    @model_validator(mode="after")
    def _primary_is_gated(self) -> Self:
        if self.primary is not None and self.margins is not None and self.primary not in self.margins:
            raise ValueError(f"the primary metric {self.primary!r} has no margin; add it to margins")
        return self

    def for_metrics(self, names: Collection[str]) -> "GateConfig":
        """The same gate for these metrics alone; InputError where its primary metric, or all, would be left out.

        >>> GateConfig(margins={"bleu": 1.0, "loss": 0.02}).for_metrics(["bleu", "chrf"]).margins
        {'bleu': 1.0}
        """
        if self.primary is not None and self.primary not in names:
            raise InputError(f"the primary metric {self.primary} does not compare here; choose another one")
        if self.margins is None:
            return self
        margins = {name: margin for name, margin in self.margins.items() if name in names}
        if not margins:
            raise InputError(f"none of the gated metrics ({', '.join(self.margins)}) compares here; gate another one")
        return self.model_copy(update={"margins": margins})


class MetricVerdict(BaseModel):
    """The answer for one gated metric.

    candidate, baseline: the scores on the questions compared. difference: candidate against baseline with its
    uncorrected interval, positive is better. candidate_missing, baseline_missing: answers that were not measured, of
    the candidate_asked, baseline_asked that were asked for to the questions common to both. test: the classical paired
    test. samples_needed: for `inconclusive`, how many test inputs would settle it with a chance of 80 % if the spread
    and the difference are as observed; None where no number would.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    label: str
    verdict: Verdict
    candidate: float
    baseline: float
    difference: Estimate
    margin: float
    candidate_missing: int = 0
    baseline_missing: int = 0
    candidate_asked: int = 0
    baseline_asked: int = 0
    test: PairedTest
    samples_needed: int | None = None
    sentence: str

    @property
    def missing_share(self) -> float:
        """Of the answers asked of a side, the share that was not measured (of the side that lacks more)."""
        return max(
            share_missing(self.candidate_missing, self.candidate_asked),
            share_missing(self.baseline_missing, self.baseline_asked),
        )


class Comparison(BaseModel):
    """The answer over all gated metrics. `passed` is what an exit status or a promotion goes by.

    primary: the metric that decides between `better` and `not worse`. verdicts: the gated metrics. differences: these
    and every other metric that both were measured by. compared: questions that both were measured on by the primary
    metric; candidate_missing, baseline_missing: the most answers that one side lacks in a gated metric; candidate_only,
    baseline_only: questions that only one side was asked, which are neither compared nor missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    passed: bool
    primary: str
    verdicts: dict[str, MetricVerdict]
    differences: dict[str, Estimate]
    compared: int
    candidate_missing: int = 0
    baseline_missing: int = 0
    candidate_only: int = 0
    baseline_only: int = 0
    samples_needed: int | None = None
    sentence: str


def compare(
    candidate: Mapping[str, Measured],
    baseline: Mapping[str, Measured],
    gate: GateConfig | None = None,
    seed: int = SEED,
) -> Comparison:
    """Gate a candidate against a baseline on the questions that both were asked.

    Raises InputError if a gated metric was not measured of both, or if they cannot be paired (`statistics.pairing`).
    """
    gate = gate or GateConfig()
    for name in gate.margins or ([gate.primary] if gate.primary else []):
        require_measured(name, candidate, baseline)
    pairs = pair(candidate, baseline)
    margins = gate.margins or default_margins(pairs, gate.primary)
    if not margins:
        share = f"share {listed(list(pairs))}; name margins for them" if pairs else "were measured by no common metric"
        raise InputError(f"nothing to gate: candidate and baseline {share}")
    primary = gate.primary or next(iter(margins))
    found = paired_differences(pairs, seed)
    decided = decide({name: found[name].limits for name in margins}, margins, gate.alpha)
    tests = paired_tests({name: pairs[name] for name in margins}, seed)
    verdicts = {
        name: _metric_verdict(verdict, pairs[name], found[name], tests[name], margins, gate)
        for name, verdict in decided.items()
    }
    overall = _overall(verdicts, primary)
    uncommon = say_uncommon(pairs[primary].candidate_only, pairs[primary].baseline_only)
    return Comparison(
        verdict=overall,
        passed=overall in ("better", "not worse") or (overall == "inconclusive" and gate.inconclusive_passes),
        primary=primary,
        verdicts=verdicts,
        differences={name: difference.estimate(gate.alpha) for name, difference in found.items()},
        compared=pairs[primary].n,
        candidate_missing=max(one.candidate_missing for one in verdicts.values()),
        baseline_missing=max(one.baseline_missing for one in verdicts.values()),
        samples_needed=_samples_for_all(verdicts) if overall == "inconclusive" else None,
        candidate_only=pairs[primary].candidate_only,
        baseline_only=pairs[primary].baseline_only,
        sentence=f"{_overall_sentence(overall, verdicts, primary, pairs, gate.max_missing)} {uncommon}".rstrip(),
    )


def require_measured(name: str, candidate: Mapping[str, Measured], baseline: Mapping[str, Measured]) -> None:
    """InputError that says who was not measured by a gated metric, and what they were measured by instead."""
    lacking = {
        who: measured for who, measured in (("candidate", candidate), ("baseline", baseline)) if name not in measured
    }
    if not lacking:
        return
    who = f"the {next(iter(lacking))} was not" if len(lacking) == 1 else "neither the candidate nor the baseline was"
    by = "; ".join(f"the {side} by {', '.join(measured) or 'nothing'}" for side, measured in lacking.items())
    raise InputError(
        f"the gate needs {name}, and {who} measured by it; measure it or take it out of the gate (measured: {by})"
    )


def _metric_verdict(
    decided: Verdict,
    one: Paired,
    difference: Difference,
    test: PairedTest,
    margins: Mapping[str, float],
    gate: GateConfig,
) -> MetricVerdict:
    metric, margin = one.metric, margins[one.metric.name]
    estimate = difference.estimate(gate.alpha)
    said = say_difference(metric, one.candidate_value, one.baseline_value, estimate, level=1 - gate.alpha)
    needed = None
    if one.missing_share > gate.max_missing and decided != "worse":
        verdict: Verdict = "inconclusive"
        sentence = f"{said}, inconclusive: {say_missing(one, gate.max_missing)}"
    else:
        verdict, sentence = decided, f"{said}, {decided}"
        if verdict == "inconclusive":
            needed = samples_needed(estimate, margin, gate.alpha, len(margins))
            alone = decide({metric.name: difference.limits}, margins, gate.alpha)[metric.name]
            if alone != verdict:
                sentence += f" once corrected for {len(margins)} metrics"
            if needed is not None:
                sentence += f"; about {needed:,} test inputs would settle it"
    return MetricVerdict(
        metric=metric.name,
        label=metric.label,
        verdict=verdict,
        candidate=one.candidate_value,
        baseline=one.baseline_value,
        difference=estimate,
        margin=margin,
        candidate_missing=one.candidate_missing,
        baseline_missing=one.baseline_missing,
        candidate_asked=one.candidate_asked,
        baseline_asked=one.baseline_asked,
        test=test,
        samples_needed=needed,
        sentence=sentence,
    )


def _overall(verdicts: Mapping[str, MetricVerdict], primary: str) -> Verdict:
    given = {one.verdict for one in verdicts.values()}
    order: tuple[Verdict, ...] = ("worse", "inconclusive")
    return next((verdict for verdict in order if verdict in given), verdicts[primary].verdict)


def _samples_for_all(verdicts: Mapping[str, MetricVerdict]) -> int | None:
    needed = [one.samples_needed for one in verdicts.values() if one.verdict == "inconclusive"]
    return None if None in needed else max(number for number in needed if number is not None)


def _overall_sentence(
    overall: Verdict,
    verdicts: Mapping[str, MetricVerdict],
    primary: str,
    pairs: Mapping[str, Paired],
    most_missing: float,
) -> str:
    such = [one for one in verdicts.values() if one.verdict == overall]
    named = [one.label for one in such]
    of_all = f"{len(verdicts)} gated metrics"
    if overall == "inconclusive":
        for one in such:
            if one.missing_share > most_missing:
                return f"Inconclusive: {one.label}: {say_missing(pairs[one.metric], most_missing)}."
        n = verdicts[primary].difference.n
        needed = _samples_for_all(verdicts)
        settle = f"about {needed:,} would" if needed is not None else "no number of them would at this difference"
        undecided = f"{listed(named)} (of the {of_all})" if len(verdicts) > 1 else named[0]
        return f"Inconclusive: {n:,} test inputs cannot settle {undecided}; {settle}."
    if overall == "worse":
        return f"Worse in {listed(named)}: {such[0].sentence.removesuffix(', worse')}."
    rest = f"none of the {of_all} is worse" if len(verdicts) > 1 else "no other metric is gated"
    claim = verdicts[primary].sentence.removesuffix(f", {overall}")
    return f"{overall.capitalize()}: {claim}; {rest}."
