"""Tuning of Gemini through Google's SDK and over HTTP, against tests/emulators/vertex_tuning_server.py."""

import asyncio
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.oauth2.service_account import Credentials

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import (
    BackendError,
    JobSettings,
    JobStatus,
    TrainingFiles,
    TunedModel,
    TuningRequest,
    Waiting,
    cloud_storage,
    connect_backend,
)
from llmops.finetuning.backends.settings import VertexSettings
from llmops.llm.completions import Parameters
from llmops.llm.failures import ModelError
from llmops.llm.providers import connect
from tests.emulators.vertex_cloud import Cloud
from tests.emulators.vertex_tuning_server import serving, write_service_account

pytestmark = pytest.mark.service

PLACE = "projects/some-project/locations/europe-west4"
SETTINGS = JobSettings(vertex=VertexSettings(gcs_uri="gs://bucket/some/prefix"))
QUICK = Waiting(first_poll_s=0.001, longest_poll_s=0.002)
TOKEN = "llmops-0123456789abcdef-1"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("google") / "account.json"


@pytest.fixture
def cloud(tmp_path: Path, account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_API_VERSION", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cloud_storage, "FIRST_DELAY_S", 0.001)
    # All is plain HTTP here, and reading the certificates is most of what connecting takes.
    certificates = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: certificates)
    # It asks Google, in the background, in which regions the account may be used.
    monkeypatch.setattr(Credentials, "_is_regional_access_boundary_lookup_required", lambda self: False)
    monkeypatch.setenv("LLMOPS_HOME", str(tmp_path / "home"))
    with serving() as (address, served):
        if account.exists():
            account.write_text(json.dumps({**json.loads(account.read_text()), "token_uri": f"{address}/token"}))
        else:
            write_service_account(account, address, "googleapis.com")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "some-project")
        monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
        monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", address)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        yield served


def example(question: str, answer: str) -> str:
    turns = [{"role": "user", "parts": [{"text": question}]}, {"role": "model", "parts": [{"text": answer}]}]
    return json.dumps({"contents": turns}) + "\n"


def request(tmp_path: Path, token: str = TOKEN, validation: bool = True, **training: Any) -> TuningRequest:
    for split in ("training", "validation"):
        lines = "".join(example(f"{split} question {number}", "answer") for number in range(20))
        (tmp_path / f"{split}.jsonl").write_text(lines)
    files = TrainingFiles(
        training=tmp_path / "training.jsonl",
        validation=tmp_path / "validation.jsonl" if validation else None,
        examples=20,
        validation_examples=20 if validation else 0,
        tokens=500,
        tokens_estimated=True,
    )
    return TuningRequest("gemini-2.5-flash", "support", token, TrainingConfig(**training), files)


def submit(asked: TuningRequest, noted: dict[str, str] | None = None) -> str:
    noted = {} if noted is None else noted
    return connect_backend("vertex", SETTINGS).submit(asked, dict(noted), noted.__setitem__)


def test_from_the_files_to_a_model_that_answers(cloud: Cloud, tmp_path: Path) -> None:
    backend = connect_backend("vertex", SETTINGS)
    noted: dict[str, str] = {}
    asked = request(tmp_path, epochs=2, rank=8, learning_rate_multiplier=0.5, method="lora")
    backend.check(asked.base_model, asked.training)
    job = backend.submit(asked, {}, noted.__setitem__)

    folder = f"gs://bucket/some/prefix/{TOKEN}"
    files = {f"{split}_file": f"{folder}/{split}.jsonl" for split in ("training", "validation")}
    assert noted == {**files, "job": f"{PLACE}/tuningJobs/1"} and job == noted["job"]
    assert cloud.objects[files["training_file"]] == asked.files.training.read_bytes()
    (sent,) = cloud.bodies
    assert sent["body"] == {
        "baseModel": "gemini-2.5-flash",
        "supervisedTuningSpec": {
            "trainingDatasetUri": files["training_file"],
            "validationDatasetUri": files["validation_file"],
            "hyperParameters": {"epochCount": 2, "learningRateMultiplier": 0.5, "adapterSize": "ADAPTER_SIZE_EIGHT"},
        },
        "tunedModelDisplayName": TOKEN,
        "description": "support: 20 examples",
        "labels": {"llmops_token": TOKEN},
    }

    told: list[JobStatus] = []
    last = backend.follow(job, told.append, QUICK)
    assert [status.state for status in told] == ["queued", "running", "succeeded"]
    assert [status.detail for status in told] == ["", "tuning", ""]
    assert (last.model, last.provider_state) == (f"{PLACE}/models/m1@1", "JOB_STATE_SUCCEEDED")
    assert [(point.step, point.model) for point in last.checkpoints] == [
        (10, f"{PLACE}/endpoints/101"),
        (20, f"{PLACE}/endpoints/102"),
    ]
    # The server counts four characters a token; two epochs were asked for.
    assert last.trained_tokens == 2 * (asked.files.training.stat().st_size // 4)
    assert last.finished_at is not None and last.created_at is not None and last.finished_at > last.created_at

    model = TunedModel(backend="vertex", model=str(last.model), base_model=asked.base_model, job_id=job)
    deployed = backend.deploy(model, "support")
    assert (deployed.asked_as, deployed.region) == (f"vertex/{PLACE}/endpoints/102", "europe-west4")
    assert deployed.endpoint == backend.endpoint
    assert backend.deploy(deployed, "support") == deployed == backend.undeploy(deployed)
    cloud.answers = {"Where is my order?": "On its way."}
    assert answer_of(str(deployed.asked_as)) == "On its way."

    backend.delete(deployed)
    assert not cloud.endpoints and not cloud.models
    backend.delete(deployed)
    with pytest.raises(ModelError, match="404"):
        answer_of(str(deployed.asked_as))


def answer_of(name: str) -> str:
    async def ask() -> str:
        model = connect(name)
        try:
            question = [{"role": "user", "content": "Where is my order?"}]
            return (await model.complete(question, Parameters(), 20.0)).text
        finally:
            await model.close()

    return asyncio.run(ask())


def test_a_tuned_model_is_asked_where_it_is(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "projects/other/locations/us-central1/endpoints/5"
    cloud.endpoints[endpoint] = ["77"]
    assert answer_of(f"vertex/{endpoint}") == "You said: Where is my order?"
    monkeypatch.delenv("GOOGLE_VERTEX_BASE_URL")
    model: Any = connect(f"vertex/{endpoint}")
    assert model._client._api_client._http_options.base_url == "https://us-central1-aiplatform.googleapis.com/"


def test_only_what_was_set_is_sent(cloud: Cloud, tmp_path: Path) -> None:
    submit(request(tmp_path, validation=False))
    (sent,) = cloud.bodies
    assert sent["body"]["supervisedTuningSpec"] == {
        "trainingDatasetUri": f"gs://bucket/some/prefix/{TOKEN}/training.jsonl"
    }
    assert cloud.seen["upload"] == 1


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"method": "qlora"}, "method qlora is not offered"),
        ({"method": "full"}, "use lora"),
        ({"learning_rate": 1e-4}, "cannot set learning_rate of gemini-x: leave it out; it takes epochs, learning_rate"),
        ({"batch_size": 8, "alpha": 4}, "cannot set alpha, batch_size"),
        ({"epochs": 1.5}, "counts whole epochs, not 1.5"),
        ({"rank": 3}, "set rank to one of 1, 2, 4, 8, 16, 32"),
    ],
)
def test_what_vertex_cannot_do_is_said_before_anything_is_sent(
    training: dict[str, Any], words: str, cloud: Cloud
) -> None:
    with pytest.raises(InputError, match=words):
        connect_backend("vertex", SETTINGS).check("gemini-x", TrainingConfig(**training))
    assert not cloud.seen


def test_what_is_missing_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set job\.vertex\.gcs_uri to gs://"):
        connect_backend("vertex").check("gemini-x", TrainingConfig())
    with pytest.raises(InputError, match="'llama-3' here: name a Gemini model"):
        connect_backend("vertex", SETTINGS).check("llama-3", TrainingConfig())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="finds no Google credentials: run gcloud auth"):
        connect_backend("vertex")
    monkeypatch.delenv("GOOGLE_CLOUD_LOCATION")
    with pytest.raises(InputError, match="GOOGLE_CLOUD_LOCATION is not set"):
        connect_backend("vertex")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("dies_after", ["look", "upload", "create", "training_file", "validation_file", "job"])
def test_a_crash_at_any_step_leaves_one_job(
    dies_after: str, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path)
    noted: dict[str, str] = {}

    def note(key: str, value: str) -> None:
        if key == dies_after:
            raise Killed  # before it is stored
        noted[key] = value

    backend: Any = connect_backend("vertex", SETTINGS)
    with monkeypatch.context() as patched, pytest.raises(Killed):

        def then_die(real: Any) -> Any:
            def call(*positional: Any, **named: Any) -> None:
                real(*positional, **named)
                raise Killed

            return call

        if dies_after == "look":
            patched.setattr(backend._session, "get", then_die(backend._session.get))
        elif dies_after == "upload":
            patched.setattr(cloud_storage, "upload", then_die(cloud_storage.upload))
        elif dies_after == "create":
            patched.setattr(backend._client.tunings, "tune", then_die(backend._client.tunings.tune))
        backend.submit(asked, {}, note)

    job = submit(asked, noted)
    assert job == submit(asked, noted) == submit(asked) == f"{PLACE}/tuningJobs/1"
    assert (len(cloud.jobs), cloud.seen["create"]) == (1, 1)
    # A file that is there with the same content is not sent again.
    assert cloud.seen["upload"] == 2
    assert noted["job"] == job


def test_another_attempt_is_another_job(cloud: Cloud, tmp_path: Path) -> None:
    for number in (1, 2):
        submit(request(tmp_path, token=f"llmops-0123456789abcdef-{number}"))
    assert len(cloud.jobs) == 2


def test_a_job_is_found_behind_many_others(cloud: Cloud, tmp_path: Path) -> None:
    job = submit(request(tmp_path))
    for number in range(250):
        name = f"{PLACE}/tuningJobs/x{number}"
        spec = {"trainingDatasetUri": next(iter(cloud.objects))}
        cloud.jobs[name] = {"name": name, "state": "JOB_STATE_RUNNING", "supervisedTuningSpec": spec}
    assert submit(request(tmp_path)) == job
    assert cloud.seen["create"] == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"reset": True}, {"text": "{broken"}])
def test_a_creation_whose_answer_is_lost_is_not_repeated(fault: dict[str, Any], cloud: Cloud, tmp_path: Path) -> None:
    cloud.faults = [{"on": "create", "done": True, **fault}]
    assert submit(request(tmp_path)) == f"{PLACE}/tuningJobs/1"
    assert (cloud.seen["create"], len(cloud.jobs)) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"on": "create", "status": 503, "message": "busy"}, "unreachable", "the tuning job was not created: 503 busy"),
        ({"on": "create", "status": 429, "message": "Quota"}, "rate limit", "429 Quota .*; wait, or ask"),
        ({"on": "create", "status": 400, "message": "bad\nbase model."}, "refused", r"400 bad base model \(vertex, "),
        ({"on": "create", "status": 403, "message": "no role"}, "credentials", "check the account's roles"),
        ({"on": "create", "reset": True}, "unreachable", "no answer"),
        (
            {"on": "upload", "status": 403, "message": "no access"},
            "credentials",
            "training.jsonl was not uploaded to gs",
        ),
        ({"on": "look", "status": 401, "message": "expired"}, "credentials", "renew the login"),
        ({"on": "list", "status": 401, "message": "expired"}, "credentials", "jobs cannot be listed: 401 expired"),
        (
            {"on": "token", "status": 400, "message": "invalid_grant"},
            "credentials",
            "invalid_grant.*; renew the login",
        ),
    ],
)
def test_failures_are_said_in_one_line_without_a_secret(
    fault: dict[str, Any], kind: str, words: str, cloud: Cloud, account: Path, tmp_path: Path
) -> None:
    cloud.faults = [{**fault, "times": 99}]
    with pytest.raises(BackendError, match=words) as failed:
        submit(request(tmp_path))
    said = str(failed.value)
    assert failed.value.kind == kind and "\n" not in said
    assert "europe-west4" in said or "127.0.0.1" in said
    assert "some-access-token" not in said and json.loads(account.read_text())["private_key"][40:80] not in said
    # What could not be created once is not asked for again and again.
    assert cloud.seen["create"] <= 1 and not cloud.jobs
    cloud.faults = []
    submit(request(tmp_path))
    assert len(cloud.jobs) == 1


@pytest.mark.parametrize("on", ["list", "look", "upload", "get"])
@pytest.mark.parametrize("status", [429, 503])
def test_requests_that_may_be_repeated_are_repeated_by_the_sdk(
    on: str, status: int, cloud: Cloud, tmp_path: Path
) -> None:
    cloud.faults = [{"on": on, "status": status, "times": 2}]
    job = submit(request(tmp_path))
    assert connect_backend("vertex").status(job).state == "queued"
    assert len(cloud.jobs) == 1


def test_a_missing_bucket_is_named(cloud: Cloud, tmp_path: Path) -> None:
    backend = connect_backend("vertex", JobSettings(vertex=VertexSettings(gcs_uri="gs://missing/x")))
    with pytest.raises(BackendError, match=r"gs://missing/x/.*: 404 The specified bucket does not exist") as failed:
        backend.submit(request(tmp_path), {}, lambda key, value: None)
    assert failed.value.kind == "missing" and not cloud.jobs


def test_a_damaged_upload_is_noticed(cloud: Cloud, tmp_path: Path) -> None:
    told = json.dumps({"size": "1", "md5Hash": "AAAA"})
    cloud.faults = [{"on": "upload", "text": told, "times": 1}]
    with pytest.raises(BackendError, match="its checksum differs"):
        submit(request(tmp_path))
    assert not cloud.jobs


def test_data_that_vertex_rejects_is_a_failed_job_with_its_reason(cloud: Cloud, tmp_path: Path) -> None:
    asked = request(tmp_path)
    asked.files.training.write_text(example("question", "answer") + '{"contents": []}\n')
    last = connect_backend("vertex").follow(submit(asked), lambda status: None, QUICK)
    assert (last.state, last.model) == ("failed", None)
    assert last.reason == "Invalid example at line 2 of the training dataset."


def test_a_job_that_fails_says_why(cloud: Cloud, tmp_path: Path) -> None:
    cloud.plan = {"states": ["JOB_STATE_RUNNING", "JOB_STATE_FAILED"], "reason": "Out of\ncapacity."}
    backend = connect_backend("vertex", SETTINGS)
    job = submit(request(tmp_path))
    assert backend.follow(job, lambda status: None, QUICK).reason == "Out of capacity."
    model = TunedModel(backend="vertex", model="", base_model="gemini-x", job_id=job)
    with pytest.raises(BackendError, match="has no endpoint that answers"):
        backend.deploy(model, "support")


def test_a_job_is_cancelled(cloud: Cloud, tmp_path: Path) -> None:
    cloud.plan = {"states": ["JOB_STATE_RUNNING"]}
    backend = connect_backend("vertex", SETTINGS)
    job = submit(request(tmp_path))
    backend.cancel(job)
    assert (backend.status(job).state, backend.status(job).state) == ("running", "cancelled")
    backend.cancel(job)
    backend.cancel(f"{PLACE}/tuningJobs/404")
    assert backend.status(f"{PLACE}/tuningJobs/404").state == "unknown"


def test_a_cancellation_that_is_refused_is_said(cloud: Cloud, tmp_path: Path) -> None:
    cloud.plan = {"states": ["JOB_STATE_RUNNING"]}
    job = submit(request(tmp_path))
    cloud.faults = [{"on": "cancel", "status": 400, "message": "not now"}]
    with pytest.raises(BackendError, match="1 was not cancelled: 400 not now"):
        connect_backend("vertex").cancel(job)


def test_a_job_that_never_ends_is_cancelled_at_the_deadline(cloud: Cloud, tmp_path: Path) -> None:
    cloud.plan = {"states": ["JOB_STATE_RUNNING"]}
    job = submit(request(tmp_path))
    waiting = Waiting(first_poll_s=0.001, longest_poll_s=0.002, deadline_hours=1e-5)
    with pytest.raises(BackendError, match="had not ended after 1e-05 hours"):
        connect_backend("vertex").follow(job, lambda status: None, waiting)
    assert cloud.jobs[job]["state"] == "JOB_STATE_CANCELLED"


def test_what_a_job_tells_is_kept_without_samples_of_the_data(cloud: Cloud, tmp_path: Path) -> None:
    cloud.plan = {"states": ["JOB_STATE_SUCCEEDED"]}
    (file,) = connect_backend("vertex").fetch(submit(request(tmp_path)), tmp_path / "result")
    told = json.loads(file.read_text())
    assert told["tuning_data_stats"]["supervised_tuning_data_stats"]["tuning_dataset_example_count"] == 20
    assert told["tuned_model"]["endpoint"] == f"{PLACE}/endpoints/102"
    assert "training question" not in file.read_text()


@pytest.mark.parametrize(
    ("state", "ours"),
    [
        ("JOB_STATE_QUEUED", "queued"),
        ("JOB_STATE_PAUSED", "running"),
        ("JOB_STATE_CANCELLING", "running"),
        ("JOB_STATE_EXPIRED", "failed"),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", "succeeded"),
        ("JOB_STATE_OF_TOMORROW", "unknown"),
    ],
)
def test_states(state: str, ours: str, cloud: Cloud, tmp_path: Path) -> None:
    cloud.plan = {"states": [state]}
    status = connect_backend("vertex").status(submit(request(tmp_path)))
    assert (status.state, status.provider_state) == (ours, state)


def test_the_estimate_asks_nobody(cloud: Cloud, tmp_path: Path) -> None:
    assert connect_backend("vertex", SETTINGS).estimate(request(tmp_path, epochs=4)).tokens == 2000
    assert not cloud.seen


def test_the_server_runs_as_a_process_too(tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    key = tmp_path / "account.json"
    options = ["--port", address.rpartition(":")[2], "--service-account", str(key)]
    process = subprocess.Popen([sys.executable, "-m", "tests.emulators.vertex_tuning_server", *options])
    try:
        until = time.monotonic() + 30
        while not key.exists() and time.monotonic() < until:
            time.sleep(0.02)
        for name in ("GOOGLE_VERTEX_BASE_URL", "STORAGE_EMULATOR_HOST"):
            monkeypatch.setenv(name, address)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        job = submit(request(tmp_path))
        assert [told["name"] for told in httpx.get(f"{address}/seen").json()["jobs"]] == [job]
        assert not cloud.jobs
    finally:
        process.kill()
        process.wait()
