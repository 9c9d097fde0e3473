"""`llmops delete job ID`: the model that a job has made, at the provider, and what it left on this machine."""

import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.job_commands import connected, said
from flows.terminal import Terminal
from llmops.errors import InputError, LlmopsError
from llmops.settings import settings

if TYPE_CHECKING:
    from llmops.finetuning.backends import FineTuningBackend, TunedModel
    from llmops.finetuning.jobs import JobRecord


def delete_job(reference: str, *, yes: bool, json: bool) -> int:
    """Delete what a job has made, after a person's yes, and return the exit status.

    Args:
        reference: as for `JobLedger.get`.
        yes: it is given already; without it a person is asked on the terminal.
        json: print one JSON object.
    """
    from llmops.finetuning.jobs import job_ledger

    terminal = Terminal(json=json)
    try:
        record = job_ledger().get(reference)
        terminal.quiet_the_libraries(settings().home / "logs" / "listings.log")
        _require_deletable(record)
        if record.deleted_at is None and not yes and not _agreed(terminal, record):
            raise InputError(f"job {record.id} was not deleted")
        return said(terminal, *delete(reference))
    except LlmopsError as error:
        terminal.error(str(error))
        return error.exit_status


def delete(reference: str) -> tuple["JobRecord", str]:
    """Delete the model of a job that has ended, what serves it, its training on this machine and its files.

    The record stays, and the registry's version, which nothing answers for any more.

    Raises:
        InputError: there is no such job, it has not ended, its model is champion, or a run works on that name.
        ServiceError: the provider does not heed it; the same again goes on.
    """
    from llmops.finetuning.jobs import job_ledger
    from tasks.name_lock import name_lock

    ledger = job_ledger()
    record = ledger.get(reference)
    if record.deleted_at is not None:
        return record, f"Job {record.id} was deleted on {record.deleted_at.astimezone():%Y-%m-%d %H:%M:%S}."
    with name_lock(record.name):
        # Nor may it become champion while it is deleted.
        _require_deletable(record)
        model = record.model or _left_behind(record)
        if model is not None:
            backend = _back_end(record)
            model = backend.undeploy(model)
            if record.model is not None:
                ledger.update(record.id, model=model)
            backend.delete(model)
        shutil.rmtree(ledger.folder / "files" / record.key[:16], ignore_errors=True)
        if record.version is not None and model is not None:
            _note_in_the_registry(record.version)
        record = ledger.update(record.id, deleted_at=datetime.now(UTC))
    what = f"the model {model.model}" if model is not None and model.model else "what it left"
    return record, f"Deleted {what} of job {record.id} ({record.backend})."


def _agreed(terminal: Terminal, record: "JobRecord") -> bool:
    if not sys.stdin.isatty():
        raise InputError(f"deleting job {record.id} cannot be undone: add --yes")
    model = f"model {record.model.model}" if record.model else "files"
    question = f"Delete the {model} of job {record.id} at {record.backend} for good? [y/N] "
    return terminal.err.input(question, markup=False).strip().lower() in ("y", "yes")


def _require_deletable(record: "JobRecord") -> None:
    if not record.ended:
        raise InputError(f"job {record.id} is {record.state_now}: llmops cancel job {record.id} first")
    if record.version is None:
        return
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    name, _, number = record.version.removeprefix("models:/").rpartition("/")
    try:
        champion = MlflowClient().get_model_version_by_alias(name, "champion")
    except MlflowException:
        return
    if str(champion.version) == number:
        raise InputError(f"the model of job {record.id} is champion of {name}: promote or roll back to another first")


def _note_in_the_registry(version: str) -> None:
    """A reference to a hosted model is asked by nobody any more; weights that were registered stay what they are."""
    from mlflow import MlflowClient

    from tasks.hosted_models import find_hosted_model, serving_tags

    if (hosted := find_hosted_model(version)) is not None:
        gone = hosted.model.model_copy(update={"asked_as": None, "deployment": None})
        for tag, value in serving_tags(gone).items():
            MlflowClient().set_model_version_tag(hosted.name, hosted.version, tag, value)


def _left_behind(record: "JobRecord") -> "TunedModel | None":
    """The training on this machine of a job that has made no model."""
    from llmops.finetuning.backends import TunedModel
    from llmops.finetuning.jobs import TRAINED_HERE

    if record.backend not in TRAINED_HERE or record.job_id is None:
        return None
    return TunedModel(backend=record.backend, model="", base_model=record.base_model, job_id=record.job_id)


def _back_end(record: "JobRecord") -> "FineTuningBackend":
    from llmops.finetuning.jobs import TRAINED_HERE
    from tasks.hosted_models import back_end

    return back_end(record.backend, record.settings) if record.backend in TRAINED_HERE else connected(record)
