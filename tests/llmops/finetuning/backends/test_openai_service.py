"""Refusals and outages as one line that says what to do."""

from collections.abc import Callable

import pytest

from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import (
    BackendError,
    JobSettings,
    TuningRequest,
    connect_backend,
    openai_jobs,
)
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer

KEY = "sk-proj-very-secret-0123456789"
Request = Callable[..., TuningRequest]
Submit = Callable[..., str]


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            401,
            {"message": f"Incorrect API key provided: {KEY}."},
            "credentials",
            "renew OPENAI_API_KEY and run the same",
        ),
        (403, {"message": "You lack api.fine_tuning.jobs.read"}, "credentials", "You lack api.fine_tuning.jobs.read"),
        (429, {"message": "Slow", "type": "requests"}, "rate limit", "takes no more requests now"),
        (429, {"message": "Pay", "code": "insufficient_quota"}, "refused", "no credit left"),
        (400, {"message": f"bad\nthing {KEY}"}, "refused", "400: bad thing …"),
        (500, {"message": "oops"}, "unreachable", "500: oops"),
    ],
)
def test_refusals(
    status: int,
    body: dict[str, str],
    kind: str,
    words: str,
    server: FineTuningServer,
    settings: JobSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_jobs, "RETRIES", 0)
    server.faults.append(Fault("GET", "/jobs", status, body={"error": body}))
    with pytest.raises(BackendError) as raised:
        connect_backend("openai", settings).check("some-base-model", TrainingConfig())
    assert raised.value.kind == kind
    message = str(raised.value)
    assert words in message
    assert server.url in message
    assert "\n" not in message
    assert KEY not in message


@pytest.mark.parametrize("page", [b"<html>Please log in</html>", b'{"data": '])
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_that_is_no_answer(page: bytes, kind: str, server: FineTuningServer, settings: JobSettings) -> None:
    server.faults.append(Fault("GET", "/jobs", 200, page, {"Content-Type": kind}))
    with pytest.raises(BackendError, match="sent a broken answer to listing fine-tuning jobs"):
        connect_backend("openai", settings).check("some-base-model", TrainingConfig())


def test_nobody_listens(no_openai: pytest.MonkeyPatch, settings: JobSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_jobs, "RETRIES", 0)
    no_openai.setenv("OPENAI_BASE_URL", "http://ann:secret@127.0.0.1:9/v1")
    no_openai.setenv("OPENAI_API_KEY", KEY)
    backend = connect_backend("openai", settings)
    assert backend.endpoint == "http://127.0.0.1:9/v1"
    with pytest.raises(BackendError, match="does not answer") as raised:
        backend.status("ftjob-1")
    assert raised.value.kind == "unreachable"
    assert "secret" not in str(raised.value)


def test_retry_after_is_heeded(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    server.jobs[job_id]["status"] = "succeeded"
    server.faults.append(Fault("GET", job_id, 429, headers={"Retry-After": "0.02"}, times=2))
    assert backend.status(job_id).state == "succeeded"
