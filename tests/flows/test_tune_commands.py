"""The search as a command: workers and commands that are killed, Ctrl-C, two homes on one PostgreSQL."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterStartTime

from llmops.finetuning import TrainingConfig
from tests.emulators.postgresql_server import PostgresqlServer, running_postgresql
from tests.flows.searching_there import SCRATCH, SPACE, run_search, runs, search
from tests.forked_commands import ForkedCommand, ForkedCommands, command_environment

pytestmark = [pytest.mark.service, pytest.mark.slow]

COMMAND_TRAINING = {"method": "full", "max_steps": 40, "batch_size": 8, "max_length": 64, "checkpoint_steps": 20}


Start = Callable[[list[str], Path], ForkedCommand]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    """The command of a search of 4 trials; keywords go into `search`."""

    def words(**given: Any) -> list[str]:
        config = tmp_path / f"tune-{len(list(tmp_path.glob('tune-*')))}.yaml"
        settings = {
            "base_model": "scratch",
            "scratch": SCRATCH.model_dump(),
            "training": COMMAND_TRAINING,
            "search": {"trials": 4, "sampler": "random", "space": SPACE, **given},
        }
        config.write_text(yaml.safe_dump({"tune": settings}))
        return ["run", "tune", "--dataset", "toy", "--config", str(config), "--json"]

    return words


@pytest.fixture
def start(llmops: ForkedCommands, toy: Path, prefect_server: str) -> Start:
    """Starts a command on a home; its trials are in the MLflow store of the test's."""

    def command(words: list[str], home: Path) -> ForkedCommand:
        store = {"LLMOPS_MLFLOW_TRACKING_URI": f"sqlite:///{toy}/mlflow.db"}
        return llmops.start(*words, environment=command_environment(home, prefect_server) | store)

    return command


def finish(process: ForkedCommand) -> dict[str, Any]:
    output, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def wait_for(home: Path, process: ForkedCommand, finished: int) -> None:
    """Until so many trials have ended and one more has begun to train."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        states = [run.data.tags.get("trial.state") for run in runs(home, "trial")]
        if states.count("finished") >= finished and None in states:
            return
        time.sleep(0.1)
    raise AssertionError(f"not {finished} trials in 300 s")


def workers_of(process: ForkedCommand) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def every_trial_ran_once(home: Path, result: dict[str, Any], count: int = 4) -> None:
    """No trial lost, none twice, all of them children of one run, and nothing left running."""
    numbers = list(range(1, count + 1))
    assert [one["number"] for one in result["trials"]] == numbers
    assert {one["state"] for one in result["trials"]} == {"finished"}
    assert [run.info.run_id for run in runs(home, "tune")] == [result["run_id"]]
    trials = [run for run in runs(home, "trial") if run.info.status == "FINISHED"]
    assert sorted(int(run.data.tags["trial"]) for run in trials) == numbers
    for run in trials:
        assert run.data.tags["mlflow.parentRunId"] == result["run_id"]
        history = MlflowClient(f"sqlite:///{home}/mlflow.db").get_metric_history(run.info.run_id, "validation_loss")
        steps = [point.step for point in history]
        assert (len(steps), max(steps)) == (len(set(steps)), COMMAND_TRAINING["max_steps"])
    # What Ctrl-C ended shows as such, and its trial was taken up in a run of its own.
    assert {run.info.status for run in runs(home)} <= {"FINISHED", "KILLED"}


def states_in_prefect(begun: datetime) -> set[str]:
    """The states of flow runs that have begun since."""
    since = FlowRunFilter(start_time=FlowRunFilterStartTime(after_=begun))
    with get_client(sync_client=True) as client:
        return {str(run.state_name) for run in client.read_flow_runs(flow_run_filter=since)}


def test_killed_and_interrupted_it_loses_no_trial_and_repeats_none(
    toy: Path, start: Start, command: Callable[..., list[str]]
) -> None:
    line, begun = command(workers=2, trials=5), datetime.now(UTC)
    first = start(line, toy)
    wait_for(toy, first, 1)
    workers_of(first)[0].kill()
    wait_for(toy, first, 2)
    first.kill()
    first.communicate()
    second = start(line, toy)
    wait_for(toy, second, 3)
    os.killpg(second.pid, signal.SIGINT)  # as a terminal does: every process of the command
    _, said = second.communicate(timeout=100)
    assert second.returncode == 130, said
    assert "Traceback" not in said
    assert "the same command goes on" in said
    assert "RUNNING" not in {run.info.status for run in runs(toy)}
    assert len(states_in_prefect(begun)) >= 1
    assert not {"Running", "Pending", "Cancelling"} & states_in_prefect(begun)
    result = run_search(search(trials=5), TrainingConfig.model_validate(COMMAND_TRAINING))
    every_trial_ran_once(toy, result.model_dump(), count=5)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server; skips where there is none to start."""
    with running_postgresql() as server:
        yield server


def test_two_homes_share_the_trials_on_one_postgresql(
    toy: Path, start: Start, tmp_path: Path, command: Callable[..., list[str]], postgresql: PostgresqlServer
) -> None:
    other_home = tmp_path / "other"
    shutil.copytree(toy, other_home)
    line = command(storage=postgresql.url(), trials=6)
    commands = [start(line, home) for home in (toy, other_home)]
    results = [finish(process) for process in commands]
    every_trial_ran_once(toy, results[0], count=6)
    assert results[0]["best"] == results[1]["best"]
    assert results[0]["run_id"] == results[1]["run_id"]
    hosts = [len(list((home / "training").iterdir())) for home in (toy, other_home)]
    assert sum(hosts) == 6
    assert min(hosts) >= 1, "both worked"
