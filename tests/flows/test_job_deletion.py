"""`llmops delete job`: what is gone afterwards, what stays, and what is not deleted at all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from flows import job_deletion
from flows.job_commands import list_jobs
from flows.job_deletion import delete, delete_job
from llmops.errors import InputError
from llmops.finetuning.backends import BackendError, TunedModel
from llmops.finetuning.jobs import JobLedger, JobRecord, job_ledger
from tasks.hosted_models import find_hosted_model, reference_tags
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


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_a_training_here_goes_with_its_folder(ledger: JobLedger, home: Path, state: str) -> None:
    folder = home / "training" / "support-0"
    folder.mkdir(parents=True)
    (folder / "result.json").touch()
    model = TunedModel(backend="local", model=str(folder), base_model="tiny", job_id="support-0")
    made: dict[str, Any] = {"model": model} if state == "succeeded" else {}
    record = begin(ledger, "local", job_id="support-0", state=state, **made)
    said = delete(record.id)[1]
    assert ("the model" if made else "what it left") in said
    assert not folder.exists()


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
