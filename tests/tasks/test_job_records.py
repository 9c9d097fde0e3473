"""What a job tells while it runs: its state in the ledger at once, and how far it is with the unit said."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from prefect.artifacts import Artifact
from rich.console import Console

from llmops.finetuning.backends import JobStatus
from llmops.finetuning.backends.backend import JobCheckpoint, MetricPoint
from llmops.finetuning.jobs import job_ledger
from tasks import terminal_stages
from tasks.job_records import CHECKPOINTS_FILE, JobFollower
from tasks.progress import Stage, show_stages, stage


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A pipe, into which every move of a stage is written."""
    monkeypatch.setattr(terminal_stages, "EVERY_SECONDS", 0.0)
    stream = io.StringIO()
    show_stages(terminal_stages.TerminalStages(Console(file=stream, width=100)))
    yield stream
    show_stages(None)


def follower(run: str, line: Stage) -> JobFollower:
    """Of a job that has just begun."""
    identity = {"backend": "local", "endpoint": "here", "base_model": "tiny", "name": "a", "dataset_digest": "d"}
    record = job_ledger().begin("f" * 64, dataset="a@1", hyperparameters={}, **identity)
    return JobFollower(run, record, job_ledger(), line)


def test_steps_and_shares_are_said_with_their_unit(home: Path, terminal: io.StringIO) -> None:
    run = MlflowClient().create_run("0").info.run_id
    point = MetricPoint(step=320, metrics={"loss": 0.5})
    with stage("Training") as line:
        following = follower(run, line)
        following.tell(JobStatus(state="running"))
        assert job_ledger().get(following.record.id).state_now == "running"
        following.tell(JobStatus(state="running", progress=0.8, total_steps=400, detail="fast", metrics=(point,)))
        following.tell(JobStatus(state="running", progress=0.85))
    said = [line.partition(", after")[0] for line in terminal.getvalue().splitlines()[1:-1]]
    assert said == ["… Training: running", "… Training: 320 of 400 steps, fast", "… Training: 85 of 100 %, running"]


def test_each_checkpoint_is_in_the_table_as_soon_as_it_is_told(home: Path, prefect_server: str) -> None:
    """Also what only a later one has: the first has no validation loss."""
    client = MlflowClient()
    run = client.create_run("0").info.run_id
    first = JobCheckpoint(step=10, model="ft:a:step-10", metrics={"loss": 0.5})
    second = JobCheckpoint(step=20, model="ft:a:step-20", metrics={"loss": 0.4, "validation_loss": 0.6})
    tables = []
    with stage("Training") as line:
        following = follower(run, line)
        for told in ((), (first,), (first,), (first, second), ()):
            following.tell(JobStatus(state="running", checkpoints=told))
            if told:
                file = client.download_artifacts(run, CHECKPOINTS_FILE)
                tables.append(json.loads(Path(file).read_text()))
        ended = following.finish(JobStatus(state="succeeded", checkpoints=(first, second)))
    assert ended.checkpoints == (first, second)
    one = {"columns": ["step", "model", "loss"], "data": [[10, "ft:a:step-10", 0.5]]}
    both = {
        "columns": ["step", "model", "loss", "validation_loss"],
        "data": [[10, "ft:a:step-10", 0.5, None], [20, "ft:a:step-20", 0.4, 0.6]],
    }
    assert tables == [one, one, both]
    shown = json.loads(client.get_run(run).data.tags["mlflow.loggedArtifacts"])
    assert shown == [{"path": CHECKPOINTS_FILE, "type": "table"}]
    assert mlflow.load_table(CHECKPOINTS_FILE, [run])["step"].tolist() == [10, 20]
    page = Artifact.get(key="checkpoints-a")
    assert page is not None
    assert [row["step"] for row in json.loads(str(page.data))] == [10, 20]
