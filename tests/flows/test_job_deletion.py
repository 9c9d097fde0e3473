"""`llmops delete job`: what is gone afterwards, what stays, and what is not deleted at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from flows import job_deletion
from flows.job_commands import list_jobs
from flows.job_deletion import delete, delete_job
from llmops.errors import InputError, ServiceError
from llmops.finetuning.backends import BackendError, TunedModel
from llmops.finetuning.jobs import JobLedger, JobRecord, job_key, job_ledger
from tasks.hosted_models import find_hosted_model, reference_tags
from tasks.name_lock import name_lock
from tasks.promotion import roll_back
from tasks.search_trials import OF_SEARCH_TAG, TRIAL_TAG
from tasks.version_names import DELETED
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer, serving
from tests.flows.test_job_commands import begin, llmops

pytestmark = pytest.mark.service

MODEL = TunedModel(backend="openai", model="ft:m", base_model="b", job_id="ftjob-0", asked_as="openai/ft:m")


@pytest.fixture
def ledger(home: Path) -> JobLedger:
    return job_ledger()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FineTuningServer]:
    """OpenAI with a model that was tuned."""
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "a-key")
        server.models.add("ft:m")
        yield server


@pytest.fixture
def tuned(ledger: JobLedger, server: FineTuningServer) -> JobRecord:
    """A job at OpenAI that has made a version of `support`."""
    MlflowClient().create_registered_model("support")
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="succeeded", model=MODEL)
    MlflowClient().create_model_version("support", "x", tags=reference_tags(MODEL, record.settings))
    files = ledger.folder / "files" / record.key[:16]
    files.mkdir(parents=True)
    (files / "openai-train.jsonl").touch()
    return ledger.update(record.id, version="models:/support/1")


def test_the_model_is_deleted_there_and_the_record_says_so(
    ledger: JobLedger, server: FineTuningServer, tuned: JobRecord
) -> None:
    deleted, said = delete("ftjob-0")
    assert server.models == set()
    assert said == f"Deleted the model ft:m of job {tuned.id} (openai)."
    assert deleted.deleted_at is not None and ledger.get(tuned.id) == deleted
    assert not (ledger.folder / "files" / tuned.key[:16]).exists()
    assert [(row["state"], row["model"]) for row in list_jobs()] == [("succeeded", "deleted")]
    reference = find_hosted_model("models:/support/1")
    assert reference is not None and reference.model.asked_as is None
    asked = len(server.seen)
    assert "was deleted on " in delete(tuned.id)[1] and len(server.seen) == asked
    again = begin(ledger, "openai", f"{server.url}/v1")
    assert (again.attempt, again.model) == (2, None)


def test_a_champion_is_not_deleted(ledger: JobLedger, server: FineTuningServer, tuned: JobRecord) -> None:
    MlflowClient().set_registered_model_alias("support", "champion", "1")
    with pytest.raises(InputError, match="is champion of support: promote or roll back to another first"):
        delete(tuned.id)
    assert (server.models, ledger.get(tuned.id).deleted_at) == ({"ft:m"}, None)


def test_a_registry_that_does_not_answer_does_not_let_a_champion_go(
    ledger: JobLedger, server: FineTuningServer, tuned: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient().set_registered_model_alias("support", "champion", "1")

    def locked(*_: object) -> None:
        raise MlflowException("(sqlite3.OperationalError) database is locked", error_code=TEMPORARILY_UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "get_model_version_by_alias", locked)
        with pytest.raises(ServiceError, match="does not tell the champion of support"):
            delete(tuned.id)
    assert (server.models, ledger.get(tuned.id).deleted_at) == ({"ft:m"}, None)


def test_what_became_champion_while_the_name_was_waited_for_is_not_deleted(
    ledger: JobLedger, server: FineTuningServer, tuned: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record that was read before the name was held knows of no version yet."""
    ledger.update(tuned.id, version=None)

    @contextmanager
    def another_run_ends_first(name: str) -> Iterator[None]:
        ledger.update(tuned.id, version="models:/support/2")
        MlflowClient().create_model_version("support", "y")
        MlflowClient().set_registered_model_alias("support", "champion", "2")
        with name_lock(name):
            yield

    monkeypatch.setattr("tasks.name_lock.name_lock", another_run_ends_first)
    with pytest.raises(InputError, match="is champion of support"):
        delete(tuned.id)
    assert server.models == {"ft:m"}


def test_a_deleted_model_is_nothing_to_go_back_to(
    ledger: JobLedger, server: FineTuningServer, tuned: JobRecord
) -> None:
    MlflowClient().create_model_version("support", "y")
    MlflowClient().set_registered_model_alias("support", "champion", "2")
    MlflowClient().set_registered_model_alias("support", "previous", "1")
    delete(tuned.id)
    assert MlflowClient().get_model_version("support", "1").tags[DELETED] == "yes"
    assert MlflowClient().get_registered_model("support").aliases.keys() == {"champion"}
    with pytest.raises(InputError, match="has had no champion before version 2"):
        roll_back.fn("support")
    deleted = find_hosted_model("models:/support/1")
    assert deleted is not None
    with pytest.raises(InputError, match=r"models:/support/1 .* ft:m .* was deleted with llmops delete job") as error:
        deleted.require_answer()
    assert "keep-deployment" not in str(error.value)


def test_where_the_provider_cannot_be_reached_the_version_stays_as_it_is(
    ledger: JobLedger, server: FineTuningServer, tuned: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient().set_registered_model_alias("support", "previous", "1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="the environment here leads to http://127"):
        delete(tuned.id)
    assert MlflowClient().get_registered_model("support").aliases.keys() == {"previous"}
    assert DELETED not in MlflowClient().get_model_version("support", "1").tags


def test_weights_in_the_registry_can_still_be_gone_back_to(ledger: JobLedger, home: Path) -> None:
    """What was trained here lies in the registry as a whole; what goes is the training's folder."""
    folder = training(home)
    MlflowClient().create_registered_model("support")
    MlflowClient().create_model_version("support", "x")
    MlflowClient().set_registered_model_alias("support", "previous", "1")
    model = TunedModel(backend="local", model=str(folder), base_model="tiny", job_id=folder.name)
    made: dict[str, Any] = {"model": model, "version": "models:/support/1"}
    delete(begin(ledger, "local", job_id=folder.name, state="succeeded", **made).id)
    assert not folder.exists()
    assert MlflowClient().get_registered_model("support").aliases.keys() == {"previous"}
    assert DELETED not in MlflowClient().get_model_version("support", "1").tags


def test_a_job_that_has_not_ended_is_not_deleted(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="running")
    with pytest.raises(InputError, match=f"is running: llmops cancel job {record.id} first"):
        delete(record.id)


def test_a_provider_that_refuses_leaves_the_record(
    ledger: JobLedger, server: FineTuningServer, tuned: JobRecord
) -> None:
    server.faults.append(Fault("DELETE", "/ft:m", 403, {"error": {"message": "no permission"}}))
    with pytest.raises(BackendError, match="no permission"):
        delete(tuned.id)
    assert ledger.get(tuned.id).deleted_at is None
    assert delete(tuned.id)[0].deleted_at is not None


def test_of_a_hosted_job_without_a_model_it_says_what_stays_there(ledger: JobLedger, server: FineTuningServer) -> None:
    noted = {"approved": "2026-09-01", "training_file": "file-7", "job": "ftjob-0"}
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="cancelled", noted=noted)
    assert delete(record.id)[1] == (
        f"Deleted the files of job {record.id} on this machine; it has made no model. "
        "What it has uploaded stays at openai: file-7."
    )
    assert not server.seen


def training(home: Path, name: str = "support-0") -> Path:
    """The folder of a training that has ended."""
    folder = home / "training" / name
    folder.mkdir(parents=True)
    (folder / "result.json").touch()
    return folder


def trained_here(ledger: JobLedger, folder: Path, state: str = "succeeded", **changes: Any) -> JobRecord:
    """A job whose training is in that folder; in Ollama it is another job than here."""
    identity = {"backend": "local", "endpoint": "here", "base_model": "tiny", "name": "support", "dataset_digest": "d"}
    identity |= {name: changes.pop(name) for name in identity.keys() & changes.keys()}
    key = job_key(**identity, hyperparameters={})
    record = ledger.begin(key, **identity, dataset="support@1", hyperparameters={}, token=folder.name)
    if state == "succeeded":
        made = {"backend": identity["backend"], "model": str(folder / "model"), "base_model": "tiny"}
        changes["model"] = TunedModel(**made, job_id=folder.name)
    return ledger.update(record.id, job_id=folder.name, state=state, **changes)


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_a_training_here_goes_with_its_folder(ledger: JobLedger, home: Path, state: str) -> None:
    folder = training(home)
    record = trained_here(ledger, folder, state)
    said = delete(record.id)[1]
    assert said == (
        f"Deleted the model {folder / 'model'} of job {record.id} (local)."
        if state == "succeeded"
        else f"Deleted the training of job {record.id} in {folder}."
    )
    assert not folder.exists()


def test_a_cancelled_attempt_leaves_the_training_to_the_next_one(ledger: JobLedger, home: Path) -> None:
    folder = training(home)
    cancelled, succeeded = trained_here(ledger, folder, "cancelled"), trained_here(ledger, folder)
    assert (cancelled.attempt, succeeded.attempt) == (1, 2)
    deleted, said = delete(cancelled.id)
    assert deleted.deleted_at is not None
    assert folder.is_dir()
    assert said == (
        f"Job {cancelled.id} counts as deleted; its training in {folder} stays, because it is also that of "
        f"job {succeeded.id}."
    )
    assert "Deleted the model" in delete(succeeded.id)[1]
    assert not folder.exists()


def test_an_attempt_that_succeeded_takes_the_training_of_those_before_it_along(ledger: JobLedger, home: Path) -> None:
    folder = training(home)
    trained_here(ledger, folder, "cancelled")
    delete(trained_here(ledger, folder).id)
    assert not folder.exists()


@pytest.mark.parametrize("other", [{"name": "another"}, {"backend": "ollama"}], ids=["another name", "Ollama"])
def test_a_training_that_another_model_lives_on_stays(ledger: JobLedger, home: Path, other: dict[str, str]) -> None:
    folder = training(home)
    record, sharing = trained_here(ledger, folder), trained_here(ledger, folder, **other)
    assert f"is also that of job {sharing.id}." in delete(record.id)[1]
    assert folder.is_dir()


def trial(tags: dict[str, str]) -> str:
    """The MLflow run of a trial."""
    return str(MlflowClient().create_run("0", tags={OF_SEARCH_TAG: "support-f00", TRIAL_TAG: "3", **tags}).info.run_id)


@pytest.mark.parametrize("by", ["the search", "the job"])
def test_the_training_of_a_searchs_trial_stays(ledger: JobLedger, home: Path, by: str) -> None:
    """Whichever of the two has trained it and whichever has found it there."""
    folder = training(home)
    if by == "the search":
        run_id = trial({})
    else:
        run_id = MlflowClient().create_run("0").info.run_id
        # Of the pipeline that it is part of, not of a search.
        MlflowClient().create_run("0", tags={"training_run_id": run_id})
        trial({"training_run_id": run_id})
    (folder / "mlflow_run_id").write_text(run_id)
    record = trained_here(ledger, folder)
    assert "is also that of trial 3 of search support-f00." in delete(record.id)[1]
    assert folder.is_dir()


def test_what_is_trained_right_now_is_not_deleted(ledger: JobLedger, home: Path) -> None:
    folder = training(home)
    record = trained_here(ledger, folder)
    with FileLock(folder / "training.lock"), pytest.raises(InputError, match=f"{folder} is in use by another process"):
        delete(record.id)
    assert (folder / "result.json").is_file()
    assert ledger.get(record.id).deleted_at is None


class Person:
    """Standard input with somebody who answers."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return f"{self.answer}\n"

    def fileno(self) -> int:
        raise OSError


def test_without_a_persons_yes_nothing_is_deleted(
    ledger: JobLedger, server: FineTuningServer, tuned: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = llmops("delete", "job", tuned.id)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "cannot be undone: add --yes" in refused.stderr and refused.stderr.count("\n") == 1
    monkeypatch.setattr(job_deletion, "Terminal", QuietTerminal)
    monkeypatch.setattr("sys.stdin", Person("n"))
    assert delete_job(tuned.id, yes=False, json=False) == 2
    assert server.models == {"ft:m"}
    monkeypatch.setattr("sys.stdin", Person("y"))
    assert delete_job(tuned.id, yes=False, json=False) == 0
    assert server.models == set()


class QuietTerminal(job_deletion.Terminal):
    """The redirection of the libraries' output is for the life of a process."""

    def quiet_the_libraries(self, log: Path) -> None:
        pass


def test_the_command(server: FineTuningServer, tuned: JobRecord) -> None:
    done = llmops("delete", "job", tuned.id, "--yes", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["job"], told["deleted"] is not None) == (tuned.id, True)
    assert server.models == set()
