"""Fine-tuning behind OpenAI's API: all that OpenAI and Azure OpenAI have in common, which is everything but serving."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops.errors import InputError
from llmops.finetuning.backends.backend import (
    ENDED,
    BackendError,
    Estimate,
    JobStatus,
    MetricPoint,
    TuningRequest,
    Waiting,
    set_fields,
)
from llmops.finetuning.backends.openai_progress import result_csv, result_points, status_of
from llmops.finetuning.backends.openai_service import OpenAIService, asking, items
from llmops.finetuning.backends.openai_submission import submit
from llmops.finetuning.backends.polling import poll
from llmops.finetuning.backends.settings import JobSettings
from llmops.finetuning.config import TrainingConfig
from llmops.finetuning.jobs.estimates import estimate

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJobEvent
    from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

_NAMES = {
    "epochs": "n_epochs",
    "batch_size": "batch_size",
    "learning_rate_multiplier": "learning_rate_multiplier",
    "seed": "seed",
}
_LARGEST_SEED = 2**31 - 1
_PAGE = 100


class OpenAIFineTuning:
    """The methods of `FineTuningBackend` that do not deploy."""

    def __init__(self, service: OpenAIService, settings: JobSettings) -> None:
        self._service = service
        self._settings = settings
        # A long job has thousands of events: only those after the ones known here are asked for.
        self._events: dict[str, list[FineTuningJobEvent]] = {}
        self._results: dict[str, list[MetricPoint]] = {}

    @property
    def name(self) -> str:
        """``openai`` or ``azure``."""
        return self._service.name

    @property
    def endpoint(self) -> str:
        """Its address, with organization and project where the environment names them."""
        return self._service.endpoint

    def data_format(self, base_model: str) -> str:
        """Chat messages, one conversation a line."""
        return self.name

    def hyperparameters(self, base_model: str, training: TrainingConfig) -> dict[str, Any]:
        """``n_epochs``, ``batch_size``, ``learning_rate_multiplier`` and ``seed``, as far as they are set.

        Raises:
            InputError: another setting, a fraction of an epoch, or a seed over 2^31 - 1.
        """
        wanted = {field: value for field, value in set_fields(training).items() if value is not None}
        if others := sorted(set(wanted) - set(_NAMES)):
            hint = "; it scales a learning rate of its own" if "learning_rate" in others else ""
            raise InputError(
                f"training.{others[0]}: {self.name} does not let one set {', '.join(others)}, "
                f"only {', '.join(_NAMES)}{hint}: leave the others out"
            )
        if "epochs" in wanted:
            if wanted["epochs"] != int(wanted["epochs"]):
                raise InputError(f"training.epochs: {self.name} trains whole epochs, not {wanted['epochs']:g}")
            wanted["epochs"] = int(wanted["epochs"])
        if wanted.get("seed", 0) > _LARGEST_SEED:
            raise InputError(f"training.seed: {self.name} takes seeds up to {_LARGEST_SEED}, not {wanted['seed']}")
        return {_NAMES[field]: value for field, value in wanted.items()}

    def check(self, base_model: str, training: TrainingConfig) -> None:
        """Settings, and one request that shows whether the key may fine-tune.

        Raises:
            InputError: a setting that the provider does not offer.
            BackendError: the key is refused, or there is no answer.
        """
        if not base_model.strip():
            raise InputError(f"base_model: name the model that {self.name} shall fine-tune, as it is called there")
        self.hyperparameters(base_model, training)
        with asking(self._service, "listing fine-tuning jobs"):
            _ = self._service.client.fine_tuning.jobs.list(limit=1).data

    def estimate(self, request: TuningRequest) -> Estimate:
        """Tokens times price, see `jobs.estimates`."""
        return estimate(self.name, request)

    def submit(self, request: TuningRequest, noted: Mapping[str, str], note: Callable[[str, str], None]) -> str:
        """Upload and create, once; notes ``training_file``, ``validation_file`` and ``job``."""
        hyperparameters = self.hyperparameters(request.base_model, request.training)
        return submit(self._service, request, hyperparameters, noted, note, self._settings.waiting)

    def status(self, job_id: str) -> JobStatus:
        """The job now, with its whole log and figures so far."""
        jobs = self._service.client.fine_tuning.jobs
        try:
            with asking(self._service, f"asking for the job {job_id}"):
                job = jobs.retrieve(job_id)
        except BackendError as error:
            if error.kind != "missing":
                raise
            return JobStatus(state="unknown", reason=str(error))
        events = self._told(job_id)
        status = status_of(job, events, self._checkpoints(job_id), [])
        if status.state == "succeeded" and not status.metrics and job.result_files:
            status = status.model_copy(update={"metrics": tuple(self._final_figures(job_id, job.result_files))})
        return status

    def follow(self, job_id: str, tell: Callable[[JobStatus], None], waiting: Waiting) -> JobStatus:
        """Poll until it has ended."""
        return poll(self.status, job_id, tell, waiting, cancel=self.cancel)

    def cancel(self, job_id: str) -> None:
        """Ask to stop it; one that has ended, or that nobody knows, stays as it is."""
        try:
            with asking(self._service, f"cancelling the job {job_id}"):
                self._service.client.fine_tuning.jobs.cancel(job_id)
        except BackendError as error:
            # 400 or 409 for a job that has ended.
            if error.kind != "missing" and (error.kind != "refused" or self.status(job_id).state not in ENDED):
                raise

    def fetch(self, job_id: str, folder: Path) -> Sequence[Path]:
        """``metrics.csv``, the provider's figures of each step, and ``checkpoints.json``; those that exist."""
        folder.mkdir(parents=True, exist_ok=True)
        with asking(self._service, f"asking for the job {job_id}"):
            job = self._service.client.fine_tuning.jobs.retrieve(job_id)
        written = []
        for number, file_id in enumerate(job.result_files or [], start=1):
            if (content := self._result(file_id)) is not None:
                name = "metrics.csv" if number == 1 else f"metrics-{number}.csv"
                written.append(_write(folder / name, result_csv(content)))
        if checkpoints := self._checkpoints(job_id):
            told = [checkpoint.model_dump(mode="json") for checkpoint in checkpoints]
            written.append(_write(folder / "checkpoints.json", json.dumps(told, indent=2).encode()))
        return written

    def _told(self, job_id: str) -> "list[FineTuningJobEvent]":
        """The job's events, oldest first; the provider lists the newest first."""
        known = self._events.get(job_id, [])
        ids = {event.id for event in known}
        fresh: list[FineTuningJobEvent] = []
        with asking(self._service, f"asking for the events of {job_id}"):
            jobs = self._service.client.fine_tuning.jobs
            for event in items(jobs.list_events(job_id, limit=_PAGE)):
                if event.id in ids:
                    break
                fresh.append(event)
        # Events of the same second keep the order in which they were listed.
        self._events[job_id] = sorted([*known, *reversed(fresh)], key=lambda event: event.created_at)
        return self._events[job_id]

    def _checkpoints(self, job_id: str) -> "list[FineTuningJobCheckpoint]":
        """The job's checkpoints; none from a server that does not know of them."""
        try:
            with asking(self._service, f"asking for the checkpoints of {job_id}"):
                return list(items(self._service.client.fine_tuning.jobs.checkpoints.list(job_id, limit=_PAGE)))
        except BackendError as error:
            if error.kind != "missing":
                raise
            return []

    def _final_figures(self, job_id: str, result_files: Sequence[str]) -> list[MetricPoint]:
        if job_id not in self._results:
            contents = [self._result(file_id) for file_id in result_files[:1]]
            self._results[job_id] = [point for content in contents if content for point in result_points(content)]
        return self._results[job_id]

    def _result(self, file_id: str) -> bytes | None:
        """None where the file has been deleted since, or a server keeps none."""
        try:
            with asking(self._service, f"asking for the result file {file_id}"):
                return self._service.client.files.content(file_id).content
        except BackendError as error:
            if error.kind != "missing":
                raise
            return None


def _write(path: Path, content: bytes) -> Path:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
    return path
