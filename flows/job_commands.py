"""`llmops list jobs`, `llmops show job ID`, `llmops cancel job ID`: fine-tuning jobs, wherever they run.

`flows.job_deletion` has `llmops delete job ID`.
"""

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from flows.terminal import Terminal
from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.settings import settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llmops.finetuning.backends import FineTuningBackend
    from llmops.finetuning.jobs import JobRecord
    from llmops.finetuning.jobs.owner import JobOwner

Row = dict[str, Any]
SHOWN_EVENTS = 10
STOPPING_SECONDS = 15.0
"""How long a process is given to end after each of the two signals that ask it to."""


def list_jobs() -> list[Row]:
    """Every job, the newest first; asks no provider."""
    from llmops.finetuning.jobs import job_ledger

    return [
        {
            "job": record.id,
            "backend": record.backend,
            "base model": record.base_model,
            "dataset": record.dataset,
            "state": record.state_now,
            "submitted": record.submitted_at,
            "cost": record.cost,
            "model": _model(record),
        }
        for record in job_ledger().all()
    ]


def jobs_table(rows: list[Row]) -> "RenderableType":
    """The same for a person, one line a job: what is too wide is cut off, but never an id."""
    from rich.table import Table
    from rich.text import Text

    from flows.listings import cell

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        heading = Text(column, no_wrap=True, overflow="ellipsis")
        table.add_column(heading, no_wrap=column in ("job", "state", "submitted"))
    for row in rows:
        when = row["submitted"]
        shown = row | {
            "base model": _last_part(row["base model"]),
            "submitted": f"{when.astimezone():%m-%d %H:%M}" if when else None,
            "model": _last_part((row["model"] or "").removeprefix("models:/")),
        }
        table.add_row(*(Text(cell(value), no_wrap=True, overflow="ellipsis") for value in shown.values()))
    return table


def _last_part(model: str) -> str:
    """A folder's own name; any other name as it is."""
    return model.rpartition("/")[2] if model.startswith("/") else model


def show_job(reference: str) -> Row:
    """One job in full, as its provider tells it now or, where that cannot be asked, as it told it last."""
    from llmops.finetuning.jobs import job_ledger

    record, note = _refreshed(job_ledger().get(reference))
    model = record.model.model_dump(exclude_none=True) if record.model else None
    return {
        "job": record.id,
        "state": record.state_now,
        "note": note,
        "reason": record.reason,
        "backend": record.backend,
        "endpoint": record.endpoint,
        "provider_id": record.job_id,
        "provider_state": record.provider_state or None,
        "attempt": record.attempt,
        "base_model": record.base_model,
        "name": record.name,
        "dataset": record.dataset,
        "created": record.created_at,
        "submitted": record.submitted_at,
        "finished": record.finished_at,
        "deleted": record.deleted_at,
        "seconds": record.seconds,
        "trained_tokens": record.trained_tokens,
        "cost": record.cost,
        "version": record.version,
        "mlflow_run_id": record.mlflow_run_id,
        "flow_run_ids": record.flow_run_ids,
        "hyperparameters": record.hyperparameters,
        "estimate": record.estimate.model_dump(exclude_none=True),
        "metrics": record.metrics,
        "model": model,
        "checkpoints": [{"step": one.step, "model": one.model, **one.metrics} for one in record.checkpoints],
        "events": [{"at": one.at, "level": one.level, "message": one.message} for one in record.events],
    }


def described_job(content: Row) -> "list[RenderableType]":
    """The same for a person: what is known, and the latest events."""
    from flows.listings import described

    told = {name.replace("_", " "): value for name, value in content.items() if value not in (None, [], {})}
    if len(content["events"]) > SHOWN_EVENTS:
        told.pop("events")
        heading = f"events (the latest of {len(content['events'])}; --json has them all)"
        told[heading] = content["events"][-SHOWN_EVENTS:]
    return described(told)


def cancel_job(reference: str, *, json: bool) -> int:
    """Stop a job, ask nobody, and return the exit status: 0 also where it has ended already."""
    terminal = Terminal(json=json)
    if settings().home.is_dir():
        terminal.quiet_the_libraries(settings().home / "logs" / "listings.log")
    try:
        record, message = cancel(reference)
    except LlmopsError as error:
        terminal.error(str(error))
        return error.exit_status
    return said(terminal, record, message)


def said(terminal: Terminal, record: "JobRecord", message: str) -> int:
    """Print what was done to a job, and return the exit status."""
    if terminal.json:
        told = {"job": record.id, "state": record.state_now, "deleted": record.deleted_at, "message": message}
        terminal.print_json(to_json(told).decode())
    else:
        terminal.out.print(message, markup=False, soft_wrap=True)
    return 0


def cancel(reference: str) -> tuple["JobRecord", str]:
    """Stop a job where it runs; the record as it is then, and a sentence on what was done.

    Raises:
        InputError: there is no such job, it cannot be stopped from here, or a run works with what serves its model.
        ServiceError: the provider, or the process that trains, does not heed it.
    """
    from llmops.finetuning.backends import BackendError, JobStatus
    from llmops.finetuning.jobs import TRAINED_HERE, job_ledger

    ledger = job_ledger()
    record = ledger.get(reference)
    if record.ended:
        when = f" on {record.finished_at.astimezone():%Y-%m-%d %H:%M:%S}" if record.finished_at else ""
        down = _take_down(record)
        message = f"Job {record.id} has ended already: it {_ENDED[record.state]}{when}."
        return ledger.get(record.id), f"{message} {down}" if down else message
    if record.backend in TRAINED_HERE:
        return _cancelled_here(record)
    if record.job_id is None:
        if not record.abandoned or record.may_be_submitted:
            raise InputError(_not_submitted(record))
        record = ledger.observe(record.id, JobStatus(state="cancelled", reason="llmops cancel job"))
        return record, f"Job {record.id} was never submitted: it {_ENDED[record.state]}."
    backend = connected(record)
    try:
        backend.cancel(record.job_id)
    except BackendError as error:
        if error.kind != "missing":
            raise
    was_unknown = record.state == "unknown"
    record = ledger.observe(record.id, backend.status(record.job_id))
    if record.ended:
        return record, f"Job {record.id} at {record.backend}: it {_ENDED[record.state]}."
    if record.state == "unknown":
        nobody = f"{record.backend} at {record.endpoint} knows no job {record.job_id} (any more)"
        if not was_unknown:
            # Right after its creation some providers do not know a job yet.
            raise ServiceError(f"{nobody}: the same command again gives it up")
        record = ledger.observe(record.id, JobStatus(state="cancelled", reason=f"given up: {nobody}"))
        return record, f"Gave job {record.id} up: {nobody}; the same fine-tuning starts a new attempt."
    now = record.provider_state or record.state
    return record, f"Asked {record.backend} to cancel job {record.id}; it is {now} there until it has stopped."


def _take_down(record: "JobRecord") -> str | None:
    """Take down what serves the model of a job that has ended, while nobody can make that champion."""
    from llmops.finetuning.jobs import job_ledger

    if record.model is None or record.model.deployment is None:
        return None
    from tasks.deployments import take_down
    from tasks.name_lock import name_lock

    with name_lock(record.name):
        return take_down(job_ledger().get(record.id), by_hand=True)


def _model(record: "JobRecord") -> str | None:
    if record.deleted_at is not None:
        return "deleted"
    if record.version or record.model is None:
        return record.version
    return record.model.asked_as or record.model.model


def connected(record: "JobRecord") -> "FineTuningBackend":
    """The back end of a job.

    Raises:
        InputError: it cannot be asked from here.
    """
    from llmops.finetuning.backends import connect_backend

    backend = connect_backend(record.backend, record.settings)
    if backend.endpoint != record.endpoint:
        raise InputError(f"the job is at {record.endpoint}, and the environment here leads to {backend.endpoint}")
    return backend


def _refreshed(record: "JobRecord") -> tuple["JobRecord", str | None]:
    """The record with what the provider tells now, and a word where it cannot be asked."""
    from llmops.finetuning.jobs import TRAINED_HERE, job_ledger

    if record.ended:
        return record, None
    if record.abandoned:
        return record, "nobody works on it, its process has died: run the same command again to go on"
    if record.backend in TRAINED_HERE:
        return record, _owner(record)
    if record.job_id is None:
        return record, f"it is not submitted yet; {_owner(record)}"
    try:
        status = connected(record).status(record.job_id)
    except LlmopsError as error:
        return record, f"as it was told last, the provider cannot be asked: {error}"
    return job_ledger().observe(record.id, status), None


def _owner(record: "JobRecord") -> str:
    owner = record.owner
    assert owner is not None  # nobody's job is abandoned
    return f"process {owner.pid} on {owner.host} works on it"


_ENDED = {"succeeded": "has succeeded", "failed": "has failed", "cancelled": "was cancelled"}


def _not_submitted(record: "JobRecord") -> str:
    # Calling it cancelled could leave a job behind that nobody knows of, and that is paid for.
    if record.abandoned:
        advice = "run the same command again, which finds out and goes on, and cancel it then"
        return f"job {record.id}: its process died before it was known to be submitted; {advice}"
    return f"job {record.id} is not submitted yet; {_owner(record)}: interrupt that, or cancel when it is submitted"


def _cancelled_here(record: "JobRecord") -> tuple["JobRecord", str]:
    """Interrupt the process that trains; one that is not on this machine cannot be."""
    from llmops.finetuning.jobs import job_ledger

    ledger, owner = job_ledger(), record.owner
    if owner is not None and not owner.here:
        raise InputError(f"job {record.id} runs on {owner.host}: cancel it there (process {owner.pid})")
    if owner is not None:
        # What a shell has started in the background ignores the first of the two.
        for number in (signal.SIGINT, signal.SIGTERM):
            _interrupt(record, owner, number)
        if owner.alive() and not ledger.get(record.id).ended:
            raise ServiceError(f"process {owner.pid}, which trains job {record.id}, was told to end and has not")
    record = ledger.get(record.id)
    if not record.ended:
        from llmops.finetuning.backends import JobStatus

        record = ledger.observe(record.id, JobStatus(state="cancelled", reason="llmops cancel job"))
    return record, f"Job {record.id}: it {_ENDED[record.state]}."


def _interrupt(record: "JobRecord", owner: "JobOwner", number: signal.Signals) -> None:
    """Send a process a signal and give it time to end, or to end the job at least."""
    from llmops.finetuning.jobs import job_ledger

    if not owner.alive() or job_ledger().get(record.id).ended:
        return
    try:
        os.kill(owner.pid, number)
    except PermissionError as error:
        raise InputError(f"process {owner.pid}, which trains job {record.id}, is another user's") from error
    except ProcessLookupError:
        return  # it has ended in this moment
    patience = time.monotonic() + STOPPING_SECONDS
    while owner.alive() and not job_ledger().get(record.id).ended and time.monotonic() < patience:
        time.sleep(0.05)
