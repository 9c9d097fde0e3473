"""A job that has ended: what serves its model while it is evaluated, and what is not worth failing for."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import Estimate, JobSettings, JobStatus, TunedModel
from llmops.finetuning.backends.backend import BackendError
from llmops.finetuning.jobs import job_ledger
from tasks.fine_tuning_jobs import TunedByJob, _log_result, served
from tasks.hosted_models import find_hosted_model
from tasks.job_cancellation import stop_job
from tasks.planned_jobs import PlannedJob, said_of, with_method
from tasks.promotion import make_champion
from tasks.registry import DIGEST_TAG
from tasks.training import Job
from tests.tasks.deploying_backend import DeployingBackend, another_registry, ended_job, made_by, registered


@pytest.fixture
def backend() -> DeployingBackend:
    """The provider."""
    return DeployingBackend()


@pytest.fixture
def plan(home: Path, prefect_server: str, backend: DeployingBackend) -> PlannedJob:
    """A job that has ended well."""
    return ended_job(home, backend)


@pytest.fixture
def tuned(plan: PlannedJob) -> TunedByJob:
    """What it has made."""
    return made_by(plan)


def test_what_answers_is_noted(plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend) -> None:
    with served(plan, tuned) as model:
        assert backend.deployments == {model.deployment}
        assert job_ledger().get(plan.record.id).model == model


def test_a_model_whose_evaluation_failed_is_taken_down(
    plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend
) -> None:
    with pytest.raises(InputError, match="no such column"), served(plan, tuned):
        raise InputError("no such column")
    assert backend.deployments == set()
    kept = replace(plan, settings=JobSettings(keep_deployment=True))
    with pytest.raises(InputError, match="no such column"), served(kept, tuned):
        raise InputError("no such column")
    assert len(backend.deployments) == 1


def test_the_champion_is_not(plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend) -> None:
    with pytest.raises(InputError, match="no room for the report"), served(plan, tuned) as model:
        make_champion("support", registered(plan, tuned, model), "better")
        raise InputError("no room for the report")
    assert backend.deployments == {model.deployment}


def test_the_champion_is_told_at_once_what_serves_it_now(
    plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command with other settings for serving; what served it before may be gone."""
    with served(plan, tuned) as model:
        make_champion("support", registered(plan, tuned, model), "better")
    now = {"asked_as": "azure/another", "deployment": "another"}
    monkeypatch.setattr(backend, "deploy", lambda model, name: model.model_copy(update=now))
    with pytest.raises(InputError, match="no such column"), served(plan, tuned):
        raise InputError("no such column")
    champion = find_hosted_model("models:/support@champion")
    assert champion is not None
    assert champion.model.model_dump(include=set(now)) == now


@pytest.mark.parametrize("what", [KeyboardInterrupt(), SystemExit(143), BackendError("it failed", "refused")])
def test_what_stops_the_deploying_leaves_nothing_behind(
    plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend, what: BaseException
) -> None:
    noted: list[TunedModel | None] = []

    def stop() -> None:
        noted.append(job_ledger().get(plan.record.id).model)
        raise what

    backend.deployed = stop
    with pytest.raises(type(what)), served(plan, tuned):
        pass
    assert backend.deployments == set()
    assert noted[0] is not None
    assert noted[0].deployment, "in the ledger before it was made, where kill -9 leaves it"
    after = job_ledger().get(plan.record.id).model
    assert after is not None
    assert after.deployment is None


def test_the_champions_command_under_another_mlflow_takes_nothing_down(
    plan: PlannedJob,
    tuned: TunedByJob,
    backend: DeployingBackend,
    home: Path,
    mlflow_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served(plan, tuned) as model:
        make_champion("support", registered(plan, tuned, model), "better")
        job_ledger().update(plan.record.id, version="models:/support/1")
    another_registry(home, mlflow_database, monkeypatch)
    with pytest.raises(InputError, match="no such column"), served(plan, tuned):
        raise InputError("no such column")
    assert backend.deployments == {model.deployment}


def test_where_nothing_costs_the_champion_is_not_touched_before_it_answers_anew(
    plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of Ollama, where one job's model is imported in several ways, and its record knows the last one alone."""
    with served(plan, tuned) as model:
        make_champion("support", registered(plan, tuned, model), "better")
    other = replace(tuned, model=model.model_copy(update={"asked_as": "azure/other", "deployment": None}))
    monkeypatch.setattr(backend, "deployment_of", lambda model, name: None)
    backend.deployed = lambda: (_ for _ in ()).throw(BackendError("no room", "refused"))
    with pytest.raises(BackendError, match="no room"), served(plan, other):
        pass
    champion = find_hosted_model("models:/support@champion")
    assert champion is not None
    assert champion.model.asked_as == model.asked_as


def test_a_failing_take_down_does_not_hide_why(
    plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend, caplog: pytest.LogCaptureFixture
) -> None:
    def down() -> None:
        raise BackendError("the portal is down", "unreachable")

    backend.undeployed = down
    with pytest.raises(InputError, match="no such column"), served(plan, tuned) as model:
        raise InputError("no such column")
    assert f"its deployment {model.deployment} at azure may still run and cost (the portal is down)" in caplog.text
    assert "llmops cancel job ftjob-1" in caplog.text
    assert job_ledger().get(plan.record.id).model == model, "for the command to find"


def test_ctrl_c_while_it_is_taken_down_waits_for_that(
    plan: PlannedJob, tuned: TunedByJob, backend: DeployingBackend
) -> None:
    backend.undeployed = lambda: signal.raise_signal(signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a command run here before may have ignored it
    try:
        with pytest.raises(KeyboardInterrupt), served(plan, tuned):
            raise InputError("no such column")
    finally:
        signal.signal(signal.SIGINT, before)
    assert backend.deployments == set()


def test_result_files_that_nobody_gives_out_are_no_failure(
    plan: PlannedJob, tuned: TunedByJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(job_id: str, folder: Path) -> list[Path]:
        raise BackendError("AccessDenied on the tables", kind)

    plan.backend.fetch = fetch  # type: ignore[method-assign]
    record = plan.record.model_copy(update={"cost": 2.5})
    kind: Any = "credentials"
    assert _log_result(plan, record, tuned.run_id) == "without its result files: AccessDenied on the tables"
    assert MlflowClient().get_run(tuned.run_id).data.metrics["cost"] == 2.5
    kind = "unreachable"
    with pytest.raises(BackendError, match="AccessDenied"):
        _log_result(plan, record, tuned.run_id)


def test_a_job_that_is_not_known_any_more_is_not_called_cancelled(
    plan: PlannedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_ledger().update(plan.record.id, state="running")
    backend: Any = plan.backend
    backend.cancel = lambda job_id: None
    backend.status = lambda job_id: JobStatus(state="unknown")
    said = stop_job(plan.record.id, plan.backend, JobSettings())
    assert "may go on: check key, project and region" in said
    assert job_ledger().get(plan.record.id).state == "unknown"


def test_the_same_training_in_ollama_is_another_version(plan: PlannedJob, tuned: TunedByJob, home: Path) -> None:
    local = replace(plan, backend=DeployingBackend("local", "here"), local=Job("f" * 64, home))
    MlflowClient().create_registered_model("support")
    MlflowClient().create_model_version("support", "somewhere", tags={DIGEST_TAG: local.digest})
    ollama = replace(local, backend=DeployingBackend("ollama", "http://one:11434"))
    others = [
        replace(ollama, backend=DeployingBackend("ollama", "http://two:11434")),
        replace(ollama, settings=JobSettings.model_validate({"ollama": {"quantize": "q4_K_M"}})),
    ]
    assert len({one.digest for one in (local, ollama, *others)}) == 4
    versions = []
    for one in (ollama, *others, ollama):
        with served(one, replace(tuned, digest=one.digest)) as model:
            versions.append((registered(one, replace(tuned, digest=one.digest), model), model.asked_as))
    assert [version for version, _ in versions] == ["2", "3", "4", "2"]
    assert len({name for _, name in versions}) == 3, "nor does one replace the other's model in Ollama"


def test_a_method_beside_the_settings_leaves_what_nobody_set_unset() -> None:
    changed = with_method(TrainingConfig(epochs=2), "full")
    assert (changed.method, changed.model_fields_set) == ("full", {"method", "epochs"})
    with pytest.raises(InputError, match="contradict"):
        with_method(TrainingConfig(method="lora"), "full")


def test_an_estimate_is_said_with_what_is_unknown() -> None:
    assert said_of(Estimate(cost=12.5, seconds=3 * 3600)) == "$12.50, 3.0 hours"
    assert said_of(Estimate(tokens=1000, cost=0.0)) == "about 1,000 tokens, no cost"
    assert said_of(Estimate(tokens=1000)) == "about 1,000 tokens, at an unknown cost, in an unknown time"
