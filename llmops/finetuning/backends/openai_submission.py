"""Start a fine-tuning job behind OpenAI's API exactly once: files and job are looked for before they are made."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops.finetuning.backends.backend import BackendError, TuningRequest, Waiting
from llmops.finetuning.backends.openai_service import OpenAIService, asked_to_wait_s, asking, items, model_suffix

if TYPE_CHECKING:
    from openai.types import FileObject

TOKEN_KEY = "llmops_job"
"""Name of the token in a job's metadata."""

_CREATIONS = 4
_LONGEST_WAIT_S = 120.0
_GROWTH = 1.5
# Azure's file states beside OpenAI's: pending, running, deleting, deleted.
_IN_WORK = ("uploaded", "pending", "running")
_GONE = ("error", "deleting", "deleted")


def submit(
    service: OpenAIService,
    request: TuningRequest,
    hyperparameters: Mapping[str, Any],
    noted: Mapping[str, str],
    note: Callable[[str, str], None],
    waiting: Waiting,
) -> str:
    """The id of the request's job, see `FineTuningBackend.submit`.

    Notes ``training_file``, ``validation_file`` and ``job``. Files are found again by their names, which hold the
    token; the job by the token in its metadata or by its training file.

    Args:
        hyperparameters: by the provider's names, and ``seed``.

    Raises:
        BackendError: a file was rejected or the job refused, with the provider's reason; or no answer.
    """
    if "job" in noted:
        return noted["job"]
    listed = _listed(service)
    training_name = f"{request.token}.train.jsonl"
    training_files = {file.id for file in listed if file.filename == training_name}
    if "training_file" in noted:
        training_files.add(noted["training_file"])
    job = _find_job(service, request.token, training_files)
    if job is None:
        uploads = _Uploads(service, listed, noted, note, waiting)
        body = {
            "model": request.base_model,
            "training_file": uploads.file("training_file", training_name, request.files.training),
        }
        if request.files.validation is not None:
            name = f"{request.token}.validation.jsonl"
            body["validation_file"] = uploads.file("validation_file", name, request.files.validation)
        job = _create(service, request.token, {**body, **_options(service, request, hyperparameters)}, waiting)
    note("job", job)
    return job


def _options(service: OpenAIService, request: TuningRequest, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if suffix := model_suffix(request.name, service.suffix_limit):
        options["suffix"] = suffix
    if service.keeps_metadata:
        options["metadata"] = {TOKEN_KEY: request.token}
    if "seed" in hyperparameters:
        options["seed"] = hyperparameters["seed"]
    if settings := {name: value for name, value in hyperparameters.items() if name != "seed"}:
        options["method"] = {"type": "supervised", "supervised": {"hyperparameters": settings}}
    return options


def _listed(service: OpenAIService) -> list["FileObject"]:
    with asking(service, "listing the files"):
        return [file for file in items(service.client.files.list(purpose="fine-tune")) if file.status not in _GONE]


def _find_job(service: OpenAIService, token: str, training_files: set[str]) -> str | None:
    """A job of this token; not every server filters by metadata, so each is looked at."""
    with asking(service, "looking for the job"):
        jobs = service.client.fine_tuning.jobs
        pages = jobs.list(limit=100, metadata={TOKEN_KEY: token}) if service.keeps_metadata else jobs.list(limit=100)
        for job in items(pages):
            if (job.metadata or {}).get(TOKEN_KEY) == token or job.training_file in training_files:
                return job.id
    return None


def _create(service: OpenAIService, token: str, body: Mapping[str, Any], waiting: Waiting) -> str:
    """Create the job.

    The SDK's retries are off: a request that ended without an answer may have created the job, so before the next try
    it is looked for.
    """
    once = service.client.with_options(max_retries=0)
    pause = waiting.first_poll_s
    for attempt in range(_CREATIONS):
        try:
            with asking(service, "creating the job"):
                return once.fine_tuning.jobs.create(**body).id
        except BackendError as error:
            asked = asked_to_wait_s(error)
            if not error.transient or attempt == _CREATIONS - 1 or (asked or 0.0) > _LONGEST_WAIT_S:
                raise
            time.sleep(pause if asked is None else asked)
            pause = min(2 * pause, waiting.longest_poll_s)
        if (found := _find_job(service, token, {body["training_file"]})) is not None:
            return found
    raise AssertionError("the last attempt returns or raises")


class _Uploads:
    """The request's files at the provider: noted, else found by name, else uploaded."""

    def __init__(
        self,
        service: OpenAIService,
        listed: list["FileObject"],
        noted: Mapping[str, str],
        note: Callable[[str, str], None],
        waiting: Waiting,
    ) -> None:
        self._service = service
        self._listed = listed
        self._noted = noted
        self._note = note
        self._waiting = waiting

    def file(self, key: str, name: str, path: Path) -> str:
        """The id of a file that the provider has processed."""
        file = self._known(key) or next((one for one in self._listed if one.filename == name), None)
        if file is None:
            with asking(self._service, f"uploading {name}"), path.open("rb") as content:
                file = self._service.client.files.create(file=(name, content), purpose="fine-tune")
        if file.id != self._noted.get(key):
            self._note(key, file.id)
        self._wait(file, name)
        return file.id

    def _known(self, key: str) -> "FileObject | None":
        if key not in self._noted:
            return None
        try:
            with asking(self._service, "looking for an uploaded file"):
                file = self._service.client.files.retrieve(self._noted[key])
        except BackendError as error:
            if error.kind != "missing":
                raise
            return None
        return None if file.status in _GONE else file

    def _wait(self, file: "FileObject", name: str) -> None:
        began, pause = time.monotonic(), self._waiting.first_poll_s
        while str(file.status) in _IN_WORK:
            if time.monotonic() - began > self._waiting.patience_s:
                waited = f"after {self._waiting.patience_s / 60:,.0f} minutes"
                raise BackendError(f"{self._service.where} has not processed {name} {waited}", "unreachable")
            time.sleep(pause)
            pause = min(_GROWTH * pause, self._waiting.longest_poll_s)
            with asking(self._service, f"looking at {name}"):
                file = self._service.client.files.retrieve(file.id)
        if str(file.status) in _GONE:
            reason = " ".join((file.status_details or "no reason given").split())
            raise BackendError(f"{self._service.where} rejected {name}: {reason}", "refused")
