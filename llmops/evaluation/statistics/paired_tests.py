"""The classical tests of two models on the same questions, and how large an effect is.

The gate decides by intervals (`comparison`); these are for readers who look for a p-value, and as a second opinion
that rests on other assumptions. All are two-sided and ask whether the two models differ at all.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import bdtr, betaln, ndtr

from llmops.evaluation.metrics.metric import FloatArray
from llmops.evaluation.statistics.bootstrap import CELLS, SEED
from llmops.evaluation.statistics.holm import holm_adjusted
from llmops.evaluation.statistics.intervals import MANY_GROUPS
from llmops.evaluation.statistics.jackknife import influences
from llmops.evaluation.statistics.pairing import Paired

FLIPS = 9999
"""Random assignments of the sign-flip test: its smallest p-value is 1 / 10,000."""


class PairedTest(BaseModel):
    """A test's name, its p-value, that after Holm's correction over the gated metrics, and an effect size.

    effect_size: positive where the candidate is better. "Cohen's g" is the share of the questions that only one model
    got right which the candidate did, less 0.5 (0.05 small, 0.15 medium, 0.25 large: Cohen 1988). "Cliff's d" is the
    share of questions on which the candidate scores higher less the share on which it scores lower (Cliff 1993,
    Psychological Bulletin 114:494, d within pairs); -1 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: str
    p: float
    p_adjusted: float
    effect: str
    effect_size: float


def paired_tests(pairs: Mapping[str, Paired], seed: int = SEED) -> dict[str, PairedTest]:
    """For each metric the test that fits, with Holm's correction over all of them.

    McNemar for right and wrong with one answer a question and no groups. The sign-flip test where there are groups,
    and for shares of several trials a question (repeats, tokens). Else Wilcoxon's signed ranks of the scores of single
    questions.
    """
    flipped = {name: one for name, one in pairs.items() if one.grouped or not _single_answers(one)}
    p_values = dict(zip(flipped, sign_flip_p_values(list(flipped.values()), seed), strict=True))
    won_lost = {
        name: (int((one.changes > 0).sum()), int((one.changes < 0).sum()))
        for name, one in pairs.items()
        if name not in flipped and one.metric.scale == "share"
    }
    p_values |= {name: mcnemar_mid_p(*counts) for name, counts in won_lost.items()}
    p_values |= {name: wilcoxon_p(one.changes) for name, one in pairs.items() if name not in p_values}
    adjusted = holm_adjusted(p_values)

    def described(name: str, one: Paired) -> PairedTest:
        test, effect = "Wilcoxon signed ranks", "Cliff's d"
        size = float(np.sign(one.changes).mean())
        if name in flipped:
            test = "sign flips of groups" if one.grouped else "sign flips of questions"
        elif name in won_lost:
            test, effect = "McNemar (mid-p)", "Cohen's g"
            won, lost = won_lost[name]
            size = won / (won + lost) - 0.5 if won + lost else 0.0
        return PairedTest(test=test, p=p_values[name], p_adjusted=adjusted[name], effect=effect, effect_size=size)

    return {name: described(name, one) for name, one in pairs.items()}


def _single_answers(one: Paired) -> bool:
    """Whether each question has one answer; only the statistics of a share tell."""
    return one.metric.scale != "share" or bool((one.candidate[:, 1] == 1).all() and (one.baseline[:, 1] == 1).all())


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """Two-sided mid-p value of McNemar's test, from the questions that only one of the two got right.

    Fagerland, Lydersen and Laake 2013 (BMC Medical Research Methodology 13:91): the exact conditional test less half
    the probability of what was seen, on either side. Unlike the exact test it is not needlessly conservative.

    >>> round(mcnemar_mid_p(1, 7), 3)  # airway hyper-responsiveness before and after transplantation, their table 1
    0.039
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    two_sided = 2 * bdtr(fewer, n, 0.5)
    at_it = np.exp(-np.log(n + 1) - betaln(n - fewer + 1, fewer + 1) - n * np.log(2))  # C(n, fewer) / 2^n
    return float(1 - at_it / 2) if only_first == only_second else float(two_sided - at_it)


def wilcoxon_p(changes: FloatArray) -> float:
    """Wilcoxon's signed-rank test of paired changes, zeros dropped; 1 where nothing changed.

    The ranks' exact distribution up to 50 changes without ties, the normal one with ties and beyond (SciPy's "auto").
    """
    moved = np.round(changes[changes != 0], 12)  # equal but for rounding is a tie
    if not len(moved) or not np.any(moved):
        return 1.0
    from scipy.stats import wilcoxon  # takes half a second to import

    p = float(wilcoxon(moved).pvalue)
    return p if isfinite(p) else 1.0


def sign_flip_p_values(pairs: Sequence[Paired], seed: int = SEED) -> list[float]:
    """Approximate randomisation over whole groups: what if the models' names were swapped in some of them?

    The p-value is the share of assignments, the real one included, whose difference is at least as large (Noreen
    1989; for corpus metrics Riezler and Maxwell 2005, ACL workshop MTSE). All 2^G of them are gone through where that
    is less work; from `MANY_GROUPS` groups on the normal limit is taken.
    """
    halves = [(one.candidate_totals - one.baseline_totals) / 2 for one in pairs]
    together: dict[int, list[int]] = {}
    for place, half in enumerate(halves):
        together.setdefault(len(half), []).append(place)
    found = [1.0] * len(pairs)
    for groups, places in together.items():
        if groups >= MANY_GROUPS:
            for place in places:
                found[place] = _normal_limit(pairs[place])
            continue
        moved = _flipped(np.hstack([halves[place] for place in places]), seed)
        parts = np.split(moved, np.cumsum([halves[place].shape[1] for place in places])[:-1], axis=1)
        for place, part in zip(places, parts, strict=True):
            found[place] = _share_beyond(pairs[place], part)
    return found


def _flipped(half: FloatArray, seed: int) -> FloatArray:
    """(assignments, columns): the sums of (G, columns) with signs flipped, all of them or the real and random ones."""
    groups = len(half)
    if 2**groups <= FLIPS + 1:
        bits = np.arange(2**groups)[:, np.newaxis] >> np.arange(groups) & 1
        return (1.0 - 2 * bits) @ half
    random, chunk = np.random.default_rng(seed), max(1, CELLS // groups)
    moved = np.empty((FLIPS + 1, half.shape[1]))
    moved[0] = half.sum(axis=0)
    for start in range(1, FLIPS + 1, chunk):
        signs = random.integers(0, 2, (min(chunk, FLIPS + 1 - start), groups), dtype=np.int8) * 2.0 - 1
        np.matmul(signs, half, out=moved[start : start + chunk])
    return moved


def _share_beyond(one: Paired, moved: FloatArray) -> float:
    middle = (one.candidate_totals + one.baseline_totals).sum(axis=0) / 2
    differences = np.abs(one.metric.aggregate(middle + moved) - one.metric.aggregate(middle - moved))
    return float((differences >= differences[0] * (1 - 1e-9)).mean())  # the same but for rounding counts


def _normal_limit(one: Paired) -> float:
    parts = influences(one.metric, one.candidate_totals) - influences(one.metric, one.baseline_totals)
    seen = one.candidate_value - one.baseline_value
    # The flips lie around no difference, so the spread is that around 0.
    error = np.sqrt(np.square(parts).sum() + seen**2 / len(parts))
    return float(2 * ndtr(-abs(seen) / error)) if error > 0 else 1.0
