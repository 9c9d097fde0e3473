"""Azure OpenAI's fine-tuning through its SDK, and its deployments through the management API as it is documented."""

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
    TunedModel,
    TuningRequest,
    connect_backend,
)
from llmops.llm.completions import Parameters
from llmops.llm.providers import connect
from tests.emulators.aimock import Emulator
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer

KEY = "sk-proj-very-secret-0123456789"
ACCOUNT = (
    "/subscriptions/subscription-1/resourceGroups/group-1/providers/Microsoft.CognitiveServices/accounts/some-resource"
)
TUNED = TunedModel(backend="azure", model="base.ft-1", base_model="base", job_id="ftjob-1")
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


# Deployments


def test_a_deployment_is_made_once_and_taken_down(server: FineTuningServer, settings: JobSettings) -> None:
    server.deployment_states = ["Creating", "Creating", "Succeeded"]
    backend = connect_backend("azure", settings)
    served = backend.deploy(TUNED, "Support answers")
    assert (served.asked_as, served.deployment) == ("azure/Support-answers", "Support-answers")
    assert served.endpoint == backend.endpoint == server.url
    down = TUNED.model_copy(update={"endpoint": server.url})
    assert [one for one in server.seen if one[0] == "PUT"] == [("PUT", f"{ACCOUNT}/deployments/Support-answers")]
    put = server.seen.index(("PUT", f"{ACCOUNT}/deployments/Support-answers"))
    assert server.queries[put] == {"api-version": "2024-10-01"}
    assert server.headers[put]["authorization"] == "Bearer management-secret"
    assert server.bodies[put]["sku"] == {"name": "standard", "capacity": 1}
    assert server.bodies[put]["properties"]["model"] == {"format": "OpenAI", "name": "base.ft-1", "version": "1"}

    assert backend.deploy(TUNED, "Support answers") == served
    assert server.count("PUT", "/Support-answers") == 1
    assert backend.undeploy(served) == down
    assert server.deployments == {}
    assert backend.undeploy(served) == down
    assert server.count("DELETE", "/Support-answers") == 1


def test_a_deployment_goes_on_where_a_crash_left_it(server: FineTuningServer, settings: JobSettings) -> None:
    server.faults.append(Fault("PUT", "/name", 0, done=True))
    backend = connect_backend("azure", settings)
    assert backend.deploy(TUNED, "name").asked_as == "azure/name"
    assert server.deployments["name"]["properties"]["provisioningState"] == "Succeeded"


def test_a_deployment_that_fails_and_succeeds_the_next_time(server: FineTuningServer, settings: JobSettings) -> None:
    server.deployment_states = ["Creating", "Failed"]
    backend = connect_backend("azure", settings)
    with pytest.raises(BackendError, match="the Azure deployment name failed: Failed") as raised:
        backend.deploy(TUNED, "name")
    assert raised.value.kind == "refused"
    server.deployment_states = ["Succeeded"]
    assert backend.deploy(TUNED, "name").deployment == "name"


def test_a_failed_deployment_is_taken_down(server: FineTuningServer, settings: JobSettings) -> None:
    server.deployment_states = ["Failed"]
    backend = connect_backend("azure", settings)
    with pytest.raises(BackendError, match="failed"):
        backend.deploy(TUNED, "name")
    backend.undeploy(TUNED.model_copy(update={"deployment": "name"}))
    assert server.deployments == {}


def test_a_name_that_serves_another_model_is_left_alone(server: FineTuningServer, settings: JobSettings) -> None:
    backend = connect_backend("azure", settings)
    backend.deploy(TUNED, "name")
    with pytest.raises(BackendError, match=r"the Azure deployment name serves base\.ft-1, not base\.ft-2"):
        backend.deploy(TUNED.model_copy(update={"model": "base.ft-2"}), "name")
    assert server.deployments["name"]["properties"]["model"]["name"] == "base.ft-1"


def test_a_deployment_that_takes_too_long(server: FineTuningServer, settings: JobSettings) -> None:
    server.deployment_states = ["Creating"]
    waiting = settings.waiting.model_copy(update={"deadline_hours": 0.1 / 3600})
    backend = connect_backend("azure", settings.model_copy(update={"waiting": waiting}))
    with pytest.raises(BackendError, match="the Azure deployment name is not ready after"):
        backend.deploy(TUNED, "name")


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault("PUT", "/name", 401), "credentials", "renew AZURE_MANAGEMENT_TOKEN"),
        (Fault("PUT", "/name", 403, {"error": {"message": "no role"}}), "credentials", "no role.*Contributor"),
        (Fault("PUT", "/name", 400, {"error": {"code": "Quota", "message": "over\nquota"}}), "refused", "over quota"),
        (Fault("PUT", "/name", 404, {"error": {"message": "no such account"}}), "missing", "no such account"),
        (
            Fault("GET", "/name", 503, headers={"Retry-After": "0.05"}, times=99),
            "unreachable",
            "fails at GET /subscriptions/.*/name",
        ),
    ],
)
def test_refused_deployments(
    fault: Fault, kind: str, words: str, server: FineTuningServer, settings: JobSettings
) -> None:
    server.faults.append(fault)
    with pytest.raises(BackendError, match=words) as raised:
        connect_backend("azure", settings).deploy(TUNED, "name")
    assert raised.value.kind == kind
    assert "\n" not in str(raised.value)
    assert "management-secret" not in str(raised.value)


@pytest.mark.parametrize("status", [0, 429, 502])
def test_a_busy_management_api_is_asked_again(status: int, server: FineTuningServer, settings: JobSettings) -> None:
    server.faults += [
        Fault(method, "/name", status, headers={"Retry-After": "0.01"}, times=2) for method in ("GET", "PUT", "DELETE")
    ]
    backend = connect_backend("azure", settings)
    served = backend.deploy(TUNED, "name")
    assert server.count("PUT", "/name") == 3
    backend.undeploy(served)
    assert server.deployments == {}


@pytest.mark.parametrize(("code", "waits"), [("RequestConflict", True), ("NameTaken", False)])
def test_a_resource_that_is_being_changed_by_another_is_waited_for(
    code: str, waits: bool, server: FineTuningServer, settings: JobSettings
) -> None:
    """Azure takes one change of a resource at a time, and says 409 to the next."""
    words = {"error": {"code": code, "message": "Another operation is being performed on the parent resource."}}
    backend = connect_backend("azure", settings)
    served = TUNED.model_copy(update={"deployment": "name"})
    for method, act in (("PUT", lambda: backend.deploy(TUNED, "name")), ("DELETE", lambda: backend.undeploy(served))):
        server.faults = [Fault(method, "/name", 409, words, times=2)]
        if waits:
            act()
            assert server.count(method, "/name") == 3
        else:
            with pytest.raises(BackendError, match="Another operation") as raised:
                act()
            assert raised.value.kind == "refused"
            server.deployments["name"] = {"name": "name", "properties": {}, "states": []}


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


def test_the_resource_is_named_by_its_address(no_openai: pytest.MonkeyPatch, server: FineTuningServer) -> None:
    no_openai.setenv("AZURE_OPENAI_ENDPOINT", "https://named-by-host.openai.azure.com/")
    served = connect_backend("azure", JobSettings()).deploy(TUNED, "name")
    assert served.asked_as == "azure/name"
    assert server.seen[0][1].endswith("/accounts/named-by-host/deployments/name")


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
