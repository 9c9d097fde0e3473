"""How far judges agree beyond chance, with intervals.

All coefficients are 1 for perfect agreement and 0 for what chance would give. Where only one value was ever given,
chance cannot be told from agreement: functions return NaN, and `Agreement` leaves the coefficient out.

Intervals resample samples with replacement. Samples with the same votes are the same to every coefficient, so a draw is
a multinomial count over the distinct rows of votes: the cost depends on how many distinct rows there are, not on how
many samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import FloatArray
from llmops.evaluation.statistics.bootstrap import SEED, stretched_percentiles
from llmops.evaluation.statistics.intervals import Estimate

Level = Literal["nominal", "ordinal", "interval"]
"""nominal: votes are the same or not · ordinal: they have an order · interval: their distances mean something"""
Weights = Literal["none", "linear", "quadratic"]
Coefficient = Callable[[FloatArray], FloatArray]
"""(draws, P) how often each distinct row of votes was drawn -> (draws,) coefficients"""

DRAWS = 1000
CELLS = 2_000_000  # numbers held at a time


@dataclass(frozen=True)
class Agreement:
    """How far the judges of one panel agree.

    judges: their number. units: samples with two votes or more. raw: mean share of agreeing pairs of judges. alpha:
    Krippendorff's, by level of measurement; empty where all judges gave one and the same value everywhere, so that
    chance agreement is not defined: then raw is 1, see `all_agree`. cohen: kappa of two judges by weights; empty for
    more judges, and where it is not defined. fleiss: kappa on the samples that all judges voted on; None where it is
    not defined.
    """

    judges: int
    units: int
    raw: Estimate
    alpha: dict[Level, Estimate]
    cohen: dict[Weights, Estimate]
    fleiss: Estimate | None

    @property
    def all_agree(self) -> bool:
        """Whether no two judges ever differed."""
        return self.raw.value == 1.0


def agreement(votes: FloatArray, level: float = 0.95, seed: int = SEED) -> Agreement | None:
    """All coefficients with their bootstrap intervals; None where no sample has two votes.

    Args:
        votes: (m, judges), NaN where there is no vote.
        level: of the intervals.
        seed: of the resamples.
    """
    votes = _checked(votes)
    paired = votes[np.isfinite(votes).sum(axis=1) >= 2]
    if not len(paired):
        return None
    judges = votes.shape[1]
    complete = paired[np.isfinite(paired).all(axis=1)]

    def interval(rows: FloatArray, coefficient: Callable[[FloatArray], Coefficient]) -> Estimate | None:
        return _estimate(rows, coefficient, 1 - level, seed)

    levels: tuple[Level, ...] = ("nominal", "ordinal", "interval")
    kinds: tuple[Weights, ...] = ("none", "linear", "quadratic") if judges == 2 else ()
    alpha = {one: interval(paired, partial(_alpha, level=one)) for one in levels}
    cohen = {one: interval(complete, partial(_cohen, kind=one)) for one in kinds}
    raw = interval(paired, _raw)
    assert raw is not None  # defined wherever a sample has two votes
    return Agreement(
        judges=judges,
        units=len(paired),
        raw=raw,
        alpha={one: found for one, found in alpha.items() if found is not None},
        cohen={one: found for one, found in cohen.items() if found is not None},
        fleiss=interval(complete, _fleiss),
    )


def krippendorff_alpha(votes: FloatArray, level: Level = "nominal") -> float:
    """Krippendorff's alpha: one minus observed over expected disagreement. Votes may be missing.

    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections C to E. A sample with m votes gives its
    pairs with weight 1 / (m - 1); a single vote cannot disagree and is left out. Ordinal distances are those between
    mid-ranks, which is his sum over the values between two, with half of both ends.

    Args:
        votes: (samples, judges), NaN where there is none.
        level: how votes differ.

    >>> krippendorff_alpha(np.array([[1, 1], [0, 0], [1, 0], [0, np.nan]]))
    0.4444444444444444
    """
    return _point(_checked(votes), lambda rows: _alpha(rows, level), least=2)


def cohen_kappa(votes: FloatArray, weights: Weights = "none") -> float:
    """Cohen's kappa of two judges, on the samples both voted on (Cohen 1960; weighted: Cohen 1968).

    linear and quadratic weigh a disagreement by the distance of the votes, or its square, in steps of the values that
    occur.

    Raises:
        InputError: there are not two judges.
    """
    votes = _checked(votes)
    if votes.shape[1] != 2:
        raise InputError(f"Cohen's kappa is for two judges and there are {votes.shape[1]}; use Fleiss' or alpha")
    return _point(votes, lambda rows: _cohen(rows, weights), least=2)


def fleiss_kappa(votes: FloatArray) -> float:
    """Fleiss' kappa on the samples that all judges voted on (Fleiss 1971, equations 1 to 7)."""
    votes = _checked(votes)
    return _point(votes, _fleiss, least=votes.shape[1])


def raw_agreement(votes: FloatArray) -> float:
    """Mean over samples of the share of agreeing pairs of judges; samples with fewer than two votes are left out."""
    return _point(_checked(votes), _raw, least=2)


def _checked(votes: FloatArray) -> FloatArray:
    votes = np.asarray(votes, dtype=np.float64)
    if votes.ndim != 2:
        raise InputError(f"votes have shape {votes.shape}; give one row a sample and one column a judge")
    return votes


def _point(votes: FloatArray, coefficient: Callable[[FloatArray], Coefficient], least: int) -> float:
    rows = votes[np.isfinite(votes).sum(axis=1) >= max(2, least)]
    if not len(rows):
        return float("nan")
    distinct, counts = _distinct(rows)
    return float(coefficient(distinct)(counts[np.newaxis])[0])


def _estimate(
    rows: FloatArray, coefficient: Callable[[FloatArray], Coefficient], alpha: float, seed: int
) -> Estimate | None:
    """The coefficient with its interval: the percentile bootstrap, stretched for few samples.

    None where it is not defined. A single sample has no interval: low and high are NaN.
    """
    if not len(rows):
        return None
    distinct, counts = _distinct(rows)
    compute = coefficient(distinct)
    value = float(compute(counts[np.newaxis])[0])
    if np.isnan(value):
        return None
    if len(rows) < 2:
        return Estimate(value=value, low=float("nan"), high=float("nan"), n=len(rows))
    random = np.random.default_rng(seed)
    chunk = max(1, CELLS // len(distinct))
    drawn = [
        compute(random.multinomial(len(rows), counts / len(rows), size=min(chunk, DRAWS - start)).astype(np.float64))
        for start in range(0, DRAWS, chunk)
    ]
    replicates = np.concatenate(drawn)
    # A draw without any variation has no coefficient.
    ordered = np.sort(replicates[np.isfinite(replicates)])
    low, high = stretched_percentiles(np.array(value), ordered, len(rows), alpha)
    return Estimate(value=value, low=max(float(low), -1.0), high=min(float(high), 1.0), n=len(rows))


def _distinct(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The distinct rows of votes and how often each occurs."""
    _, places = np.unique(rows, return_inverse=True, equal_nan=True)
    _, first, counts = np.unique(places.reshape(rows.shape), axis=0, return_index=True, return_counts=True)
    return rows[first], counts.astype(np.float64)


def _value_counts(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The values that occur, (V,), and how often each row has each, (P, V)."""
    values = np.unique(rows[np.isfinite(rows)])
    return values, np.stack([(rows == value).sum(axis=1) for value in values], axis=1).astype(np.float64)


def _alpha(rows: FloatArray, level: Level) -> Coefficient:
    values, counts = _value_counts(rows)
    votes = counts.sum(axis=1)
    same = (counts**2).sum(axis=1)

    def compute(weights: FloatArray) -> FloatArray:
        totals = weights @ counts  # (draws, V): how often each value was given
        n = totals.sum(axis=1)
        if level == "nominal":
            observed = weights @ ((votes**2 - same) / (votes - 1))
            expected = n**2 - (totals**2).sum(axis=1)
        else:
            # Where each value stands: mid-ranks depend on the draw, values do not.
            ranks = np.cumsum(totals, axis=1) - totals / 2
            places = ranks if level == "ordinal" else np.broadcast_to(values, totals.shape)
            # The sum of squared differences over all pairs is twice n times the sum of squares minus the squared sum.
            within = votes * (places**2 @ counts.T) - (places @ counts.T) ** 2
            observed = (weights * 2 * within / (votes - 1)).sum(axis=1)
            expected = 2 * (n * (totals * places**2).sum(axis=1) - (totals * places).sum(axis=1) ** 2)
        alphas: FloatArray = 1 - (n - 1) * _ratio(observed, expected)
        return alphas

    return compute


def _cohen(rows: FloatArray, kind: Weights) -> Coefficient:
    values = np.unique(rows)
    first, second = np.searchsorted(values, rows[:, 0]), np.searchsorted(values, rows[:, 1])
    steps = np.abs(np.subtract.outer(np.arange(len(values)), np.arange(len(values)))).astype(np.float64)
    distance = {"none": (steps > 0).astype(np.float64), "linear": steps, "quadratic": steps**2}[kind]
    by_first, by_second = np.eye(len(values))[first], np.eye(len(values))[second]

    def compute(weights: FloatArray) -> FloatArray:
        observed = weights @ distance[first, second] * weights.sum(axis=1)
        expected = ((weights @ by_first @ distance) * (weights @ by_second)).sum(axis=1)
        return 1 - _ratio(observed, expected)

    return compute


def _fleiss(rows: FloatArray) -> Coefficient:
    _, counts = _value_counts(rows)
    judges = rows.shape[1]
    agreeing = ((counts**2).sum(axis=1) - judges) / (judges * (judges - 1))

    def compute(weights: FloatArray) -> FloatArray:
        units = weights.sum(axis=1)
        shares = weights @ counts / (units * judges)[:, np.newaxis]
        expected = (shares**2).sum(axis=1)
        return 1 - _ratio(1 - weights @ agreeing / units, 1 - expected)

    return compute


def _raw(rows: FloatArray) -> Coefficient:
    _, counts = _value_counts(rows)
    votes = counts.sum(axis=1)
    agreeing = ((counts**2).sum(axis=1) - votes) / (votes * (votes - 1))
    return lambda weights: weights @ agreeing / weights.sum(axis=1)


def _ratio(observed: FloatArray, expected: FloatArray) -> FloatArray:
    """Observed over expected, NaN where nothing is expected (up to rounding)."""
    ratio: FloatArray = np.divide(
        observed, expected, out=np.full(len(observed), np.nan), where=np.abs(expected) > 1e-12
    )
    return ratio
