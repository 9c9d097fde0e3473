"""OpenAI's fine-tuning through its SDK: the whole life of a job at an emulator, failures at a server of ours."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import (
    BackendError,
    JobSettings,
    JobStatus,
    TunedModel,
    TuningRequest,
    Waiting,
    connect_backend,
    openai_jobs,
)
from llmops.llm.completions import Completion, Parameters
from llmops.llm.providers import connect
from tests.emulators.aimock import Emulator
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer

TOKEN = "llmops-0123456789abcdef-1"
Request = Callable[..., TuningRequest]
Submit = Callable[..., str]


def asked(name: str, question: str) -> Completion:
    async def ask() -> Completion:
        model = connect(name)
        try:
            return await model.complete([{"role": "user", "content": question}], Parameters(), 30.0)
        finally:
            await model.close()

    return asyncio.run(ask())


def test_a_job_from_upload_to_answer(emulator: Emulator, settings: JobSettings, tuning_request: Request) -> None:
    emulator.answer("Refund?", {"content": "Within 30 days."})
    backend = connect_backend("openai", settings)
    request = tuning_request(epochs=2, batch_size=4, learning_rate_multiplier=0.5, seed=7)
    backend.check(request.base_model, request.training)
    notes: dict[str, str] = {}
    job_id = backend.submit(request, notes, notes.__setitem__)
    told: list[JobStatus] = []
    last = backend.follow(job_id, told.append, settings.waiting)

    assert [status.state for status in told] == ["queued", "running", "succeeded"]
    assert list(notes) == ["training_file", "validation_file", "job"]
    assert last == told[-1]
    assert last.model is not None
    assert last.model.startswith("ft:some-base-model:aimock:support-answers:")
    assert last.trained_tokens == 7  # the emulator's answer for this seed
    assert [event.message for event in last.events][:2] == [
        "Job created, validating training file",
        "Training file validated, job queued",
    ]
    created = [one for one in emulator.received() if one["method"] == "POST" and one["path"].endswith("/jobs")]
    assert created[0]["body"] == {
        "model": "some-base-model",
        "training_file": notes["training_file"],
        "validation_file": notes["validation_file"],
        "suffix": "support-answers",
        "seed": 7,
        "metadata": {"llmops_job": TOKEN},
        "method": {
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.5}},
        },
    }

    tuned = TunedModel(backend="openai", model=last.model, base_model=request.base_model, job_id=job_id)
    deployed = backend.deploy(tuned, "support-answers")
    assert (deployed.asked_as, deployed.endpoint) == (f"openai/{last.model}", f"{emulator.url}/v1")
    assert asked(deployed.asked_as, "Refund?").text == "Within 30 days."


def test_a_cancelled_job_stays_so(
    emulator: Emulator, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    backend.cancel(job_id)
    backend.cancel(job_id)
    assert backend.follow(job_id, lambda _: None, settings.waiting).state == "cancelled"
    backend.cancel("ftjob-nobody-knows")


def test_an_outage_is_waited_out(
    server: FineTuningServer,
    settings: JobSettings,
    tuning_request: Request,
    monkeypatch: pytest.MonkeyPatch,
    submit: Submit,
) -> None:
    monkeypatch.setattr(openai_jobs, "RETRIES", 0)
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    server.jobs[job_id]["status"] = "succeeded"
    server.faults.append(Fault("GET", job_id, 502, times=3))
    assert backend.follow(job_id, lambda _: None, settings.waiting).state == "succeeded"


def test_a_key_that_expires_while_waiting(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    server.faults.append(Fault("GET", job_id, 401, body={"error": {"message": "expired"}}, times=9))
    with pytest.raises(BackendError, match="renew OPENAI_API_KEY and run the same command again") as raised:
        backend.follow(job_id, lambda _: None, settings.waiting)
    assert raised.value.kind == "credentials"
    assert server.jobs[job_id]["status"] == "validating_files"


def test_a_job_over_its_deadline_is_cancelled(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    with pytest.raises(BackendError, match="was cancelled"):
        backend.follow(job_id, lambda _: None, Waiting(first_poll_s=0.01, deadline_hours=0.05 / 3600))
    assert server.jobs[job_id]["status"] == "cancelled"


def test_a_refused_cancellation(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    job_id = submit(backend, tuning_request())
    server.jobs[job_id]["status"] = "succeeded"
    backend.cancel(job_id)
    server.jobs[job_id]["status"] = "running"
    server.faults.append(Fault("POST", "/cancel", 400, body={"error": {"message": "not now"}}))
    with pytest.raises(BackendError, match="not now"):
        backend.cancel(job_id)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"learning_rate": 1e-4, "rank": 8}, "learning_rate, rank.*scales a learning rate of its own"),
        ({"method": "lora"}, "training.method: openai does not let one set method, only epochs, batch_size"),
        ({"epochs": 1.5}, "whole epochs, not 1.5"),
        ({"seed": 2**31}, "seeds up to 2147483647"),
    ],
)
def test_settings_that_are_not_offered(
    training: dict[str, Any], words: str, server: FineTuningServer, settings: JobSettings
) -> None:
    backend = connect_backend("openai", settings)
    with pytest.raises(InputError, match=words):
        backend.check("some-base-model", TrainingConfig(**training))
    assert server.seen == []


def test_no_key(no_openai: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="set OPENAI_API_KEY"):
        connect_backend("openai")


def test_a_compatible_server_without_a_key(server: FineTuningServer, no_openai: pytest.MonkeyPatch) -> None:
    no_openai.delenv("OPENAI_API_KEY")
    connect_backend("openai").check("some-base-model", TrainingConfig())
    assert server.count("GET", "/jobs") == 1


def test_delete_is_done_once(server: FineTuningServer, settings: JobSettings) -> None:
    server.models.add("ft:x:y")
    backend = connect_backend("openai", settings)
    tuned = TunedModel(backend="openai", model="ft:x:y", base_model="x", job_id="ftjob-1")
    assert backend.undeploy(tuned) == tuned
    backend.delete(tuned)
    backend.delete(tuned)
    assert server.models == set()


def test_estimate_asks_nobody(server: FineTuningServer, settings: JobSettings, tuning_request: Request) -> None:
    estimate = connect_backend("openai", settings).estimate(tuning_request(epochs=3))
    assert estimate.tokens == 120
    assert server.seen == []
