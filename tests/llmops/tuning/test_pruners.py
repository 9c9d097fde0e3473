"""Pruning on shares of the run: trials of other lengths are compared, bad ones end, good ones do not."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, Trial, TrialOutcome
from llmops.tuning.pruners import losses_at_tenths


@given(st.integers(1, 500), st.integers(1, 100), st.floats(0.1, 10), st.floats(-5, 5))
def test_losses_on_a_line_are_on_that_line_at_every_tenth(total: int, every: int, start: float, slope: float) -> None:
    """Whatever the length of a run and its evaluations, the tenths lie on the same line: linear interpolation."""
    found: dict[int, float] = {}
    before = None
    steps = [*range(every, total, every), total]
    for step in steps:
        share = 100 * step / total
        now = (share, start + slope * share)
        new = losses_at_tenths(before, now)
        assert not found.keys() & new.keys()
        found.update(new)
        before = now
    assert all(abs(loss - (start + slope * tenth)) < 1e-6 for tenth, loss in found.items())
    assert found.keys() >= {tenth for tenth in range(10, 101, 10) if tenth > 100 * steps[0] / total}


def test_an_infinite_loss_spoils_no_arithmetic() -> None:
    assert losses_at_tenths((10, 1.0), (30, float("inf"))) == {20: float("inf"), 30: float("inf")}


def search(folder: Path, pruner: Literal["median", "hyperband"]) -> Search:
    space = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}
    settings = {"trials": 14, "pruner": pruner, "sampler": "random", "space": space}
    return Search(folder, SearchConfig.model_validate(settings), TrainingConfig())


def run(study: Search, trial: Trial, level: float, steps: int) -> int:
    """Train with a loss of ``level`` plus what falls to 0 over the run; the step where it ended."""
    for step in range(steps // 10 or 1, steps + 1, steps // 10 or 1):
        loss = level + 1 - step / steps
        if trial.report(step, loss, steps):
            study.prune(trial, TrialOutcome(loss, steps=step))
            return step
    study.finish(trial, TrialOutcome(level, steps=steps))
    return steps


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_bad_trials_end_early_and_the_best_one_never(tmp_path: Path, pruner: Literal["median", "hyperband"]) -> None:
    study = search(tmp_path, pruner)
    for number in range(14):
        trial = study.claim()
        assert trial is not None
        # The best trial comes late, the runs are 7 to 30 steps long, and long ones are no better.
        run(study, trial, level=0.0 if number == 11 else 1 + number % 7, steps=7 + number % 24)
    states = [one.state for one in study.trials()]
    assert study.best().number == 11
    assert states.count("pruned") >= 3
    # Nothing ends in the first 30 % of a run.
    assert all(max(one.curve) >= 30 for one in study.trials())
    assert study.claim() is None


def test_a_long_run_is_compared_at_the_same_share(tmp_path: Path) -> None:
    """The same curve over ten times the steps, a little lower, is not ended for being long."""
    study = search(tmp_path, "median")
    for _ in range(5):
        trial = study.claim()
        assert trial is not None
        run(study, trial, level=1.0, steps=10)
    long = study.claim()
    assert long is not None
    assert run(study, long, level=0.9, steps=100) == 100
    worse = study.claim()
    assert worse is not None
    assert run(study, worse, level=1.1, steps=100) == 30  # at the same share of its run, and not before
    assert study.trials()[-1].curve == {10: pytest.approx(2.0), 20: pytest.approx(1.9), 30: pytest.approx(1.8)}
    assert study.trials()[-1].loss == pytest.approx(1.8)


def test_the_median_waits_for_five_trials(tmp_path: Path) -> None:
    """Each is worse than all before; two or three are no median to go by."""
    study = search(tmp_path, "median")
    for number in range(5):
        trial = study.claim()
        assert trial is not None
        assert run(study, trial, level=1.0 + number, steps=10) == 10
    sixth = study.claim()
    assert sixth is not None
    assert run(study, sixth, level=9.0, steps=10) == 3
