"""`llmops delete job ID`: the model that a job has made, at the provider, and what it left on this machine."""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.job_commands import connected, said
from flows.terminal import Terminal
from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.settings import settings

if TYPE_CHECKING:
    from llmops.finetuning.backends import FineTuningBackend
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
        return said(terminal, *delete(record.id))
    except LlmopsError as error:
        terminal.error(str(error))
        return error.exit_status


def delete(reference: str) -> tuple["JobRecord", str]:
    """Delete the model of a job that has ended, what serves it, its training on this machine and its files.

    The record stays, and the registry's version; where that only refers to the model it can no longer be asked or
    rolled back to. A training on this machine that another job or a search has as well stays with them.

    Raises:
        InputError: there is no such job, it has not ended, its model is champion, or a run works on that name or in
            that training.
        ServiceError: the provider, or the registry, does not heed it; the same again goes on.
    """
    from llmops.finetuning.jobs import job_ledger
    from tasks.name_lock import name_lock

    ledger = job_ledger()
    record = ledger.get(reference)
    with name_lock(record.name):
        # As it is now that nobody else works on it; nor may it become champion while it is deleted.
        record = ledger.get(record.id)
        if record.deleted_at is not None:
            return record, f"Job {record.id} was deleted on {record.deleted_at.astimezone():%Y-%m-%d %H:%M:%S}."
        _require_deletable(record)
        said = _delete_what_it_made(record)
        shutil.rmtree(ledger.folder / "files" / record.key[:16], ignore_errors=True)
        return ledger.update(record.id, deleted_at=datetime.now(UTC)), said


def _delete_what_it_made(record: "JobRecord") -> str:
    """The same without what is the same for every job; what was done, in a sentence or two."""
    from llmops.finetuning.backends.training_folder import remove_training
    from llmops.finetuning.jobs import TRAINED_HERE, job_ledger

    trained_here = record.backend in TRAINED_HERE and record.job_id is not None
    folder = settings().home / "training" / str(record.job_id)
    also_of = _also_of(record, folder) if trained_here else None
    if record.model is not None:
        backend = _back_end(record)
        if record.version is not None:
            _withdraw(record.version)  # first, so that after a crash no rollback leads to what is gone
        model = backend.undeploy(record.model)
        job_ledger().update(record.id, model=model)
        if also_of is None:
            backend.delete(model)
            return f"Deleted the model {model.model} of job {record.id} ({record.backend})."
    if also_of is not None:
        done = f"Job {record.id} counts as deleted{', and Ollama has it no more' if record.backend == 'ollama' else ''}"
        return f"{done}; its training in {folder} stays, because it is also that of {also_of}."
    if trained_here:
        remove_training(folder)
        return f"Deleted the training of job {record.id} in {folder}."
    uploaded = ", ".join(value for name, value in record.noted.items() if name.endswith("_file"))
    stays = f" What it has uploaded stays at {record.backend}: {uploaded}." if uploaded else ""
    return f"Deleted the files of job {record.id} on this machine; it has made no model.{stays}"


def _agreed(terminal: Terminal, record: "JobRecord") -> bool:
    if not sys.stdin.isatty():
        raise InputError(f"deleting job {record.id} cannot be undone: add --yes")
    model = f"model {record.model.model}" if record.model else "files"
    question = f"Delete the {model} of job {record.id} at {record.backend} for good? [y/N] "
    return terminal.err.input(question, markup=False).strip().lower() in ("y", "yes")


def _require_deletable(record: "JobRecord") -> None:
    """Refuse a job that goes on, and the champion's.

    Raises:
        InputError: it is one of these.
        ServiceError: the registry does not tell who is champion.
    """
    from tasks.deployments import serves_as_champion
    from tasks.registry import version_at
    from tasks.version_names import CHAMPION

    if not record.ended:
        raise InputError(f"job {record.id} is {record.state_now}: llmops cancel job {record.id} first")
    if record.model is None:
        return
    champion = version_at(record.name, CHAMPION)
    registered = champion is not None and record.version == f"models:/{record.name}/{champion.version}"
    # A job of Ollama's has a version for each way in which its model was imported.
    if registered or serves_as_champion(record.name, record.model):
        refused = f"the model of job {record.id} is champion of {record.name}"
        raise InputError(f"{refused}: promote or roll back to another first")


def _withdraw(uri: str) -> None:
    """Let nobody ask a version that refers to a model elsewhere, nor roll back to it; registered weights stay usable.

    Raises:
        ServiceError: the registry does not answer.
    """
    from mlflow import MlflowClient

    from tasks.hosted_models import find_hosted_model, serving_tags
    from tasks.registry import version_at
    from tasks.version_names import DELETED, PREVIOUS

    if (hosted := find_hosted_model(uri)) is None:
        return
    client = MlflowClient()
    gone = hosted.model.model_copy(update={"asked_as": None, "deployment": None})
    for tag, value in {DELETED: "yes", **serving_tags(gone)}.items():
        client.set_model_version_tag(hosted.name, hosted.version, tag, value)
    previous = version_at(hosted.name, PREVIOUS)
    if previous is not None and str(previous.version) == hosted.version:
        client.delete_registered_model_alias(hosted.name, PREVIOUS)


def _also_of(record: "JobRecord", folder: Path) -> str | None:
    """Which other job, or which trial of a search, has the same training; an attempt leaves it to the next one."""
    from llmops.finetuning.jobs import job_ledger

    for other in job_ledger().all():
        before = other.key == record.key and other.attempt <= record.attempt
        if other.token == folder.name and other.deleted_at is None and not before:
            return f"job {other.id}"
    return _trial_of(folder)


def _trial_of(folder: Path) -> str | None:
    """The trial that has trained in a folder, or has found its training there.

    Raises:
        ServiceError: MLflow does not tell.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from tasks.search_trials import OF_SEARCH_TAG, TRIAL_TAG

    note = folder / "mlflow_run_id"
    if not note.is_file():
        return None
    client = MlflowClient()
    try:
        run = client.get_run(note.read_text())
        reused = f"tags.training_run_id = '{run.info.run_id}' and tags.`{OF_SEARCH_TAG}` LIKE '%'"
        found = [run, *client.search_runs([run.info.experiment_id], reused, max_results=1)]
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        untold = f"MLflow does not tell whether a search has the training in {folder}"
        raise ServiceError(f"{untold}: {error.message}") from error
    tags = next((one.data.tags for one in found if OF_SEARCH_TAG in one.data.tags), None)
    return f"trial {tags[TRIAL_TAG]} of search {tags[OF_SEARCH_TAG]}" if tags else None


def _back_end(record: "JobRecord") -> "FineTuningBackend":
    """Where the model of a job is.

    Raises:
        InputError: the environment leads to another endpoint.
    """
    from llmops.finetuning.jobs import TRAINED_HERE
    from tasks.hosted_models import back_end, require_endpoint

    if record.model is None or record.backend not in TRAINED_HERE:
        return connected(record)
    return require_endpoint(record.model, back_end(record.backend, record.settings))
