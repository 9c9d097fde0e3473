"""The ledger: one attempt at a time whoever asks, and a record that is whole at every moment."""

import math
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning.backends import JobSettings, JobStatus, TunedModel
from llmops.finetuning.backends.backend import JobCheckpoint, JobEvent, MetricPoint
from llmops.finetuning.backends.settings import BedrockSettings
from llmops.finetuning.jobs import JobLedger, JobRecord
from llmops.finetuning.jobs.owner import JobOwner

DEAD = JobOwner(host=JobOwner.this_process().host, pid=os.getpid(), create_time=1.0)
"""A process of this number that began in 1970 is not the one that has it now."""


def test_a_job_is_on_the_disk_before_anything_is_sent(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job, flow_run_id="f1")
    assert record.id == record.token == f"llmops-{job['key'][:16]}-1"
    assert (record.state, record.job_id, record.attempt, record.flow_run_ids) == ("queued", None, 1, ["f1"])
    assert record.owner == JobOwner.this_process()
    stored = JobRecord.model_validate_json((ledger.folder / f"{record.id}.json").read_text())
    assert stored == record == ledger.get(record.id)


@pytest.mark.parametrize("state", ["queued", "running", "unknown", "succeeded"])
def test_the_same_command_goes_on_with_the_attempt_that_has_not_failed(
    ledger: JobLedger, job: dict[str, Any], state: str
) -> None:
    first = ledger.begin(**job, flow_run_id="f1")
    ledger.note(first.id, "training_file", "file-1")
    ledger.update(first.id, state=state, job_id="ftjob-1")
    again = ledger.begin(**job, flow_run_id="f2")
    assert (again.id, again.noted, again.job_id) == (first.id, {"training_file": "file-1"}, "ftjob-1")
    assert again.flow_run_ids == ["f1", "f2"]
    assert len(ledger.all()) == 1


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_after_one_that_failed_comes_a_new_attempt_with_its_own_token(
    ledger: JobLedger, job: dict[str, Any], state: str
) -> None:
    first = ledger.begin(**job)
    ledger.update(first.id, state=state, job_id="ftjob-1", noted={"training_file": "file-1"})
    second = ledger.begin(**job)
    assert second.token == f"llmops-{job['key'][:16]}-2"
    assert (second.attempt, second.job_id, second.noted) == (2, None, {})
    assert ledger.begin(**job).id == second.id
    assert ledger.all() == [second, ledger.get(first.id)]  # newest first


def test_a_deleted_job_is_not_gone_on_with(ledger: JobLedger, job: dict[str, Any]) -> None:
    first = ledger.begin(**job)
    ledger.update(first.id, state="succeeded", job_id="ftjob-1", deleted_at=datetime.now(UTC))
    assert ledger.begin(**job).attempt == 2


def test_its_settings_are_kept_for_whoever_asks_about_it(ledger: JobLedger, job: dict[str, Any]) -> None:
    role = JobSettings(bedrock=BedrockSettings(role_arn="arn:aws:iam::123456789012:role/tuning"))
    first = ledger.begin(**job, settings=role)
    assert JobLedger(ledger.folder).get(first.id).settings == role
    kept = role.model_copy(update={"keep_deployment": True})
    assert ledger.begin(**job, settings=kept).id == first.id
    assert ledger.get(first.id).settings == kept


def test_whether_a_provider_has_taken_it(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)
    assert not ledger.was_submitted(job["key"])
    ledger.update(record.id, state="failed", job_id="ftjob-1")
    assert ledger.was_submitted(job["key"]) and not ledger.was_submitted("0" * 64)


def test_two_keys_that_begin_alike_are_two_jobs(ledger: JobLedger, job: dict[str, Any]) -> None:
    other = {**job, "key": job["key"][:16] + "0" * 48}
    first, second = ledger.begin(**job), ledger.begin(**other)
    assert first.id != second.id
    assert (ledger.begin(**job).id, ledger.begin(**other).id) == (first.id, second.id)


def test_a_training_here_is_found_by_the_name_of_its_folder(ledger: JobLedger, job: dict[str, Any]) -> None:
    local = {**job, "backend": "local"}
    first = ledger.begin(**local, token="support-0123")
    assert first.token == "support-0123"
    ledger.update(first.id, state="succeeded", job_id="support-0123")
    assert ledger.begin(**local, token="support-0123").id == first.id
    assert ledger.get("support-0123").id == first.id
    # Other code trains into another folder: that is another job.
    assert ledger.begin(**local, token="support-4567").attempt == 2


def test_the_job_of_a_dead_process_is_taken_over_and_that_of_a_live_one_is_not(
    ledger: JobLedger, job: dict[str, Any]
) -> None:
    record = ledger.begin(**job)
    parent = JobOwner(host=DEAD.host, pid=os.getppid(), create_time=_create_time(os.getppid()))
    ledger.update(record.id, owner=parent)
    assert ledger.begin(**job).owner == parent
    ledger.update(record.id, owner=DEAD)
    assert ledger.begin(**job).owner == JobOwner.this_process()


def _create_time(pid: int) -> float:
    import psutil

    return psutil.Process(pid).create_time()


@pytest.mark.parametrize(
    ("changes", "abandoned"),
    [
        ({"backend": "local", "state": "running", "job_id": "x"}, True),
        ({"backend": "ollama", "state": "queued"}, True),
        ({"backend": "local", "state": "succeeded", "job_id": "x"}, False),
        ({"backend": "openai", "state": "running", "job_id": "ftjob-1"}, False),  # goes on at the provider
        ({"backend": "openai", "state": "queued"}, True),  # whether it was submitted is not known
    ],
)
def test_what_needs_a_process_is_unknown_when_that_has_died(
    ledger: JobLedger, job: dict[str, Any], changes: dict[str, Any], abandoned: bool
) -> None:
    record = ledger.begin(**job)
    left = ledger.update(record.id, **changes, owner=DEAD)
    assert left.abandoned is abandoned
    assert left.state_now == ("unknown" if abandoned else changes["state"])
    assert ledger.update(record.id, owner=JobOwner.this_process()).state_now == changes["state"]


def test_submission_is_dated_once(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)
    submitted = ledger.update(record.id, job_id="ftjob-1")
    assert submitted.submitted_at is not None
    assert record.created_at <= submitted.submitted_at <= datetime.now(UTC)
    assert ledger.update(record.id, job_id="ftjob-1").submitted_at == submitted.submitted_at


def test_every_field_comes_back_from_the_file(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)
    model = TunedModel(
        backend="openai", model="ft:gpt:1", base_model="gpt", job_id="ftjob-1", asked_as="openai/ft:gpt:1"
    )
    changed = ledger.update(
        record.id,
        model=model,
        cost=1.25,
        version="models:/support/3",
        mlflow_run_id="r",
        trained_tokens=10,
        seconds=2.5,
    )
    assert ledger.get(record.id) == changed
    assert changed.model == model


def test_a_diverged_loss_comes_back_from_the_file(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)
    status = JobStatus(
        state="failed",
        metrics=(MetricPoint(step=1, metrics={"loss": math.nan, "validation_loss": math.inf}),),
        checkpoints=(JobCheckpoint(step=1, model="c", metrics={"loss": math.nan}),),
    )
    ledger.observe(record.id, status)
    stored = ledger.get(record.id)
    assert math.isnan(stored.metrics["loss"])
    assert stored.metrics["validation_loss"] == math.inf
    assert math.isnan(stored.checkpoints[0].metrics["loss"])


def test_what_a_provider_tells_is_kept(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)
    ledger.update(record.id, job_id="ftjob-1")
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    event = JobEvent(id="e1", at=at, message="started")
    points = tuple(MetricPoint(step=step, metrics={"loss": 1 / step}) for step in (1, 2, 4))
    points += (MetricPoint(step=5, metrics={"validation_loss": 0.5}),)
    running = JobStatus(state="running", provider_state="running", events=(event,), metrics=points, created_at=at)
    kept = ledger.observe(record.id, running)
    assert (kept.state, kept.events, kept.finished_at) == ("running", (event,), None)
    assert kept.metrics == {"step": 5.0, "loss": 0.25, "validation_loss": 0.5}
    ended = running.model_copy(
        update={"state": "succeeded", "trained_tokens": 9, "finished_at": at + timedelta(minutes=3), "metrics": ()}
    )
    done = ledger.observe(record.id, ended)
    assert (done.state, done.trained_tokens, done.seconds) == ("succeeded", 9, 180.0)
    assert done.metrics == kept.metrics


def test_what_has_ended_stays_so(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)
    done = ledger.observe(record.id, JobStatus(state="succeeded", provider_state="succeeded"))
    for state in ("queued", "running", "unknown"):
        assert ledger.observe(record.id, JobStatus(state=state)) == done


def test_a_job_is_found_by_the_beginning_of_its_id_or_of_the_providers(ledger: JobLedger, job: dict[str, Any]) -> None:
    first = ledger.begin(**job)
    ledger.update(first.id, state="failed", job_id="ftjob-abc")
    second = ledger.begin(**job)
    for reference in (first.id, "ftjob-abc", "ftjob-a"):
        assert ledger.get(reference).id == first.id
    assert ledger.get(second.id[7:]).id == second.id
    with pytest.raises(InputError, match="may be any of 2 jobs"):
        ledger.get(first.id[:12])
    for reference in ("ftjob-x", ""):
        with pytest.raises(InputError, match="there is no job"):
            ledger.get(reference)


def test_jobs_of_a_flow_run(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job, flow_run_id="f1")
    ledger.begin(**{**job, "key": "0" * 64}, flow_run_id="f2")
    assert [one.id for one in ledger.of_flow_run("f1")] == [record.id]


@pytest.mark.parametrize("content", ["", "{", '{"id": 1}', '{"another": "program"}', "\x00"])
def test_a_file_that_is_no_record_is_named(ledger: JobLedger, job: dict[str, Any], content: str) -> None:
    record = ledger.begin(**job)
    file = ledger.folder / f"{record.id}.json"
    file.write_text(content)
    for ask in (ledger.all, lambda: ledger.begin(**job), lambda: ledger.update(record.id, cost=1.0)):
        with pytest.raises(InputError, match="is no job record") as error:
            ask()
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)
    assert file.read_text() == content


def test_a_record_under_another_name_is_refused(ledger: JobLedger, job: dict[str, Any]) -> None:
    file = ledger.folder / f"{ledger.begin(**job).id}.json"
    (ledger.folder / "llmops-0000000000000000-1.json").write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="record of another job"):
        ledger.all()


@pytest.mark.parametrize("id", ["../../etc/passwd", "llmops-x-1", "llmops-0123456789abcdef-1"])
def test_an_id_that_is_none_is_refused(ledger: JobLedger, id: str) -> None:
    with pytest.raises(InputError, match=r"no id of a job|there is no job"):
        ledger.update(id, cost=1.0)
