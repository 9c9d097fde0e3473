"""Azure OpenAI's fine-tuning through its SDK."""

import asyncio
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import (
    BackendError,
    JobSettings,
    TuningRequest,
    connect_backend,
)
from llmops.llm.completions import Parameters
from llmops.llm.providers import connect
from tests.emulators.aimock import Emulator
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer
from tests.llmops.finetuning.backends.test_azure_deployments import ACCOUNT, TUNED

KEY = "sk-proj-very-secret-0123456789"
Request = Callable[..., TuningRequest]
Submit = Callable[..., str]


def test_a_job_at_the_emulator(
    emulator: Emulator, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("azure", settings)
    request = tuning_request(name="a-registered-model-with-a-long-name", epochs=2)
    last = backend.follow(submit(backend, request), lambda _: None, settings.waiting)
    assert last.state == "succeeded"
    assert last.model is not None
    created = next(one for one in emulator.received() if one["method"] == "POST" and "/jobs" in one["path"])
    assert created["path"] == "/openai/v1/fine_tuning/jobs?api-version=v1"
    assert created["headers"]["api-key"] not in created["path"]
    assert created["body"]["suffix"] == "a-registered-model"
    assert "metadata" not in created["body"]


def test_a_job_with_a_dated_version(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    # Azure's list of files comes whole and says nothing of more.
    server.pages = False
    backend = connect_backend("azure", settings)
    job_id = submit(backend, tuning_request())
    assert {path for _, path in server.seen} == {"/openai/files", "/openai/fine_tuning/jobs"} | {
        path for _, path in server.seen if path.startswith("/openai/files/")
    }
    assert {query["api-version"] for query in server.queries} == {"2025-03-01-preview"}
    assert {headers["api-key"] for headers in server.headers} == {KEY}
    assert submit(backend, tuning_request()) == job_id
    server.jobs[job_id].update(status="pending", object="fine_tuning.job")
    assert backend.status(job_id).state == "queued"
    assert [event.message for event in backend.status(job_id).events] == ["Created fine-tuning job"]
    assert backend.endpoint == server.url


def test_figures_as_azure_names_them(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("azure", settings)
    job_id = submit(backend, tuning_request())
    # The columns of learn.microsoft.com/azure/ai-foundry/openai/how-to/fine-tuning; -1 where nothing was measured.
    server.contents["file-result"] = (
        b"step,train_loss,train_mean_token_accuracy,valid_loss,validation_mean_token_accuracy,"
        b"full_valid_loss,full_valid_mean_token_accuracy\n"
        b"1,2.5,0.25,1.75,0.5,-1.0,-1.0\n2,1.5,0.5,,,1.25,0.75\n"
    )
    server.jobs[job_id].update(status="succeeded", result_files=["file-result"], fine_tuned_model="base.ft-1")
    assert [point.metrics for point in backend.status(job_id).metrics] == [
        {"loss": 2.5, "token_accuracy": 0.25, "validation_loss": 1.75, "validation_token_accuracy": 0.5},
        {
            "loss": 1.5,
            "token_accuracy": 0.5,
            "full_validation_loss": 1.25,
            "full_validation_token_accuracy": 0.75,
        },
    ]


def test_deleting_takes_the_deployment_down_first(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("azure", settings)
    job_id = submit(backend, tuning_request())
    served = backend.deploy(TUNED.model_copy(update={"job_id": job_id}), "name")
    backend.delete(served)
    assert (server.deployments, server.jobs) == ({}, {})
    backend.delete(served)


def test_a_deployed_model_answers(emulator: Emulator, no_openai: pytest.MonkeyPatch) -> None:
    no_openai.setenv("OPENAI_API_VERSION", "2025-03-01-preview")
    emulator.answer("Refund?", {"content": "Within 30 days."})

    async def ask() -> str:
        model = connect("azure/support-answers")
        try:
            said = await model.complete([{"role": "user", "content": "Refund?"}], Parameters(), 30.0)
            return said.text
        finally:
            await model.close()

    assert asyncio.run(ask()) == "Within 30 days."


# What lacks


def test_check_says_all_that_a_deployment_lacks(server: FineTuningServer, no_openai: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_MANAGEMENT_TOKEN"):
        no_openai.delenv(name)
    no_openai.setitem(sys.modules, "azure.identity", None)  # type: ignore[arg-type]
    with pytest.raises(InputError) as raised:
        connect_backend("azure").check("base", TrainingConfig())
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_MANAGEMENT_TOKEN", "job.azure.account"):
        assert name in str(raised.value)
    assert server.seen == []


def test_check_asks_both_services(server: FineTuningServer, settings: JobSettings) -> None:
    connect_backend("azure", settings).check("base", TrainingConfig(epochs=2))
    assert server.seen == [("GET", "/openai/fine_tuning/jobs"), ("GET", ACCOUNT)]
    server.account = "another"
    with pytest.raises(BackendError, match=r"has no resource /subscriptions/subscription-1/.*: look at job"):
        connect_backend("azure", settings).check("base", TrainingConfig())


def test_azure_identity_gives_tokens(
    server: FineTuningServer, settings: JobSettings, no_openai: pytest.MonkeyPatch
) -> None:
    no_openai.delenv("AZURE_MANAGEMENT_TOKEN")
    scopes = []

    class NobodyLoggedInError(Exception):
        pass

    class Credential:
        def get_token(self, scope: str) -> Any:
            scopes.append(scope)
            if len(scopes) > 2:
                raise NobodyLoggedInError("secret details")
            return SimpleNamespace(token="from-identity")

    modules = {name: ModuleType(name) for name in ("azure", "azure.identity", "azure.core", "azure.core.exceptions")}
    modules["azure.identity"].DefaultAzureCredential = Credential  # type: ignore[attr-defined]
    modules["azure.core.exceptions"].AzureError = NobodyLoggedInError  # type: ignore[attr-defined]
    for name, module in modules.items():
        no_openai.setitem(sys.modules, name, module)
    with pytest.raises(BackendError, match="az login") as raised:
        connect_backend("azure", settings).deploy(TUNED, "name")
    assert raised.value.kind == "credentials"
    assert scopes == [f"{server.url}/.default"] * 3
    assert [headers["authorization"] for headers in server.headers] == ["Bearer from-identity"] * 2


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("AZURE_OPENAI_ENDPOINT", "set AZURE_OPENAI_ENDPOINT"),
        ("AZURE_OPENAI_API_KEY", "set AZURE_OPENAI_API_KEY"),
        ("OPENAI_API_VERSION", "set OPENAI_API_VERSION"),
    ],
)
def test_missing_settings(missing: str, words: str, server: FineTuningServer, no_openai: pytest.MonkeyPatch) -> None:
    no_openai.delenv(missing)
    with pytest.raises(InputError, match=words):
        connect_backend("azure")


@pytest.mark.parametrize("by", ["AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"])
def test_an_expired_key(
    by: str, server: FineTuningServer, settings: JobSettings, no_openai: pytest.MonkeyPatch
) -> None:
    no_openai.setenv(by, "expired-secret")
    server.faults.append(Fault("GET", "/jobs", 401, {"error": {"message": "Access denied: expired-secret"}}))
    with pytest.raises(BackendError, match=f"renew {by} and run the same command again") as raised:
        connect_backend("azure", settings).check("base", TrainingConfig())
    assert "expired-secret" not in str(raised.value)
