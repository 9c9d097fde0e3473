"""Waiting for the trials of other commands, and what counts as progress."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import ServiceError
from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, TrialOutcome
from tasks import search_workers, worker_processes
from tasks.search_workers import run_trials
from tasks.worker_processes import MOST_DEATHS, WorkerProcesses


class Plan:
    """What is read of a plan."""

    search = SearchConfig(trials=2)


def test_a_trial_that_turns_open_while_we_wait_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command's trial is running when there is nothing to claim, and given back before we look again."""
    search, other = (Search(tmp_path, SearchConfig(trials=2), TrainingConfig()) for _ in range(2))
    foreign = other.claim()
    assert foreign is not None
    rounds: list[int] = []

    def until_none_is_left(trials: Any, say: Any = None) -> None:
        rounds.append(1)
        while (trial := search.claim()) is not None:
            search.finish(trial, TrialOutcome(1.0))
        if len(rounds) == 1:
            other.give_back(foreign)  # after the last claim, before anybody looks what still runs

    monkeypatch.setattr(search_workers.Trials, "run_until_none_is_left", until_none_is_left)
    monkeypatch.setattr(search_workers, "WAIT_SECONDS", 0.0)
    run_trials(Plan(), search, None, None, lambda text: None)  # type: ignore[arg-type]
    assert [one.state for one in search.trials()] == ["finished", "finished"]
    assert len(rounds) == 2


def test_a_trial_that_is_given_up_is_progress(tmp_path: Path) -> None:
    """Else the workers that it killed add up with those that the next one kills."""
    search = Search(tmp_path, SearchConfig(trials=1), TrainingConfig())

    def progress() -> Iterator[int]:
        for _ in range(2):
            trial = search.claim()
            assert trial is not None
            search.fail(trial, "RuntimeError")
            yield search_workers._progress(search, lambda text: None)

    assert list(progress()) == [0, 1]


def test_two_workers_may_each_die_as_often_as_it_takes_to_give_a_trial_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_processes, "recover_from_crashes", lambda: None)

    class Dead:
        task_run_id = "1"

    processes = WorkerProcesses(2)
    processes._bury(Dead(), 2 * MOST_DEATHS, RuntimeError())  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match="11 worker processes died"):
        processes._bury(Dead(), 2 * MOST_DEATHS + 1, RuntimeError())  # type: ignore[arg-type]
