"""`llmops list jobs`, `show job` and `cancel job`, over jobs of this machine and of a server with OpenAI's API."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows import job_commands
from flows.job_commands import cancel, jobs_table, list_jobs, show_job
from llmops.errors import InputError, ServiceError
from llmops.finetuning.backends import BackendError, Estimate, TunedModel
from llmops.finetuning.jobs import JobLedger, JobRecord, job_key
from llmops.finetuning.jobs.owner import JobOwner
from llmops.settings import settings
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer, serving

PROJECT = Path(__file__).parents[2]
ME = JobOwner.this_process()
DEAD = ME.model_copy(update={"create_time": 1.0})


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobLedger]:
    """The ledger of an empty home."""
    monkeypatch.setenv("LLMOPS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield JobLedger(tmp_path / "home" / "jobs")
    settings.cache_clear()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FineTuningServer]:
    """A provider with one running job, which the SDK's variables name."""
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        server.jobs["ftjob-0"] = {
            "id": "ftjob-0", "object": "fine_tuning.job", "created_at": 1_790_000_000, "status": "running",
            "result_files": [], "fine_tuned_model": None, "organization_id": "org", "hyperparameters": {},
            "model": "gpt-4.1-mini-2025-04-14", "training_file": "file-0", "seed": 0,
        }  # fmt: skip
        server.tell("ftjob-0", "Created fine-tuning job")
        server.tell("ftjob-0", "Step 1/9", {"step": 1, "train_loss": 0.75})
        yield server


def begin(ledger: JobLedger, backend: str, endpoint: str = "this machine", **changes: Any) -> JobRecord:
    identity = {
        "backend": backend,
        "endpoint": endpoint,
        "base_model": "gpt-4.1-mini",
        "name": "support",
        "dataset_digest": "d" * 64,
        "hyperparameters": {"n_epochs": 2},
    }
    estimate = Estimate(tokens=1000, cost=0.005, basis="500 tokens x 2 epochs x $5 a million")
    record = ledger.begin(job_key(**identity), dataset="support@3", estimate=estimate, **identity)
    return ledger.update(record.id, **changes)


def llmops(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)


def test_jobs_are_listed_newest_first_and_nobody_is_asked(ledger: JobLedger, server: FineTuningServer) -> None:
    hosted = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="running")
    model = TunedModel(backend="local", model="/m", base_model="tiny", job_id="x")
    done = begin(ledger, "local", state="succeeded", model=model, version="models:/support/3", cost=0.0)
    lost = begin(ledger, "ollama", state="running", owner=DEAD)
    rows = list_jobs()
    assert [(row["job"], row["backend"], row["state"], row["cost"], row["model"]) for row in rows] == [
        (lost.id, "ollama", "unknown", None, None),
        (done.id, "local", "succeeded", 0.0, "models:/support/3"),
        (hosted.id, "openai", "running", None, None),
    ]
    assert rows[2]["submitted"] == hosted.submitted_at
    assert not server.seen


def test_a_job_is_shown_as_its_provider_tells_it_now(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0")
    shown = show_job("ftjob-0")
    assert (shown["job"], shown["state"], shown["provider_state"], shown["note"]) == (
        *(record.id, "running", "running"),
        None,
    )
    assert shown["metrics"] == {"step": 1.0, "loss": 0.75}
    assert [event["message"] for event in shown["events"]] == ["Created fine-tuning job"]
    assert (shown["hyperparameters"], shown["estimate"]["cost"]) == ({"n_epochs": 2}, 0.005)
    server.jobs["ftjob-0"] |= {"status": "failed", "error": {"code": "e", "message": "bad file", "param": None}}
    assert (show_job(record.id)["state"], "bad file" in show_job(record.id)["reason"]) == ("failed", True)
    assert ledger.get(record.id).state == "failed"


def test_a_provider_that_cannot_be_asked_leaves_what_it_told_last(
    ledger: JobLedger, server: FineTuningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = begin(ledger, "openai", "https://another/v1", job_id="ftjob-0", state="running")
    shown = show_job(elsewhere.id)
    assert shown["state"] == "running"
    assert "the provider cannot be asked: the job is at https://another/v1, and the environment" in shown["note"]
    here = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="running")
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert "backend openai has no key" in show_job(here.id)["note"]
    assert not server.seen


@pytest.mark.parametrize(
    ("backend", "owner", "state", "note"),
    [
        ("local", DEAD, "unknown", "its process has died: run the same command again to go on"),
        ("local", ME, "running", f"process {ME.pid} on {ME.host} works on it"),
        ("openai", DEAD, "unknown", "its process has died: run the same command again to go on"),
        ("openai", ME, "running", f"it is not submitted yet; process {ME.pid}"),
    ],
    ids=["local, dead", "local, alive", "openai, dead", "openai, alive"],
)
def test_who_works_on_a_job_is_said(ledger: JobLedger, backend: str, owner: JobOwner, state: str, note: str) -> None:
    record = begin(ledger, backend, state="running", owner=owner)
    shown = show_job(record.id)
    assert shown["state"] == state
    assert note in shown["note"]


def test_a_job_is_cancelled_at_its_provider(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="running")
    cancelled, said = cancel("ftjob-0")
    assert cancelled.state == ledger.get(record.id).state == server.jobs["ftjob-0"]["status"] == "cancelled"
    assert said == f"Job {record.id} at openai: it was cancelled."
    asked = len(server.seen)
    assert "has ended already: it was cancelled on " in cancel(record.id)[1]
    assert len(server.seen) == asked


def test_a_job_that_has_ended_there_is_not_called_cancelled(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="running")
    server.jobs["ftjob-0"] |= {"status": "succeeded", "fine_tuned_model": "ft:m"}
    cancelled, said = cancel(record.id)
    assert (cancelled.state, said) == ("succeeded", f"Job {record.id} at openai: it has succeeded.")


def test_what_may_have_been_submitted_is_not_called_cancelled(ledger: JobLedger) -> None:
    record = begin(ledger, "openai", owner=DEAD, noted={"approved": "2026-09-01", "training_file": "file-0"})
    with pytest.raises(InputError, match="run the same command again, which finds out"):
        cancel(record.id)
    assert ledger.get(record.id) == record
    ledger.update(record.id, owner=ME)
    with pytest.raises(InputError, match="not submitted yet; process"):
        cancel(record.id)


@pytest.mark.parametrize("noted", [{}, {"approved": "2026-09-01"}])
def test_what_was_never_submitted_is_cancelled_at_once(ledger: JobLedger, noted: dict[str, str]) -> None:
    record = begin(ledger, "openai", owner=DEAD, noted=noted)
    cancelled, said = cancel(record.id)
    assert (cancelled.state, said) == ("cancelled", f"Job {record.id} was never submitted: it was cancelled.")
    assert begin(ledger, "openai").attempt == 2


def test_a_job_is_one_line_at_a_hundred_columns(ledger: JobLedger) -> None:
    model = TunedModel(backend="local", model="/m", base_model="t", job_id="x", asked_as="/a/b" * 20 + "/fine-tuned-1")
    long = {"base_model": "/models/" + "deep/" * 20 + "tiny", "cost": 0.0, "model": model, "state": "succeeded"}
    record = begin(ledger, "anthropic", dataset="a-dataset-of-a-long-name@12", job_id="x", **long)
    console = Console(width=100, file=io.StringIO())
    console.print(jobs_table(list_jobs()))
    heading, line = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert line.startswith(f"{record.id}  ") and "tiny" in line and "succeeded" in line and "/models" not in line
    assert max(map(len, (heading, line))) <= 100


def test_a_provider_that_refuses_is_reported(
    ledger: JobLedger, server: FineTuningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="running")
    server.faults.append(Fault("POST", "/cancel", 401, {"error": {"message": "no such key"}}))
    with pytest.raises(BackendError) as error:
        cancel(record.id)
    assert error.value.kind == "credentials"
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(InputError, match="no key"):
        cancel(record.id)
    assert ledger.get(record.id) == record


def test_a_job_that_the_provider_has_forgotten_is_unknown(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-9", state="running")
    with pytest.raises(ServiceError, match=r"knows no job ftjob-9 \(any more\): the same command again gives it up"):
        cancel(record.id)
    assert ledger.get(record.id).state == "unknown"
    given_up, said = cancel(record.id)
    assert (given_up.state, given_up.reason is not None and "given up" in given_up.reason) == ("cancelled", True)
    assert "the same fine-tuning starts a new attempt" in said
    assert begin(ledger, "openai", f"{server.url}/v1").attempt == 2


TRAINER = """
import signal, sys, time
from llmops.finetuning.jobs import job_ledger
from llmops.finetuning.jobs.owner import JobOwner
signal.signal(signal.SIGINT, {})
job_ledger().update(sys.argv[1], owner=JobOwner.this_process())
print("training", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("handler", "ended_by"), [("signal.default_int_handler", signal.SIGINT), ("signal.SIG_IGN", signal.SIGTERM)]
)
def test_a_training_here_is_interrupted(
    ledger: JobLedger, handler: str, ended_by: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_commands, "STOPPING_SECONDS", 2.0 if ended_by == signal.SIGINT else 0.2)
    record = begin(ledger, "local", state="running", job_id="support-0")
    command = [sys.executable, "-c", TRAINER.format(handler), record.id]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    cancelled, said = cancel(record.id)
    assert process.wait(10) == -ended_by
    assert (cancelled.state, said) == ("cancelled", f"Job {record.id}: it was cancelled.")
    assert ledger.get(record.id).finished_at is not None


def test_a_training_whose_process_has_died_is_cancelled_and_another_process_is_left_alone(ledger: JobLedger) -> None:
    """This very process has the number that is in the record, but is another one."""
    record = begin(ledger, "local", state="running", owner=DEAD)
    assert cancel(record.id)[0].state == "cancelled"


def test_a_training_elsewhere_is_cancelled_there(ledger: JobLedger) -> None:
    elsewhere = DEAD.model_copy(update={"host": "another-machine"})
    record = begin(ledger, "local", state="running", owner=elsewhere)
    with pytest.raises(InputError, match="runs on another-machine: cancel it there"):
        cancel(record.id)


def test_a_process_that_does_not_end_is_said(ledger: JobLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    record = begin(ledger, "local", state="running", owner=ME)
    monkeypatch.setattr(job_commands, "STOPPING_SECONDS", 0.1)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *what: sent.append(what))
    with pytest.raises(ServiceError, match="was told to end and has not"):
        cancel(record.id)
    assert sent == [(ME.pid, signal.SIGINT), (ME.pid, signal.SIGTERM)]
    assert ledger.get(record.id).state == "running"


def test_the_commands_as_a_person_runs_them(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0", state="running")
    listed = llmops("list", "jobs", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    (row,) = json.loads(listed.stdout)["jobs"]
    assert (row["job"], row["base model"], row["state"]) == (record.id, "gpt-4.1-mini", "running")
    table = llmops("list", "jobs").stdout
    header = table.splitlines()[0].split()
    assert " ".join(header) == "job backend base model dataset state submitted cost model"
    assert record.id in table
    for number in range(12):
        server.tell("ftjob-0", f"message {number}")
    text = llmops("show", "job", record.id[:12]).stdout
    for part in (record.id, "ftjob-0", "n_epochs", "500 tokens x 2 epochs", "message 11", "the latest of 13; --json"):
        assert part in text
    assert "message 1\n" not in text
    assert len(json.loads(llmops("show", "job", "ftjob-0", "--json").stdout)["events"]) == 13
    cancelled = llmops("cancel", "job", "ftjob-0", "--json")
    assert json.loads(cancelled.stdout)["state"] == "cancelled"


def test_errors_are_one_line_and_have_the_status_of_their_kind(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-9", state="running")
    for arguments, status, says in (
        (["show", "job", "nothing"], 2, "there is no job 'nothing'"),
        (["cancel", "job", "nothing"], 2, "there is no job 'nothing'"),
        (["cancel", "job", record.id], 3, "ftjob-9"),
    ):
        done = llmops(*arguments)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert says in done.stderr


def test_a_broken_record_is_named(ledger: JobLedger) -> None:
    ledger.folder.mkdir(parents=True)
    (ledger.folder / "llmops-0123456789abcdef-1.json").write_text("{")
    done = llmops("list", "jobs")
    assert (done.returncode, done.stdout) == (2, "")
    assert "llmops-0123456789abcdef-1.json is no job record" in done.stderr


def test_the_time_of_the_end_is_that_of_the_provider(ledger: JobLedger, server: FineTuningServer) -> None:
    record = begin(ledger, "openai", f"{server.url}/v1", job_id="ftjob-0")
    server.jobs["ftjob-0"] |= {"status": "succeeded", "fine_tuned_model": "ft:m", "finished_at": 1_790_000_090}
    shown = show_job(record.id)
    assert (shown["seconds"], shown["finished"]) == (90.0, datetime.fromtimestamp(1_790_000_090, UTC))
