"""The best configurations of a search trained again with new seeds, and whether the winner wins by more than noise.

The loss by which a configuration became the best of many was selected for being low: part of it is luck, and the
more trials, the more of it. So a finalist's first loss does not count; only those of the new seeds do.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from llmops.tuning.trials import Trial

ALPHA = 0.05


@dataclass(frozen=True)
class Finalist:
    """A configuration that is trained again.

    Attributes:
        number: of the trial that it comes from.
        values: what it sets in the training settings.
        seeds: that it is trained with, the same for all finalists and none of them the search's.
    """

    number: int
    values: dict[str, Any]
    seeds: tuple[int, ...]


def finalists(trials: Sequence[Trial], count: int, seeds: int, first_seed: int) -> list[Finalist]:
    """The configurations of lowest validation loss, each different, with the seeds they are trained again with.

    Args:
        trials: of a search; those that finished with a finite loss are looked at.
        count: configurations; fewer where there are no more.
        seeds: trainings of each.
        first_seed: of the training settings, with which the search itself trained; new ones follow it.
    """
    chosen: list[Trial] = []
    for one in sorted(
        (one for one in trials if one.state == "finished"), key=lambda one: (one.loss or 0.0, one.number)
    ):
        if len(chosen) < count and all(one.values != other.values for other in chosen):
            chosen.append(one)
    new = tuple((first_seed + 1 + i) % 2**32 for i in range(seeds))
    return [Finalist(one.number, one.values, new) for one in chosen]


@dataclass(frozen=True)
class Finale:
    """What the new trainings say.

    Attributes:
        winner: trial number of the configuration with the lowest mean loss.
        second: of the one after it; None where only one is left.
        means: mean loss by trial number over the new seeds, lowest first; infinite where a training diverged.
        difference: mean loss of the second minus that of the winner.
        low, high: limits of its interval; None with fewer than two seeds.
        level: of the interval, raised for the number of finalists.
        by_more_than_noise: whether the winner's interval against every other finalist lies above 0.
        sentence: all this for a person.
    """

    winner: int
    second: int | None
    means: dict[int, float]
    difference: float | None
    low: float | None
    high: float | None
    level: float
    by_more_than_noise: bool
    sentence: str


def judge_finalists(losses: Mapping[int, Sequence[float]]) -> Finale:
    """Whether the finalist of lowest mean loss wins by more than the seeds' noise.

    It does when the interval of its difference to every other finalist lies above 0, at the level 1 - 0.1 / k for
    k finalists. The difference is taken seed by seed (Student's paired t): what a seed does to all finalists alike,
    the order of the examples and the first weights, falls out of it. With k equal ones, one of them wins with a
    probability of at most k * 0.05 / k = 0.05: each would have to beat all others, and so at least a given one, for
    which the chance is half of 0.1 / k. The choice of winner and second after the fact is covered by that.

    Args:
        losses: validation losses of each finalist by trial number, in the same order of seeds for all; one that is
            not finite (diverged) makes its configuration lose.

    Raises:
        ValueError: no finalist trained with every seed, or they have different numbers of seeds.

    >>> finale = judge_finalists({3: [0.50, 0.52, 0.51], 7: [0.80, 0.83, 0.82]})
    >>> finale.winner, finale.by_more_than_noise
    (3, True)
    >>> judge_finalists({3: [0.50, 0.82, 0.51], 7: [0.80, 0.83, 0.82]}).by_more_than_noise
    False
    """
    means = {one: _mean(values) for one, values in losses.items()}
    means = dict(sorted(means.items(), key=lambda pair: (pair[1], pair[0])))
    whole = [one for one, mean in means.items() if math.isfinite(mean)]
    if not whole:
        raise ValueError("no finalist trained with every seed: every loss is infinite")
    level = 1 - 2 * ALPHA / max(2, len(losses))
    winner = whole[0]
    if len(whole) == 1:
        sentence = f"trial {winner} is the only finalist that trained to its end with every new seed"
        return Finale(winner, None, means, None, None, None, level, False, sentence)
    limits = paired_interval(losses[whole[1]], losses[winner], level)
    intervals = (paired_interval(losses[other], losses[winner], level) for other in whole[1:])
    wins = all(one is not None and one[0] > 0 for one in intervals)
    return _finale(losses, means, whole[:2], limits, level, wins)


def _finale(
    losses: Mapping[int, Sequence[float]],
    means: dict[int, float],
    first_two: list[int],
    limits: tuple[float, float] | None,
    level: float,
    wins: bool,
) -> Finale:
    winner, second = first_two
    difference = means[second] - means[winner]
    low, high = limits or (None, None)
    within = f"{100 * level:.3g} % interval {low:.3f} to {high:.3f}" if limits else "one seed: no interval"
    how = "wins by more than noise" if wins else "does not win by more than noise"
    sentence = (
        f"trial {winner} {how}: its loss over {len(losses[winner])} new seeds is {difference:.3f} lower than that of "
        f"trial {second} ({within})"
    )
    return Finale(winner, second, means, difference, low, high, level, wins, sentence)


def paired_interval(one: Sequence[float], other: Sequence[float], level: float) -> tuple[float, float] | None:
    """Limits of the mean of ``one - other`` by Student's t over the differences at the same place.

    None with fewer than two: then nothing is known of the noise.
    """
    from scipy.special import stdtrit

    differences = [a - b for a, b in zip(one, other, strict=True)]
    if len(differences) < 2:
        return None
    mean = fmean(differences)
    error = math.sqrt(variance(differences) / len(differences))
    half = float(stdtrit(len(differences) - 1, (1 + level) / 2)) * error
    return mean - half, mean + half


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values and all(map(math.isfinite, values)) else math.inf
