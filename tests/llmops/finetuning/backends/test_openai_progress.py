"""What a job tells, at a server that answers as the API is documented."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llmops.finetuning.backends import (
    JobSettings,
    TuningRequest,
    connect_backend,
)
from tests.emulators.openai_fine_tuning_server import FineTuningServer

Request = Callable[..., TuningRequest]
Submit = Callable[..., str]


def test_status_tells_log_figures_and_checkpoints(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    server.largest_page = 2
    server.tell(
        job_id, "Step 1/4: training loss=2.50", {"step": 1, "train_loss": 2.5, "train_mean_token_accuracy": 0.4}
    )
    server.tell(job_id, "Slow down", level="warn")
    figures = {
        "step": 2,
        "train_loss": 1.5,
        "valid_loss": 1.75,
        "valid_mean_token_accuracy": 0.5,
        "full_valid_loss": None,
    }
    server.tell(job_id, "Step 2/4: training loss=1.50", figures)
    server.checkpoints[job_id] = [
        {
            "id": f"ftckpt-{step}", "object": "fine_tuning.job.checkpoint", "created_at": 1_760_000_000 + step,
            "fine_tuned_model_checkpoint": f"ft:some:ckpt-step-{step}", "fine_tuning_job_id": job_id,
            "step_number": step, "metrics": {"step": step, "train_loss": 3.0 - step, "full_valid_loss": 2.0},
        }
        for step in (1, 2)
    ]  # fmt: skip
    server.jobs[job_id].update(status="running", estimated_finish=1_760_000_000)

    status = backend.status(job_id)
    assert status.state == "running"
    assert status.progress == 0.5
    assert [(event.message, event.level) for event in status.events] == [
        ("Created fine-tuning job", "info"),
        ("Slow down", "warning"),
    ]
    assert [(point.step, point.metrics) for point in status.metrics] == [
        (1, {"loss": 2.5, "token_accuracy": 0.4}),
        (2, {"loss": 1.5, "validation_loss": 1.75, "validation_token_accuracy": 0.5}),
    ]
    assert [(one.step, one.model, one.metrics) for one in status.checkpoints] == [
        (1, "ft:some:ckpt-step-1", {"loss": 2.0, "full_validation_loss": 2.0}),
        (2, "ft:some:ckpt-step-2", {"loss": 1.0, "full_validation_loss": 2.0}),
    ]
    assert status.detail == "step 2, loss 1.5, expected to end at 2025-10-09 08:53 UTC"


def test_events_known_already_are_not_asked_for_again(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    server.largest_page = 10
    for step in range(1, 41):
        server.tell(job_id, f"Step {step}/80", {"step": step, "train_loss": float(step)})
    before = backend.status(job_id)
    assert server.count("GET", "/events") == 5
    server.tell(job_id, "Step 41/80", {"step": 41, "train_loss": 41.0})
    now = backend.status(job_id)
    assert server.count("GET", "/events") == 6
    assert [point.step for point in now.metrics] == list(range(1, 42))
    assert now.metrics[:40] == before.metrics
    assert now == connect_backend("openai", settings).status(job_id)


@pytest.mark.parametrize("encoded", [False, True])
def test_figures_of_the_result_file(
    encoded: bool,
    server: FineTuningServer,
    settings: JobSettings,
    tuning_request: Request,
    tmp_path: Path,
    submit: Submit,
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    table = b"step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,2.5,0.25,,\n2,1.5,0.5,1.75,0.75\n"
    server.contents["file-result"] = base64.b64encode(table) if encoded else table
    server.jobs[job_id].update(
        status="succeeded", result_files=["file-result"], fine_tuned_model="ft:x", trained_tokens=80, finished_at=1
    )
    status = backend.status(job_id)
    assert [(point.step, point.metrics) for point in status.metrics] == [
        (1, {"loss": 2.5, "token_accuracy": 0.25}),
        (2, {"loss": 1.5, "token_accuracy": 0.5, "validation_loss": 1.75, "validation_token_accuracy": 0.75}),
    ]
    assert (status.trained_tokens, status.model, status.progress) == (80, "ft:x", 1.0)
    server.checkpoints[job_id] = [{"id": "ftckpt-1", "step_number": 1, "fine_tuned_model_checkpoint": "ft:x:1"}]
    written = backend.fetch(job_id, tmp_path / "results")
    assert [path.name for path in written] == ["metrics.csv", "checkpoints.json"]
    assert written[0].read_bytes() == table
    assert json.loads(written[1].read_text())[0]["fine_tuned_model_checkpoint"] == "ft:x:1"
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["checkpoints.json", "metrics.csv"]
    del server.contents["file-result"], server.checkpoints[job_id]
    assert backend.fetch(job_id, tmp_path / "later") == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("validating_files", "queued"),
        ("queued", "queued"),
        ("paused", "queued"),
        ("pending", "queued"),
        ("running", "running"),
        ("a state of next year", "running"),
        ("cancelled", "cancelled"),
    ],
)
def test_states(
    theirs: str, ours: str, server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    server.jobs[job_id]["status"] = theirs
    status = backend.status(job_id)
    assert (status.state, status.provider_state, status.model) == (ours, theirs, None)


def test_a_failed_job_says_why(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    reason = {"code": "invalid_training_file", "message": "The file failed\nmoderation.", "param": "training_file"}
    server.jobs[job_id].update(status="failed", error=reason)
    status = backend.follow(job_id, lambda _: None, settings.waiting)
    assert (status.state, status.reason) == ("failed", "The file failed moderation. (training_file)")


def test_a_job_that_nobody_knows(server: FineTuningServer, settings: JobSettings) -> None:
    assert connect_backend("openai", settings).status("ftjob-none").state == "unknown"
