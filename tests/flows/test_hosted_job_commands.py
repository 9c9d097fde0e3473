"""`llmops show job` and `cancel job` of each hosted back end, connected with the settings that the job began with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from flows.job_commands import cancel, show_job
from llmops.errors import InputError
from llmops.finetuning.backends import JobSettings, TunedModel, connect_backend
from llmops.finetuning.backends.settings import BedrockSettings
from llmops.finetuning.jobs import JobLedger, JobRecord, job_key, job_ledger
from llmops.settings import settings
from tests.emulators.bedrock_control_plane import ControlPlane
from tests.emulators.openai_fine_tuning_server import FineTuningServer, serving
from tests.emulators.vertex_cloud import Cloud
from tests.llmops.finetuning.backends.aws_services import (
    NOVA,
    ROLE,
    TOKEN,
    moto_url,
    nowhere,
    plane,
    plane_and_url,
    read_once,
    request,
    s3,
)
from tests.llmops.finetuning.backends.test_vertex_jobs import SETTINGS as VERTEX
from tests.llmops.finetuning.backends.test_vertex_jobs import account, cloud
from tests.llmops.finetuning.backends.test_vertex_jobs import request as vertex_request
from tests.llmops.finetuning.backends.test_vertex_jobs import submit as submit_to_vertex

__all__ = ["account", "cloud", "moto_url", "plane", "plane_and_url", "read_once", "s3"]
pytestmark = pytest.mark.service


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobLedger]:
    """The ledger of an empty home."""
    monkeypatch.setenv("LLMOPS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield job_ledger()
    settings.cache_clear()


def begin(ledger: JobLedger, backend: str, job: JobSettings, job_id: str, **changes: Any) -> JobRecord:
    """A job that was submitted with these settings."""
    identity = {
        "backend": backend,
        "endpoint": connect_backend(backend, job).endpoint,
        "base_model": "base",
        "name": "support",
        "dataset_digest": "d" * 64,
        "hyperparameters": {},
    }
    record = ledger.begin(job_key(**identity), dataset="support@3", settings=job, **identity)
    return ledger.update(record.id, **{"job_id": job_id, "state": "running", **changes})


@pytest.mark.parametrize("backend", ["bedrock", "anthropic"])
def test_bedrock(backend: str, plane: ControlPlane, ledger: JobLedger, tmp_path: Path) -> None:
    """Its endpoint names the account of the role, which only the job's settings know."""
    job = JobSettings(bedrock=BedrockSettings(s3_uri="s3://bucket/some/prefix", role_arn=ROLE))
    connect_backend("bedrock", job).submit(request(tmp_path, NOVA), {}, nowhere)
    record = begin(ledger, backend, job, TOKEN)
    shown = show_job(record.id)
    assert (shown["state"], shown["provider_state"], shown["note"]) == ("running", "InProgress", None)
    cancelled, said = cancel(record.id)
    assert plane.seen["StopModelCustomizationJob"] == 1, said
    assert cancelled.provider_state.startswith("Stop") and record.id in said


def test_a_job_that_bedrock_does_not_know_is_given_up(plane: ControlPlane, ledger: JobLedger) -> None:
    job = JobSettings(bedrock=BedrockSettings(s3_uri="s3://bucket/some/prefix", role_arn=ROLE))
    record = begin(ledger, "bedrock", job, TOKEN, state="unknown")
    cancelled, said = cancel(record.id)
    assert cancelled.state == "cancelled" and said.startswith(f"Gave job {record.id} up")


def test_vertex(cloud: Cloud, ledger: JobLedger, tmp_path: Path) -> None:
    cloud.plan = {"states": ["JOB_STATE_RUNNING"]}
    job_id = submit_to_vertex(vertex_request(tmp_path))
    record = begin(ledger, "vertex", VERTEX, job_id)
    assert show_job(record.id)["note"] is None
    cancel(record.id)
    assert cloud.jobs[job_id]["state"].startswith("JOB_STATE_CANCEL")


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[FineTuningServer]:
    """A resource with a running job and a deployment."""
    for name in ("AZURE_OPENAI_AD_TOKEN", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        for name, value in {
            "AZURE_OPENAI_ENDPOINT": server.url,
            "AZURE_OPENAI_API_KEY": "a-key",
            "OPENAI_API_VERSION": "2025-03-01-preview",
            "AZURE_MANAGEMENT_ENDPOINT": server.url,
            "AZURE_MANAGEMENT_TOKEN": "a-token",
        }.items():
            monkeypatch.setenv(name, value)
        server.jobs["ftjob-0"] = {
            "id": "ftjob-0", "object": "fine_tuning.job", "created_at": 1_790_000_000, "status": "running",
            "result_files": [], "fine_tuned_model": None, "organization_id": "org", "hyperparameters": {},
            "model": "base", "training_file": "file-0", "seed": 0,
        }  # fmt: skip
        server.deployments["support-1"] = {"name": "support-1", "properties": {"model": {"name": "m"}}, "states": []}
        yield server


AZURE = JobSettings.model_validate(
    {"azure": {"subscription": "subscription-1", "resource_group": "group-1", "account": "some-resource"}}
)


def test_azure(azure: FineTuningServer, ledger: JobLedger) -> None:
    record = begin(ledger, "azure", AZURE, "ftjob-0")
    assert show_job(record.id)["note"] is None
    assert cancel(record.id)[0].state == azure.jobs["ftjob-0"]["status"] == "cancelled"


def test_what_an_ended_job_left_deployed_is_taken_down(azure: FineTuningServer, ledger: JobLedger) -> None:
    """The subscription of the resource is in the job's settings alone."""
    model = TunedModel(
        backend="azure", model="m", base_model="base", job_id="ftjob-0", asked_as="azure/support-1",
        deployment="support-1",
    )  # fmt: skip
    record = begin(ledger, "azure", AZURE, "ftjob-0", state="succeeded", model=model)
    locks = settings().home / "locks"
    locks.mkdir()
    # Held by a run that may be about to make the model champion.
    with FileLock(locks / "support.lock"), pytest.raises(InputError, match="another run is working on 'support'"):
        cancel(record.id)
    assert azure.deployments.keys() == {"support-1"}
    cancelled, said = cancel(record.id)
    assert azure.deployments == {}
    assert "support-1" in said and "has succeeded" in said
    assert cancelled.model is not None and cancelled.model.deployment is None
    assert "support-1" not in cancel(record.id)[1]
