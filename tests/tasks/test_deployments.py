"""What becomes of a deployment that costs by the hour when its model is champion, and when it is no longer."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llmops.errors import InputError, ServiceError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning.backends import JobSettings, Waiting
from llmops.finetuning.backends.backend import BackendError
from llmops.finetuning.jobs import job_ledger
from tasks.deployments import RETIRED_TAG, deploy_again, retire, take_down, take_retired_down, undeploy
from tasks.hosted_models import find_hosted_model
from tasks.model_sources import find_asked_model
from tasks.promotion import Decision, Promotion, make_champion, promote, roll_back
from tasks.registry import version_at
from tasks.version_names import DELETED
from tests.tasks.deploying_backend import (
    DEFAULTS,
    DeployingBackend,
    another_registry,
    ended_job,
    made_by,
    registered,
)

PASSED = Decision(passed=True, verdict="better", reason="it is better")
FAILED = Decision(passed=False, verdict="worse", reason="it is worse")


@pytest.fixture
def backend(home: Path, monkeypatch: pytest.MonkeyPatch) -> DeployingBackend:
    """The provider, as the tasks connect it."""
    backend = DeployingBackend()
    for module in ("tasks.deployments", "tasks.hosted_models"):
        monkeypatch.setattr(f"{module}.back_end", lambda name, job: backend)
    return backend


def deployed(home: Path, backend: DeployingBackend, number: int, settings: JobSettings = DEFAULTS) -> str:
    """A version that is served; returns its number, which is that of its job."""
    plan = ended_job(home, backend, number, settings)
    tuned = made_by(plan)
    model = backend.deploy(tuned.model, f"d{number}")
    job_ledger().update(plan.record.id, model=model)
    version = registered(plan, tuned, model)
    assert version == str(number)
    job_ledger().update(plan.record.id, version=f"models:/support/{version}")
    return version


def promoted(version: str, decision: Decision = PASSED) -> Promotion:
    done = promote.fn("support", version, decision)
    assert isinstance(done, Promotion)
    return done


def champion() -> str | None:
    found = version_at("support", "champion")
    return str(found.version) if found else None


def down() -> None:
    raise BackendError("the portal is down", "unreachable")


def test_the_former_champion_is_taken_down_after_the_alias_has_moved(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    second = deployed(home, backend, 2)
    champions = []
    backend.undeployed = lambda: champions.append(champion())
    promoted(second)
    assert (backend.deployments, champions) == ({"d2"}, ["2"])
    former = find_hosted_model("models:/support/1")
    assert former is not None
    assert (former.model.asked_as, former.model.deployment) == (None, None)
    assert job_ledger().get("ftjob-1").model == former.model


def test_a_version_that_was_not_promoted_is_taken_down(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    promoted(deployed(home, backend, 2), FAILED)
    assert backend.deployments == {"d1"}
    with pytest.raises(InputError, match="nothing serves it: its deployment was taken down"):
        find_asked_model("models:/support/2", EvaluationConfig())


def test_one_that_is_to_be_kept_stays(home: Path, backend: DeployingBackend) -> None:
    kept = JobSettings(keep_deployment=True)
    promoted(deployed(home, backend, 1, kept))
    promoted(deployed(home, backend, 2, kept), FAILED)
    promoted(deployed(home, backend, 3))
    assert backend.deployments == {"d1", "d2", "d3"}


def test_what_could_not_be_taken_down_is_said_and_the_next_run_does_it(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    backend.undeployed = down
    done = promoted(deployed(home, backend, 2))
    assert (done.status, champion()) == ("promoted", "2")
    [note] = done.notes
    assert "models:/support/1: its deployment d1 at azure may still run" in note
    assert "the portal is down" in note
    assert "llmops cancel job ftjob-1" in note
    backend.undeployed = lambda: None
    assert promoted("2").notes == []
    assert backend.deployments == {"d2"}


def test_a_crash_around_the_alias_leaves_neither_a_bill_nor_a_champion_without_service(
    home: Path, backend: DeployingBackend
) -> None:
    promoted(deployed(home, backend, 1))
    retire("support", "1")  # and here the process dies
    promoted("1")
    assert backend.deployments == {"d1"}
    second = deployed(home, backend, 2)
    retire("support", "1")
    make_champion("support", second, "better")  # or here
    promoted("2")
    assert backend.deployments == {"d2"}


def test_rolling_back_deploys_again_and_takes_the_other_down(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    promoted(deployed(home, backend, 2))
    champions = []
    backend.deployed = lambda: champions.append(champion())
    roll_back.fn("support")
    hosted = find_hosted_model("models:/support@champion")
    assert hosted is not None
    assert (hosted.version, {hosted.model.deployment}, champions) == ("1", backend.deployments, ["2"])
    assert hosted.model.asked_as is not None


def test_rolling_back_to_a_deployment_that_the_provider_has_deleted(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1, JobSettings(keep_deployment=True)))
    promoted(deployed(home, backend, 2))
    backend.deployments.remove("d1")
    backend.deployed = down
    with pytest.raises(ServiceError, match="models:/support/1 could not be deployed again: the portal is down"):
        roll_back.fn("support")
    assert champion() == "2"
    backend.deployed = lambda: None
    roll_back.fn("support")
    hosted = find_hosted_model("models:/support@champion")
    assert hosted is not None
    assert {hosted.model.deployment} == backend.deployments


@pytest.mark.parametrize(
    ("when", "what"),
    [("deploying", KeyboardInterrupt()), ("moving the alias", BackendError("it is not ready", "unreachable"))],
)
def test_a_rollback_that_does_not_get_through_leaves_nothing_running(
    home: Path, backend: DeployingBackend, when: str, what: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(deployed(home, backend, 1))
    promoted(deployed(home, backend, 2))

    def stop(*_: str) -> None:
        raise what

    with monkeypatch.context() as failing:
        if when == "deploying":
            failing.setattr(backend, "deployed", stop)
        else:
            failing.setattr("tasks.promotion.make_champion", stop)
        with pytest.raises(type(what)):
            roll_back.fn("support")
    assert (champion(), backend.deployments) == ("2", {"d2"})
    assert_nothing_serves("1")
    assert roll_back.fn("support").champion == "1"
    assert len(backend.deployments) == 1


def assert_nothing_serves(version: str) -> None:
    hosted = find_hosted_model(f"models:/support/{version}")
    assert hosted is not None
    assert (hosted.model.asked_as, hosted.model.deployment) == (None, None)
    assert job_ledger().get(f"ftjob-{version}").model == hosted.model
    assert RETIRED_TAG not in MlflowClient().get_model_version("support", version).tags


def test_a_rollback_that_is_killed_leaves_what_the_next_run_takes_down(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    promoted(deployed(home, backend, 2))
    first = find_hosted_model("models:/support/1")
    assert first is not None
    noted = []
    backend.deployed = lambda: noted.append(find_hosted_model("models:/support/1"))
    served = deploy_again(first)  # and here the process dies
    assert noted[0] is not None
    assert noted[0].model.deployment == served.deployment, "before it is made"
    assert promoted("2").notes == []
    assert backend.deployments == {"d2"}
    assert_nothing_serves("1")


def test_what_a_killed_run_has_left_is_taken_down_by_the_next_of_that_name(
    home: Path, backend: DeployingBackend
) -> None:
    promoted(deployed(home, backend, 1))
    for number, job in ((2, DEFAULTS), (3, JobSettings(keep_deployment=True)), (4, DEFAULTS)):
        plan = ended_job(home, backend, number, job)
        job_ledger().update(plan.record.id, model=backend.deploy(made_by(plan).model, f"d{number}"))
    assert take_retired_down("another") == []
    assert backend.deployments == {"d1", "d2", "d3", "d4"}
    assert take_retired_down("support", but=job_ledger().get("ftjob-4")) == []
    assert backend.deployments == {"d1", "d3", "d4"}, "the champion's, what is to be kept, and that of who asks"
    backend.undeployed = down
    [note] = promoted("1").notes
    assert "its deployment d4 at azure may still run" in note
    backend.undeployed = lambda: None
    assert promoted("1").notes == []
    assert backend.deployments == {"d1", "d3"}


def test_a_champion_that_another_mlflow_knows_is_left_alone(
    home: Path,
    backend: DeployingBackend,
    mlflow_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    promoted(deployed(home, backend, 1))
    another_registry(home, mlflow_database, monkeypatch)
    assert take_retired_down("support") == []
    assert backend.deployments == {"d1"}
    assert "d1 stays: its model, models:/support/1, is not known to this MLflow; llmops cancel job" in caplog.text
    # Nor is another job's model, which that one has under the same number, the champion.
    second = ended_job(home, backend, 2)
    tuned = made_by(second)
    assert registered(second, tuned, tuned.model.model_copy(update={"asked_as": "azure/d2"})) == "1"
    take_retired_down("support")
    assert backend.deployments == {"d1"}
    assert "d1 stays" in str(take_down(job_ledger().get("ftjob-1")))
    assert take_down(job_ledger().get("ftjob-1"), by_hand=True) == "Its deployment d1 was taken down."
    assert backend.deployments == set()


def test_what_is_still_to_be_asked_is_not_taken_down(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    deployed(home, backend, 2)
    for asked in ("models:/support/2", "azure/d2"):
        assert take_retired_down("support", asked=asked) == []
        assert backend.deployments == {"d1", "d2"}
    assert take_retired_down("support", asked="azure/d3") == []
    assert backend.deployments == {"d1"}


def test_a_provider_that_does_not_answer_holds_no_run_up(
    home: Path, backend: DeployingBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patient = JobSettings(waiting=Waiting(patience_s=1800, deadline_hours=None))
    deployed(home, backend, 1, patient)
    asked: list[Waiting] = []
    monkeypatch.setattr("tasks.deployments.back_end", lambda name, job: asked.append(job.waiting) or backend)
    backend.undeployed = down
    with caplog.at_level("INFO", logger="llmops.stages"):
        assert len(take_retired_down("support")) == 1
    assert asked[0].patience_s <= 10
    assert asked[0].deadline_hours is not None and asked[0].deadline_hours <= 0.1
    assert "Take deployments down: started" in caplog.text


def test_a_run_of_another_home_takes_down_what_is_being_rolled_back_to(
    home: Path, backend: DeployingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(deployed(home, backend, 1))
    promoted(deployed(home, backend, 2))

    def meanwhile(name: str, version: str) -> None:
        first = find_hosted_model("models:/support/1")
        assert first is not None
        undeploy("support", first.model, backend)
        retire(name, version)

    monkeypatch.setattr("tasks.promotion.retire", meanwhile)
    roll_back.fn("support")
    hosted = find_hosted_model("models:/support@champion")
    assert hosted is not None
    assert (hosted.version, {hosted.model.deployment}) == ("1", backend.deployments)


def test_one_that_could_not_be_taken_down_and_is_to_be_kept_now_stays(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    second = deployed(home, backend, 2)
    backend.undeployed = down
    assert len(promoted(second, FAILED).notes) == 1
    backend.undeployed = lambda: None
    deployed(home, backend, 2, JobSettings(keep_deployment=True))
    assert promoted(second, FAILED).notes == []
    assert backend.deployments == {"d1", "d2"}
    assert RETIRED_TAG not in MlflowClient().get_model_version("support", second).tags


def test_a_registry_that_does_not_answer_any_more_fails_no_promotion(
    home: Path, backend: DeployingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(deployed(home, backend, 1))
    second = deployed(home, backend, 2)
    with monkeypatch.context() as outage:
        outage.setattr(MlflowClient, "search_model_versions", unreachable)
        done = promoted(second)
    assert done.status == "promoted"
    assert "error code 503" in done.notes[0]
    assert promoted(second).notes == []
    assert backend.deployments == {"d2"}


def test_a_model_that_was_deleted_is_not_rolled_back_to(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    promoted(deployed(home, backend, 2))
    MlflowClient().set_model_version_tag("support", "1", DELETED, "yes")
    with pytest.raises(InputError, match=r"support cannot be rolled back: the model of version 1 was deleted") as error:
        roll_back.fn("support")
    assert "\n" not in str(error.value)
    assert (champion(), backend.deployments) == ("2", {"d2"})


def test_another_endpoint_is_refused(home: Path, backend: DeployingBackend) -> None:
    promoted(deployed(home, backend, 1))
    promoted(deployed(home, backend, 2))
    backend.endpoint = "https://elsewhere"
    where = r"is at https://somewhere, and the environment here leads to https://elsewhere"
    with pytest.raises(InputError, match=where):
        roll_back.fn("support")
    assert champion() == "2"
    with pytest.raises(InputError, match=where):
        find_asked_model("models:/support@champion", EvaluationConfig())
    with pytest.raises(InputError, match=where):
        job = job_ledger().get("ftjob-2")
        make_champion("support", "1", "another")
        take_down(job)
    assert backend.deployments == {"d2"}


def test_a_job_that_has_ended_is_taken_down_unless_its_model_is_champion(
    home: Path, backend: DeployingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = job_ledger()
    promoted(deployed(home, backend, 1))
    assert take_down(ledger.get("ftjob-1")) is None
    deployed(home, backend, 2)
    running = ledger.get("ftjob-2").model_copy(update={"state": "running"})
    assert take_down(running) is None

    with monkeypatch.context() as outage:
        outage.setattr(MlflowClient, "get_model_version_by_alias", unreachable)
        with pytest.raises(ServiceError, match="does not tell the champion of support"):
            take_down(ledger.get("ftjob-1"))
    assert backend.deployments == {"d1", "d2"}

    assert take_down(ledger.get("ftjob-2")) == "Its deployment d2 was taken down."
    assert backend.deployments == {"d1"}
    assert take_down(ledger.get("ftjob-2")) is None


def unreachable(*_: object) -> None:
    raise MlflowException("API request failed with error code 503")
