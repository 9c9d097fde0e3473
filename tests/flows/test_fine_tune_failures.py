"""Jobs that are approved, refused, cancelled on Prefect's page, or that fail: each ends in the right state."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from prefect.states import Cancelling

from flows.job_commands import cancel
from flows.lifecycle import notes_on, trials_of
from llmops.errors import InputError, ServiceError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.jobs import JobRecord, job_ledger
from llmops.settings import settings
from llmops.tuning import SearchConfig
from tasks.interruptions import FlowRunCancelledError
from tests.emulators.openai_fine_tuning_server import Fault
from tests.emulators.tuning_provider import TuningProvider
from tests.flows.tuning_there import AZURE, QUICK, train_there, tune_there

pytestmark = [pytest.mark.service, pytest.mark.slow]


# --- cancelled and approved on Prefect's page ------------------------------------------------------------------------


@pytest.fixture
def page(prefect_server: str, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the tests as one that has pages."""
    monkeypatch.setenv("LLMOPS_PREFECT_API_URL", prefect_server)
    settings.cache_clear()


def meanwhile(state: str, act: Callable[[Any, Any], None]) -> threading.Thread:
    """In the background: wait for a run of the flow in that state, and do something with it."""
    wanted = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[state])))

    def look() -> None:
        with get_client(sync_client=True) as client:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                if found := client.read_flow_runs(flow_run_filter=wanted):
                    act(client, found[0])
                    return
                time.sleep(0.1)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    return thread


def test_cancelled_on_the_page_the_job_is_cancelled(
    page: None, provider: TuningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.interruptions.LOOK_SECONDS", 0.1)
    provider.states = ["running"] * 500
    found = []

    def cancel(client: Any, run: Any) -> None:
        until = time.monotonic() + 60
        while not (provider.jobs and provider.jobs["ftjob-0"]["status"] == "running") and time.monotonic() < until:
            time.sleep(0.05)
        client.set_flow_run_state(run.id, Cancelling(), force=True)
        found.append(run.id)

    meanwhile("Running", cancel)
    with pytest.raises(FlowRunCancelledError, match=r"cancelled in Prefect: .*job ftjob-0 at openai is cancelled"):
        tune_there()
    assert provider.jobs["ftjob-0"]["status"] == "cancelled"
    assert job_ledger().all()[0].state == "cancelled"
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(found[0]).state
    assert state is not None
    assert state.name == "Cancelled"


def test_cancelled_while_approval_is_waited_for_nothing_is_submitted(
    page: None, provider: TuningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.interruptions.LOOK_SECONDS", 0.1)
    meanwhile("Paused", lambda client, run: client.set_flow_run_state(run.id, Cancelling(), force=True))
    with pytest.raises(FlowRunCancelledError, match="cancelled in Prefect"):
        tune_there(job={"approve_above": 0.0})
    assert (provider.jobs, provider.files) == ({}, {})


@pytest.mark.parametrize("during", [("PUT", ""), ("POST", "/chat/completions")], ids=["deploying", "evaluating"])
def test_cancelled_later_the_deployment_is_taken_down(
    page: None, provider: TuningProvider, during: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.interruptions.LOOK_SECONDS", 0.1)

    def cancel(client: Any, run: Any) -> None:
        until = time.monotonic() + 60
        while not provider.jobs and time.monotonic() < until:
            time.sleep(0.02)
        provider.stand_still_at(*during)
        provider.stands_still.wait(60)
        client.set_flow_run_state(run.id, Cancelling(), force=True)
        time.sleep(0.5)
        provider.go_on.set()

    meanwhile("Running", cancel)
    with pytest.raises(FlowRunCancelledError, match="cancelled in Prefect"):
        tune_there(**AZURE)
    assert (len(provider.jobs), provider.count("PUT", ""), provider.deployments) == (1, 1, {})
    assert job_ledger().all()[0].state == "succeeded"


def assert_not_approved() -> None:
    (record,) = job_ledger().all()
    assert (record.state_now, record.reason, record.job_id) == ("cancelled", "not approved", None)


@pytest.mark.parametrize("approved", [True, False])
def test_a_dear_job_is_approved_on_the_page(
    page: None, provider: TuningProvider, approved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.job_approval.LOOK_SECONDS", 0.1)
    meanwhile("Paused", lambda client, run: client.resume_flow_run(run.id, run_input={"approved": approved}))
    dear = {"approve_above": 0.0}
    if approved:
        assert train_there(job=dear).state == "succeeded"
        assert len(provider.jobs) == 1
    else:
        with pytest.raises(InputError, match="was not approved; nothing was submitted"):
            tune_there(job=dear)
        assert (provider.jobs, provider.files) == ({}, {})
        assert_not_approved()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"job": {"approve_above": 0.0}}, r"about [\d,]+ tokens, \$0\.01.*above \$0\.00: add --yes, or raise job"),
        ({"base_model": "gpt-of-nobody"}, r"unknown cost .*: add --yes, or give its price"),
        ({"training": TrainingConfig()}, r"unknown cost .*: add --yes, or set --training.epochs; nothing"),
    ],
)
def test_where_nobody_can_be_asked_only_yes_submits(
    toy: Path, provider: TuningProvider, changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        tune_there(**changed)
    assert (provider.jobs, provider.files) == ({}, {})
    assert_not_approved()
    again = train_there(**changed, yes=True)
    assert (again.state, again.attempt) == ("succeeded", 2)
    assert len(provider.jobs) == 1


# --- failures --------------------------------------------------------------------------------------------------------


def fails(error: type[Exception], message: str, **changed: Any) -> JobRecord:
    """The newest record after a run that ended so."""
    with pytest.raises(error, match=message) as raised:
        tune_there(**changed)
    assert "\n" not in str(raised.value)
    client = MlflowClient()
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert {run.info.status for run in runs} == {"FAILED"}
    return job_ledger().all()[0]


def test_a_failed_job_says_why_and_the_same_command_tries_again(toy: Path, provider: TuningProvider) -> None:
    provider.states = ["failed"]
    record = fails(ServiceError, r"job ftjob-0 at openai failed: the training file has 3 examples.* a new attempt")
    assert (record.state, record.attempt) == ("failed", 1)
    provider.states = ["succeeded"]
    train_there()
    assert [(one.attempt, one.state) for one in job_ledger().all()] == [(2, "succeeded"), (1, "failed")]


def test_a_rejected_file_ends_the_attempt(toy: Path, provider: TuningProvider) -> None:
    provider.file_states, provider.file_error = ["uploaded", "error"], "line 3 is no conversation"
    record = fails(ServiceError, "rejected .*line 3 is no conversation")
    assert (record.state, record.job_id, provider.jobs) == ("failed", None, {})


def test_after_expired_credentials_the_job_is_found_again(toy: Path, provider: TuningProvider) -> None:
    expired = {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}}
    provider.states = ["running", "running", "succeeded"]
    provider.faults.append(Fault("GET", "/fine_tuning/jobs/ftjob-0", 401, expired))
    record = fails(ServiceError, "does not accept the key .*ftjob-0 goes on there, and the same command finds it again")
    assert (record.state in ("queued", "running"), record.job_id) == (True, "ftjob-0")
    assert train_there().state == "succeeded"
    assert len(provider.jobs) == 1


def test_a_job_that_is_not_known_is_given_up_by_a_person_alone(toy: Path, provider: TuningProvider) -> None:
    provider.states = ["running"] * 500
    nobody = {"error": {"message": "Could not find fine tune", "type": "invalid_request_error"}}
    hidden = Fault("GET", "/fine_tuning/jobs/ftjob-0", 404, nobody, times=10_000)
    provider.faults += [hidden, Fault("POST", "/ftjob-0/cancel", 404, nobody, times=10_000)]
    for _ in range(2):
        record = fails(ServiceError, rf"not known at .*: check key, project and region.*llmops cancel job {LLMOPS_ID}")
        assert (record.state, record.attempt, len(provider.jobs)) == ("unknown", 1, 1)
    cancel(record.id)
    assert job_ledger().get(record.id).state == "cancelled"
    provider.states = ["succeeded"]
    assert train_there().attempt == 2


LLMOPS_ID = "llmops-[0-9a-f]{16}-1 gives it up"


def test_a_rate_limit_is_waited_for(toy: Path, provider: TuningProvider) -> None:
    limited = {"error": {"message": "Rate limit reached", "type": "requests"}}
    for method, ending in (("POST", "/fine_tuning/jobs"), ("GET", "/fine_tuning/jobs/ftjob-0")):
        provider.faults.append(Fault(method, ending, 429, limited, {"Retry-After": "0"}))
    record = train_there()
    assert (record.state, record.cost) == ("succeeded", pytest.approx(0.02))  # 4,000 tokens at $5 a million
    assert len(provider.jobs) == 1


def test_a_job_over_its_deadline_is_cancelled(toy: Path, provider: TuningProvider) -> None:
    provider.states = ["running"] * 500
    hasty = {"waiting": QUICK.model_copy(update={"deadline_hours": 0.0001})}
    record = fails(ServiceError, "had not ended after 0.0001 hours .*and was cancelled", job=hasty)
    assert (record.state, provider.jobs["ftjob-0"]["status"]) == ("cancelled", "cancelled")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base_model": "tiny"}, "tiny is on this machine, and backend openai"),
        ({"training": TrainingConfig(rank=8)}, "rank"),
        ({"method": "full", "training": TrainingConfig(method="lora")}, "contradict each other"),
    ],
)
def test_what_the_provider_cannot_do_is_refused_before_anything_is_written(
    toy: Path, provider: TuningProvider, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tune_there(**changed)
    assert job_ledger().all() == []
    assert not (toy / "jobs" / "files").exists()
    assert provider.files == {}


def test_a_base_that_cannot_be_asked_is_found_out_before_anything_is_paid(toy: Path, provider: TuningProvider) -> None:
    unknown = {"error": {"message": "The model does not exist", "code": "model_not_found"}}
    provider.faults.append(Fault("POST", "/chat/completions", 404, unknown))
    with pytest.raises(InputError, match=r"the base to compare with cannot be asked as openai/.* set job\.baseline"):
        tune_there()
    assert (job_ledger().all(), provider.files, provider.jobs) == ([], {}, {})
    train_there()
    asked = provider.count("POST", "/chat/completions")
    assert asked == 2, "the refused question and the next"
    train_there()
    assert provider.count("POST", "/chat/completions") == asked, "a job that was submitted is not asked about again"
    assert not list((toy / "jobs" / "files").iterdir()), "what was trained on can be written again"


def test_a_search_here_does_not_hold_there() -> None:
    assert trials_of(SearchConfig(), "openai") == 0
    assert trials_of(SearchConfig(trials=5), "local") == 5
    assert [len(notes_on(SearchConfig(), backend)) for backend in ("openai", "local")] == [1, 0]
    assert notes_on(SearchConfig(trials=0), "openai") == []
    with pytest.raises(InputError, match=r"search\.trials 5.* backend vertex"):
        trials_of(SearchConfig(trials=5), "vertex")
