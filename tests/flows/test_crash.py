"""kill -9 in the middle of a training, then the same command: it goes on, and nothing is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from flows.lifecycle import lifecycle

pytestmark = [pytest.mark.service, pytest.mark.slow]

CONFIG = {
    "base_model": "scratch",
    "search": {"trials": 0},
    "scratch": {"vocabulary": 300, "hidden": 64, "intermediate": 128, "layers": 2, "heads": 2, "positions": 64},
    "training": {"method": "full", "epochs": 12, "learning_rate": 0.003, "max_length": 64, "checkpoint_steps": 20},
    "evaluation": {"max_new_tokens": 16},
}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, pairs_file: Path) -> list[str]:
    config = tmp_path_factory.mktemp("config") / "toy.yaml"
    config.write_text(yaml.safe_dump({"lifecycle": CONFIG}))
    options = ["--source", str(pairs_file), "--name", "toy", "--config", str(config), "--json"]
    return [sys.executable, "-m", "flows.cli", "run", "lifecycle", *options]


def start(command: list[str], home: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"LLMOPS_HOME": str(home)}
    environment = {name: value for name, value in environment.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    environment.pop("_MLFLOW_SERVER_ARTIFACT_ROOT", None)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """The JSON object and what was said on the way."""
    output, said = process.communicate(timeout=300)
    assert process.returncode in (0, 1), said
    return json.loads(output.splitlines()[-1]), said


def wait_for_checkpoint(process: subprocess.Popen[str], home: Path) -> None:
    until = time.monotonic() + 200
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()[1]
        if len(list(home.glob("training/*/checkpoints/checkpoint-*/complete.json"))) >= 2:
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint in 200 s")


def runs(home: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def curve(home: Path, run_id: str, name: str) -> dict[int, float]:
    history = MlflowClient(f"sqlite:///{home}/mlflow.db").get_metric_history(run_id, name)
    steps = [metric.step for metric in history]
    assert len(steps) == len(set(steps)), "a step was logged twice"
    return {metric.step: metric.value for metric in history}


def processes_of(home: Path) -> list[psutil.Process]:
    """Processes that were started for a home and still live."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LLMOPS_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def prefect_states(home: Path) -> dict[str, set[str]]:
    """The states in which flow and task runs were left, read from Prefect's own database."""
    import sqlite3

    with sqlite3.connect(home / "prefect" / "prefect.db") as database:
        return {
            table: {row[0] for row in database.execute(f"select distinct state_type from {table}")}
            for table in ("flow_run", "task_run")
        }


def test_killed_and_started_again_equals_never_killed(
    command: list[str], pairs_file: Path, home: Path, tmp_path: Path, mlflow_database: Path, prefect_database: Path
) -> None:
    killed_home = tmp_path / "killed"
    (killed_home / "prefect").mkdir(parents=True)
    shutil.copy(mlflow_database, killed_home / "mlflow.db")
    shutil.copy(prefect_database, killed_home / "prefect" / "prefect.db")
    victim = start(command, killed_home)
    wait_for_checkpoint(victim, killed_home)
    victim.send_signal(signal.SIGKILL)  # not waited for yet: whoever restarts a command may find it a zombie
    time.sleep(1)
    interrupted = {run.info.run_name: run.info.run_id for run in runs(killed_home)}
    assert {run.info.status for run in runs(killed_home) if run.info.run_name == "training"} == {"RUNNING"}

    resumed, said = finish(start(command, killed_home))
    assert "resumed from step" in said
    victim.communicate()
    # What was killed had a process and a Prefect server of its own; this one needs neither.
    calm = lifecycle(str(pairs_file), "toy", **CONFIG).model_dump(mode="json")  # type: ignore[arg-type]

    after = {run.info.run_name: run for run in runs(killed_home)}
    assert {name: after[name].info.run_id for name in interrupted} == interrupted, "the same runs go on"
    assert resumed["run_id"] == interrupted["lifecycle"]
    assert "RUNNING" not in {run.info.status for run in runs(killed_home)}
    assert prefect_states(killed_home)["flow_run"] <= {"COMPLETED", "CRASHED"}
    assert prefect_states(killed_home)["task_run"] <= {"COMPLETED", "CRASHED"}
    assert processes_of(killed_home) == []

    training_run = next(run for run in runs(home) if run.info.run_name == "training").info.run_id
    for name in ("loss", "validation_loss", "learning_rate"):
        again, once = curve(killed_home, interrupted["training"], name), curve(home, training_run, name)
        assert again.keys() == once.keys()
        assert all(abs(again[step] - once[step]) <= 0.01 * abs(once[step]) for step in once)
    assert resumed["metrics"] == calm["metrics"]
