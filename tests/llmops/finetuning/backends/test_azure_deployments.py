"""Deployments of an Azure OpenAI resource, through the management API as it is documented."""

import os
import signal
import threading
import time
from typing import Any

import pytest

from llmops.finetuning.backends import BackendError, JobSettings, TunedModel, connect_backend
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer

ACCOUNT = (
    "/subscriptions/subscription-1/resourceGroups/group-1/providers/Microsoft.CognitiveServices/accounts/some-resource"
)
TUNED = TunedModel(backend="azure", model="base.ft-1", base_model="base", job_id="ftjob-1")


def test_a_deployment_is_made_once_and_taken_down(server: FineTuningServer, settings: JobSettings) -> None:
    server.deployment_states = ["Creating", "Creating", "Succeeded"]
    backend = connect_backend("azure", settings)
    served = backend.deploy(TUNED, "Support answers")
    assert (served.asked_as, served.deployment) == ("azure/Support-answers", "Support-answers")
    assert served.endpoint == backend.endpoint == server.url
    down = TUNED.model_copy(update={"endpoint": server.url, "region": "swedencentral"})
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


def test_what_serves_another_model_is_not_taken_down(server: FineTuningServer, settings: JobSettings) -> None:
    backend = connect_backend("azure", settings)
    served = backend.deploy(TUNED, "name")
    other = served.model_copy(update={"model": "base.ft-2"})
    assert backend.undeploy(other).deployment is None
    assert "name" in server.deployments
    assert backend.undeploy(served).deployment is None
    assert server.deployments == {}


def short(settings: JobSettings) -> JobSettings:
    """With a deadline of five seconds."""
    return settings.model_copy(update={"waiting": settings.waiting.model_copy(update={"deadline_hours": 5 / 3600})})


def test_a_deployment_that_is_being_deleted_is_made_anew(server: FineTuningServer, settings: JobSettings) -> None:
    backend = connect_backend("azure", short(settings))
    backend.deploy(TUNED, "name")
    server.deployments["name"]["states"] = ["Deleting", "Deleting", "gone"]
    assert backend.deploy(TUNED, "name").asked_as == "azure/name"
    assert server.count("PUT", "/name") == 2
    server.deployments["name"]["states"] = ["Deleting", "Deleting", "gone"]
    backend.undeploy(TUNED.model_copy(update={"deployment": "name"}))
    assert (server.deployments, server.count("DELETE", "/name")) == ({}, 0)


@pytest.mark.parametrize("state", ["Deleting", "gone"])
def test_a_deployment_that_is_deleted_while_it_is_waited_for(
    state: str, server: FineTuningServer, settings: JobSettings
) -> None:
    server.deployment_states = ["Creating", state]
    with pytest.raises(BackendError, match="the Azure deployment name was deleted before it was ready"):
        connect_backend("azure", short(settings)).deploy(TUNED, "name")


def test_another_kind_or_capacity_is_what_serves_then(server: FineTuningServer, settings: JobSettings) -> None:
    connect_backend("azure", settings).deploy(TUNED, "name")
    azure = settings.azure.model_copy(update={"capacity": 3})
    more = settings.model_copy(update={"azure": azure})
    connect_backend("azure", more).deploy(TUNED, "name")
    assert server.deployments["name"]["sku"] == {"name": "standard", "capacity": 3}
    server.deployments["name"]["sku"]["name"] = "Standard"  # as Azure writes it
    connect_backend("azure", more).deploy(TUNED, "name")
    assert server.count("PUT", "/name") == 2
    other = more.model_copy(update={"azure": azure.model_copy(update={"sku": "globalstandard"})})
    connect_backend("azure", other).deploy(TUNED, "name")
    assert server.deployments["name"]["sku"] == {"name": "globalstandard", "capacity": 3}


def test_ctrl_c_does_not_cut_the_request_off_that_makes_a_deployment(
    server: FineTuningServer, settings: JobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off it would be carried out after all, when what takes it down has found nothing."""
    interrupted, carried_out = threading.Event(), threading.Event()

    def ctrl_c(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def slow(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if method != "PUT":
            return FineTuningServer.answer(server, method, path, query, body)
        server.lock.release()  # other requests are answered meanwhile
        os.kill(os.getpid(), signal.SIGINT)
        interrupted.wait(10)
        time.sleep(0.2)  # in which a look at it finds nothing
        server.lock.acquire()
        carried_out.set()
        return FineTuningServer.answer(server, method, path, query, body)

    monkeypatch.setattr(server, "answer", slow)
    backend = connect_backend("azure", settings)
    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            backend.deploy(TUNED, "name")
    finally:
        signal.signal(signal.SIGINT, before)
    backend.undeploy(TUNED.model_copy(update={"deployment": "name"}))
    assert carried_out.wait(10)
    with server.lock:
        assert server.deployments == {}


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


def test_the_resource_is_named_by_its_address(no_openai: pytest.MonkeyPatch, server: FineTuningServer) -> None:
    no_openai.setenv("AZURE_OPENAI_ENDPOINT", "https://named-by-host.openai.azure.com/")
    server.account = "named-by-host"
    served = connect_backend("azure", JobSettings()).deploy(TUNED, "name")
    assert served.asked_as == "azure/name"
    assert server.seen[-1][1].endswith("/accounts/named-by-host/deployments/name")
