"""How far judges can be believed: their votes against those of people on the same samples.

What the panel as a whole does is calibrated as one more judge. People's votes are taken as the truth: the majority of
them for a verdict (no majority, no truth), their mean for a score. Samples that nobody voted on, or that the judge gave
no verdict on, are left out; `n` counts what remains.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from llmops.errors import InputError
from llmops.evaluation.judges.agreement import cohen_kappa
from llmops.evaluation.judges.answers import Judged
from llmops.evaluation.judges.config import Kind
from llmops.evaluation.judges.pairs import JudgedPairs
from llmops.evaluation.judges.panel import most_votes
from llmops.evaluation.judges.pass_rate import Counts, corrected_pass_rate
from llmops.evaluation.metrics.metric import FloatArray
from llmops.evaluation.statistics.bounded_scores import wilson
from llmops.evaluation.statistics.intervals import Estimate

ALPHA = 0.05
ROUNDING = 1 / 12  # variance of a value rounded to whole points


@dataclass(frozen=True)
class JudgeCalibration:
    """One judge against people, on n samples with both.

    Attributes:
        judge: the model, or ``panel``.
        n: samples that have a vote of both.
        accuracy: share on which both say the same; scores to the nearest point.
        kappa: the same beyond chance: Cohen's, for scores with quadratic weights.
        values: what was voted.
        confusion: how often people said `values[row]` and the judge `values[column]`.
        sensitivity: pass/fail: share passed of what people passed. None where they passed nothing.
        specificity: pass/fail: share failed of what people failed.
        bias: mean of judge minus people: above 0 it is too lenient (or favours the first of two answers).
        length_bias: how much more it gives for length where people say the same: pairs, to the longer answer; else, to
            the longer half of the answers. The coefficient of length in a regression of its votes on people's and on
            length: a mean of differences would take mere noise for a dislike of what people like.
        position_bias: pairs: how much better an answer fares for being shown first (-1 to 1).
    """

    judge: str
    n: int
    accuracy: Estimate | None
    kappa: float
    values: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    sensitivity: Estimate | None
    specificity: Estimate | None
    bias: Estimate | None
    length_bias: Estimate | None
    position_bias: Estimate | None


@dataclass(frozen=True)
class Calibration:
    """Each judge and the panel against people.

    weights: for a weighted panel. pass_rate: pass/fail: the panel's pass rate over all samples, corrected for its
    errors (`pass_rate.corrected_pass_rate`); None where there are no human votes of both kinds, or the panel is no
    better than chance.
    """

    judges: tuple[JudgeCalibration, ...]
    panel: JudgeCalibration
    weights: dict[str, float]
    pass_rate: Estimate | None


def calibrate(judged: Judged | JudgedPairs, human: FloatArray) -> Calibration:
    """Compare judges with people.

    The weight of a judge is what makes a weighted vote most often right: for verdicts the log-odds of its accuracy
    against chance (Nitzan and Paroush 1982, International Economic Review 23:289), for scores one over its mean
    squared error. A judge no better than chance has weight 0; half a right and half a wrong vote are added to each, so
    that few votes do not make a perfect judge.

    Args:
        judged: what the panel said of m samples.
        human: (m,) or (m, people) votes in the same values (points; 1 pass, 0 fail; 1 first, 0.5 tie, 0 second), NaN
            where a person gave none.

    Raises:
        InputError: the votes do not fit the samples, or no sample has one.
    """
    human = np.asarray(human, dtype=np.float64)
    human = human[:, np.newaxis] if human.ndim == 1 else human
    if len(human) != len(judged.votes):
        raise InputError(
            f"{len(human)} rows of human votes for {len(judged.votes)} samples; give one a sample, in order"
        )
    if not np.isfinite(human).any():
        raise InputError("no sample has a human vote; calibrate on samples that people judged")
    config = judged.config
    truth = _mean_votes(human) if config.kind == "rubric" else most_votes(human)
    panel_values = judged.values if isinstance(judged, JudgedPairs) else judged.scores
    judges = tuple(
        _calibrated(judged, model, judged.votes[:, place], truth, _position_bias(judged, slice(place, place + 1)))
        for place, model in enumerate(config.models)
    )
    panel = _calibrated(judged, "panel", panel_values, truth, _position_bias(judged, slice(None)))
    errors = judged.votes - truth[:, np.newaxis]
    return Calibration(
        judges=judges,
        panel=panel,
        weights={model: _weight(config.kind, errors[:, place]) for place, model in enumerate(config.models)},
        pass_rate=_pass_rate(panel_values, truth) if config.kind == "pass_fail" else None,
    )


def _calibrated(
    judged: Judged | JudgedPairs, name: str, votes: FloatArray, truth: FloatArray, position_bias: Estimate | None
) -> JudgeCalibration:
    kind = judged.config.kind
    said, right = _decided(kind, votes), _decided(kind, truth)
    both = np.isfinite(said) & np.isfinite(right)
    values = np.unique(np.concatenate([said[both], right[both]]))
    table = np.zeros((len(values), len(values)), dtype=int)
    np.add.at(table, (np.searchsorted(values, right[both]), np.searchsorted(values, said[both])), 1)
    pass_fail = kind == "pass_fail"
    return JudgeCalibration(
        judge=name,
        n=int(both.sum()),
        accuracy=_share((int((said == right)[both].sum()), int(both.sum()))),
        kappa=cohen_kappa(np.stack([right, said], axis=1), "quadratic" if kind == "rubric" else "none"),
        values=tuple(values.tolist()),
        confusion=tuple(tuple(int(n) for n in row) for row in table),
        sensitivity=_share(_right_of(said, right, 1.0)) if pass_fail else None,
        specificity=_share(_right_of(said, right, 0.0)) if pass_fail else None,
        bias=_mean(votes - truth),
        length_bias=_length_bias(judged.lengths, votes, truth),
        position_bias=position_bias,
    )


def _decided(kind: Kind, values: FloatArray) -> FloatArray:
    """Values as verdicts: a panel's mean is the side it leans to, and a score its nearest point."""
    if kind == "rubric":
        return np.rint(values)
    middle = np.nan if kind == "pass_fail" else 0.5
    decided: FloatArray = np.select([values > 0.5, values < 0.5, values == 0.5], [1.0, 0.0, middle], np.nan)
    return decided


def _right_of(said: FloatArray, right: FloatArray, value: float) -> Counts:
    of = (right == value) & np.isfinite(said)
    return int((said == value)[of].sum()), int(of.sum())


def _pass_rate(scores: FloatArray, truth: FloatArray) -> Estimate | None:
    said, right = _decided("pass_fail", scores), _decided("pass_fail", truth)
    passes = int((said == 1).sum()), int(np.isfinite(said).sum())
    return corrected_pass_rate(passes, _right_of(said, right, 1.0), _right_of(said, right, 0.0), 1 - ALPHA)


def _weight(kind: Kind, errors: FloatArray) -> float:
    errors = errors[np.isfinite(errors)]
    if not errors.size:
        return 0.0
    if kind == "rubric":
        return float((len(errors) + 1) / ((errors**2).sum() + ROUNDING))
    wrong = float((errors != 0).sum())
    others = 1 if kind == "pass_fail" else 2  # verdicts that are wrong: against fail, or against the other two
    return float(max(0.0, np.log(others * (len(errors) - wrong + 0.5) / (wrong + 0.5))))


def _position_bias(judged: Judged | JudgedPairs, judges: slice) -> Estimate | None:
    if isinstance(judged, Judged):
        return None
    # The value of the first answer shown first minus shown second; for several judges their mean.
    return _mean(_mean_votes(judged.by_order[:, judges, 0] - judged.by_order[:, judges, 1]))


def _length_bias(lengths: FloatArray, votes: FloatArray, truth: FloatArray) -> Estimate | None:
    """Least squares with White's standard errors (MacKinnon and White 1985, HC1)."""
    given = np.isfinite(votes) & np.isfinite(truth)
    lengths, votes = lengths[given], votes[given]
    if len(votes) <= 3:
        return None
    longer = np.sign(lengths[:, 0] - lengths[:, 1]) if lengths.ndim == 2 else lengths > np.median(lengths)
    known = np.stack([np.ones(len(votes)), truth[given], longer], axis=1)
    if np.linalg.matrix_rank(known) < 3:
        return None
    inverse = np.linalg.inv(known.T @ known)
    coefficients = inverse @ known.T @ votes
    spread = known * (votes - known @ coefficients)[:, np.newaxis]
    freedom = len(votes) - 3
    variance = float((inverse @ spread.T @ spread @ inverse)[2, 2]) * len(votes) / freedom
    return _t_interval(float(coefficients[2]), variance, freedom, len(votes))


def _mean_votes(votes: FloatArray) -> FloatArray:
    given = np.isfinite(votes)
    count = given.sum(axis=1)
    means: FloatArray = np.divide(
        np.where(given, votes, 0.0).sum(axis=1), count, out=np.full(len(votes), np.nan), where=count > 0
    )
    return means


def _share(counts: Counts) -> Estimate | None:
    right, n = counts
    if not n:
        return None
    low, high = wilson(np.array(right / n), np.array(n), ALPHA)
    return Estimate(value=right / n, low=float(low), high=float(high), n=n)


def _mean(values: FloatArray) -> Estimate | None:
    """Mean with its t interval."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None
    return _t_interval(float(values.mean()), float(values.var(ddof=1)) / len(values), len(values) - 1, len(values))


def _t_interval(value: float, variance: float, freedom: float, n: int) -> Estimate:
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * float(np.sqrt(variance))
    return Estimate(value=value, low=value - half, high=value + half, n=n)
