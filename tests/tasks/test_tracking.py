"""MLflow runs: nested by themselves, ended with the right status, and picked up after a crash."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from llmops.data import DatasetVersion
from tasks.tracking import log_dataset, log_params, tracked_run


def test_a_run_inside_another_is_its_child(home: Path) -> None:
    with tracked_run("outer", experiment="x") as outer, tracked_run("inner", experiment="x") as inner:
        pass
    client = MlflowClient()
    assert client.get_run(inner.run_id).data.tags["mlflow.parentRunId"] == outer.run_id
    assert "mlflow.parentRunId" not in client.get_run(outer.run_id).data.tags
    assert {client.get_run(run.run_id).info.status for run in (outer, inner)} == {"FINISHED"}


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_ends_as_its_block_did(home: Path, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), tracked_run("broken", experiment="x", resume_key="k") as run:
        raise error
    assert MlflowClient().get_run(run.run_id).info.status == status
    with tracked_run("broken", experiment="x", resume_key="k") as again:
        assert not again.resumed
    assert again.run_id != run.run_id


def test_an_interruption_within_a_query_does_not_lock_the_store(home: Path) -> None:
    def query() -> None:
        rows = sqlite3.connect(home / "mlflow.db").execute("SELECT name FROM sqlite_master")
        next(rows)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), tracked_run("asked", experiment="x") as run:
        query()
    assert MlflowClient().get_run(run.run_id).info.status == "KILLED"


def begin_and_die(key: str) -> str:
    """Open a run in another process that is killed inside it; returns the run's id."""
    program = f"""
import os, signal
from tasks.tracking import tracked_run
with tracked_run("work", experiment="x", resume_key={key!r}) as run:
    print(run.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


def test_the_same_work_after_a_kill_goes_on_with_the_same_run(home: Path) -> None:
    died = begin_and_die("same")
    assert MlflowClient().get_run(died).info.status == "RUNNING"
    with tracked_run("work", experiment="x", resume_key="other") as other:
        assert other.run_id != died
    with tracked_run("work", experiment="x", resume_key="same") as again:
        assert again.run_id == died
        assert again.resumed
    assert MlflowClient().get_run(died).info.status == "FINISHED"


def test_a_run_that_a_live_process_works_on_is_left_alone(home: Path) -> None:
    with (
        tracked_run("work", experiment="x", resume_key="k") as one,
        tracked_run("work", experiment="x", resume_key="k") as other,
    ):
        assert one.run_id != other.run_id


def test_a_dataset_version_becomes_an_input(home: Path) -> None:
    version = DatasetVersion.model_validate(
        {
            "name": "support",
            "number": 3,
            "digest": "d" * 64,
            "rows_digest": "e" * 64,
            "kind": "user",
            "parent": 2,
            "sources": [],
            "config": {},
            "code_commit": None,
            "counts": {"train": 8, "validation": 1, "test": 1},
            "created_at": "2026-01-01T00:00:00Z",
        }
    )
    with tracked_run("work", experiment="x") as run:
        log_dataset(run.run_id, version, "training")
    logged = MlflowClient().get_run(run.run_id)
    [used] = logged.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("support@3", "d" * 32)
    assert logged.data.tags["dataset.digest"] == "d" * 64


def test_nested_parameters_get_dotted_names(home: Path) -> None:
    with tracked_run("work", experiment="x") as run:
        log_params(run.run_id, {"a": 1, "b": {"c": {"d": 2}, "e": None}})
        log_params(run.run_id, {"a": 1})  # as a resumed run does
    assert MlflowClient().get_run(run.run_id).data.params == {"a": "1", "b.c.d": "2"}
