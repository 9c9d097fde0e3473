"""What a job tells while it runs: its state in the ledger at once, and how far it is with the unit said."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from llmops.finetuning.backends import JobStatus
from llmops.finetuning.backends.backend import MetricPoint
from llmops.finetuning.jobs import job_ledger
from tasks import terminal_stages
from tasks.job_records import JobFollower
from tasks.progress import show_stages, stage


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A pipe, into which every move of a stage is written."""
    monkeypatch.setattr(terminal_stages, "EVERY_SECONDS", 0.0)
    stream = io.StringIO()
    show_stages(terminal_stages.TerminalStages(Console(file=stream, width=100)))
    yield stream
    show_stages(None)


def test_steps_and_shares_are_said_with_their_unit(home: Path, terminal: io.StringIO) -> None:
    ledger = job_ledger()
    identity = {"backend": "local", "endpoint": "here", "base_model": "tiny", "name": "a", "dataset_digest": "d"}
    record = ledger.begin("f" * 64, dataset="a@1", hyperparameters={}, **identity)
    run = MlflowClient().create_run("0").info.run_id
    point = MetricPoint(step=320, metrics={"loss": 0.5})
    with stage("Training") as line:
        follower = JobFollower(run, record, ledger, line)
        follower.tell(JobStatus(state="running"))
        assert ledger.get(record.id).state_now == "running"
        follower.tell(JobStatus(state="running", progress=0.8, total_steps=400, detail="fast", metrics=(point,)))
        follower.tell(JobStatus(state="running", progress=0.85))
    said = [line.partition(", after")[0] for line in terminal.getvalue().splitlines()[1:-1]]
    assert said == ["… Training: running", "… Training: 320 of 400 steps, fast", "… Training: 85 of 100 %, running"]
