"""What Prefect runs for a flow run whose process it has killed on a person's request."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from flows.fine_tune import fine_tune
from llmops.errors import InputError
from llmops.finetuning.backends import JobSettings, JobStatus
from llmops.finetuning.jobs import job_ledger
from tasks.job_cancellation import cancel_jobs
from tests.tasks.deploying_backend import DeployingBackend, ended_job, made_by

pytestmark = pytest.mark.service


@pytest.fixture
def cancelling(home: Path, prefect_server: str) -> FlowRun:
    """A flow run that is being cancelled, and has no process any more."""
    with get_client(sync_client=True) as client:
        return client.create_flow_run(flow(lambda: None, name="nobody"), state=Cancelling())


def state_of(run: FlowRun) -> str:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run.id).state
    assert state is not None
    return str(state.name)


@pytest.fixture
def backend(home: Path, monkeypatch: pytest.MonkeyPatch) -> DeployingBackend:
    """The provider, as the tasks connect it."""
    backend: Any = DeployingBackend()
    backend.cancelled = []
    backend.cancel = backend.cancelled.append
    backend.status = lambda job_id: JobStatus(state="cancelled")
    for module in ("tasks.deployments", "tasks.job_cancellation"):
        monkeypatch.setattr(f"{module}.back_end", lambda name, job: backend)
    return backend  # type: ignore[no-any-return]


def worked_on(home: Path, backend: DeployingBackend, run: FlowRun) -> None:
    """A job that runs (1), and three that have ended (2 to 4) and are served, the last one for good."""
    for number in range(1, 5):
        plan = ended_job(home, backend, number, JobSettings(keep_deployment=number == 4))
        changes: dict[str, Any] = {"state": "running"}
        if number > 1:
            changes = {"model": backend.deploy(made_by(plan).model, f"d{number}")}
        job_ledger().update(plan.record.id, flow_run_ids=[str(run.id)], **changes)


def test_a_fine_tuning_has_the_hook() -> None:
    assert cancel_jobs in (fine_tune.on_cancellation_hooks or [])


def test_its_jobs_are_stopped_and_what_they_left_is_taken_down(home: Path, backend: Any, cancelling: FlowRun) -> None:
    worked_on(home, backend, cancelling)
    other = ended_job(home, backend, 9)
    job_ledger().update(other.record.id, state="running")
    cancel_jobs(fine_tune, cancelling, cancelling.state)
    assert (backend.cancelled, backend.deployments) == (["ftjob-1"], {"d4"})
    assert [job_ledger().get(f"ftjob-{number}").state for number in (1, 9)] == ["cancelled", "running"]
    assert state_of(cancelling) == "Cancelled"


@pytest.mark.parametrize("error", [MlflowException("error code 503"), InputError("no key"), OSError("no network")])
def test_one_that_cannot_be_stopped_does_not_keep_the_others(
    home: Path, backend: Any, cancelling: FlowRun, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    worked_on(home, backend, cancelling)
    failures = [error]

    def fail_once() -> None:
        if failures:
            raise failures.pop()

    backend.undeployed = fail_once
    cancel_jobs(fine_tune, cancelling, cancelling.state)
    assert (backend.cancelled, len(backend.deployments)) == (["ftjob-1"], 2)
    assert "llmops cancel job llmops-" in caplog.text
    assert str(error) in caplog.text
    assert state_of(cancelling) == "Cancelled"


def test_records_that_cannot_be_read_do_not_leave_it_cancelling(home: Path, cancelling: FlowRun) -> None:
    folder = job_ledger().folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "llmops-0123456789abcdef-1.json").write_text("{")
    with pytest.raises(InputError, match="is no job record"):
        cancel_jobs(fine_tune, cancelling, cancelling.state)
    assert state_of(cancelling) == "Cancelled"
