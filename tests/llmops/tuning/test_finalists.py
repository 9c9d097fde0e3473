"""Finalists: the paired interval against scipy and by hand, and how often equal configurations 'win'."""

import math

import numpy as np
import pytest
from scipy import stats

from llmops.tuning import Trial, TrialOutcome, finalists, judge_finalists
from llmops.tuning.finalists import paired_interval


def test_the_best_different_configurations_with_new_seeds() -> None:
    losses = [0.9, 0.3, math.inf, 0.5, 0.3]
    trials = [
        Trial(
            n,
            {"rank": 8 if n in (1, 4) else n},
            "finished" if math.isfinite(loss) else "diverged",
            1,
            TrialOutcome(loss),
        )
        for n, loss in enumerate(losses)
    ]
    trials.append(Trial(5, {"rank": 99}, "pruned", 1, TrialOutcome(0.1)))
    chosen = finalists(trials, count=3, seeds=2, first_seed=7)
    assert [(one.number, one.seeds) for one in chosen] == [(1, (8, 9)), (3, (8, 9)), (0, (8, 9))]
    assert len(finalists(trials, count=9, seeds=2, first_seed=0)) == 3
    assert finalists(trials, 2, 2, first_seed=2**32 - 1)[0].seeds == (0, 1)


def test_the_paired_interval_by_hand() -> None:
    """Differences 1, 2, 3, 6: mean 3, variance 14 / 3, so an error of sqrt(14 / 12) with 3 degrees of freedom."""
    one, other = [3.0, 5.0, 7.0, 11.0], [2.0, 3.0, 4.0, 5.0]
    limits = paired_interval(one, other, level=0.95)
    assert limits is not None
    half = 3.182446 * math.sqrt(14 / 12)  # the 97.5 % point of t with 3 degrees of freedom, from a table
    assert limits == pytest.approx((3 - half, 3 + half), rel=1e-5)
    scipys = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert limits == pytest.approx((scipys.low, scipys.high))


def test_the_level_is_raised_for_the_number_of_finalists() -> None:
    losses = {1: [1.0, 1.2, 1.1], 2: [1.5, 1.7, 1.8], 3: [1.9, 2.0, 2.2], 4: [3.0, 3.1, 2.9]}
    finale = judge_finalists(losses)
    expected = stats.ttest_rel(losses[2], losses[1]).confidence_interval(1 - 0.1 / 4)
    assert (finale.low, finale.high) == pytest.approx((expected.low, expected.high))
    assert (finale.winner, finale.second, finale.level) == (1, 2, 0.975)
    assert finale.by_more_than_noise == (expected.low > 0)
    assert list(finale.means) == [1, 2, 3, 4]


def test_the_winner_must_beat_every_finalist_and_not_only_the_second() -> None:
    """The third is only a little worse and so noisy that it may well be better."""
    finale = judge_finalists({1: [1.00, 1.01, 1.02], 2: [1.10, 1.12, 1.12], 3: [0.2, 1.2, 2.2]})
    assert finale.low is not None
    assert finale.low > 0
    assert not finale.by_more_than_noise
    assert "does not win by more than noise" in finale.sentence


@pytest.mark.parametrize("by_seed", [0.0, 1.0])
@pytest.mark.parametrize(("k", "seeds"), [(2, 3), (2, 5), (3, 5), (5, 5)])
def test_equal_configurations_win_by_more_than_noise_in_at_most_a_twentieth(k: int, seeds: int, by_seed: float) -> None:
    """By simulation, within three Monte Carlo standard errors of 5 %, whatever a seed does to all finalists alike."""
    rng = np.random.default_rng(k * 10 + seeds)
    runs = 1000
    noise = np.linspace(0.05, 0.2, k)[:, None]  # they are equal in the mean, and not in their noise
    draws = 1.0 + noise * rng.normal(size=(runs, k, seeds)) + by_seed * rng.normal(size=(runs, 1, seeds))
    wins = sum(judge_finalists(dict(enumerate(one.tolist()))).by_more_than_noise for one in draws)
    error = math.sqrt(0.05 * 0.95 / runs)
    assert wins / runs <= 0.05 + 3 * error


@pytest.mark.parametrize("by_seed", [0.0, 1.0])
def test_a_clear_winner_is_found(by_seed: float) -> None:
    """Power as theory has it (noncentral t), for a mean difference of 2.1 standard deviations in 5 pairs.

    What a seed does to both makes no difference.
    """
    rng = np.random.default_rng(1)
    runs = 400
    own = rng.normal(0.0, 0.1, size=(runs, 2, 5)) + np.array([[1.0], [1.3]])
    draws = own + by_seed * rng.normal(size=(runs, 1, 5))
    finales = [judge_finalists(dict(enumerate(one.tolist()))) for one in draws]
    found = sum(one.by_more_than_noise and one.winner == 0 for one in finales) / runs
    power = 1 - stats.nct.cdf(stats.t.ppf(0.975, 4), 4, 0.3 / (0.1 * math.sqrt(2)) * math.sqrt(5))
    assert power > 0.9
    assert abs(found - power) < 4 * math.sqrt(power * (1 - power) / runs)


def test_a_finalist_that_diverges_cannot_win() -> None:
    finale = judge_finalists({1: [0.1, math.inf, 0.1], 2: [1.0, 1.1, 1.2], 3: [2.0, 2.1, 2.2]})
    assert (finale.winner, finale.second, finale.means[1]) == (2, 3, math.inf)
    alone = judge_finalists({1: [0.1, math.nan], 2: [1.0, 1.1]})
    assert (alone.winner, alone.second, alone.by_more_than_noise) == (2, None, False)
    assert alone.sentence == "trial 2 is the only finalist that trained to its end with every new seed"
    with pytest.raises(ValueError, match="no finalist"):
        judge_finalists({1: [math.inf], 2: [math.nan]})


def test_without_repeats_nothing_is_known_of_the_noise() -> None:
    finale = judge_finalists({1: [1.0], 2: [2.0]})
    assert (finale.low, finale.by_more_than_noise) == (None, False)
    assert "no interval" in finale.sentence


def test_losses_that_do_not_depend_on_the_seed() -> None:
    assert judge_finalists({1: [1.0, 1.0], 2: [2.0, 2.0]}).by_more_than_noise
    assert not judge_finalists({1: [1.0, 1.0], 2: [1.0, 1.0]}).by_more_than_noise
