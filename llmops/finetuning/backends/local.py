"""Fine-tuning on this machine, in the process that waits for it.

A job is the folder of its training, ``<folder>/<token>/``, of which `training_folder` reads what became of it.
"""

import importlib.util
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from llmops.data.conversations import prompt_of
from llmops.errors import InputError
from llmops.finetuning.backends.backend import (
    ENDED,
    BackendError,
    Estimate,
    JobStatus,
    MetricPoint,
    TunedModel,
    TuningRequest,
    Waiting,
    set_fields,
)
from llmops.finetuning.backends.training_folder import (
    GOES_ON,
    keep_request,
    remove_training,
    request_of,
    result_of,
    status_of,
    write,
)
from llmops.finetuning.config import TrainingConfig
from llmops.finetuning.jobs.estimates import estimate
from llmops.finetuning.merging import merge_adapter
from llmops.finetuning.progress import TrainingEvent, event_in_words
from llmops.finetuning.training import train
from llmops.llm.completions import Prompt

_MODULES = {"full": ("torch", "transformers"), "lora": ("torch", "transformers", "peft")}


class LocalBackend:
    """Trainings on this machine, each in a folder named by its token."""

    name = "local"
    endpoint = "this machine"

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def data_format(self, base_model: str) -> str:
        """The project's own shape, see `FineTuningBackend.data_format`."""
        return "jsonl"

    def hyperparameters(self, base_model: str, training: TrainingConfig) -> dict[str, Any]:
        """The settings that a person has set; here they have our own names.

        Raises:
            InputError: a learning rate multiplier, which multiplies nothing here.
        """
        if training.learning_rate_multiplier is not None:
            raise InputError(
                "training.learning_rate_multiplier scales a provider's own learning rate, and the back end "
                f"{self.name} has none: set training.learning_rate"
            )
        return set_fields(training)

    def check(self, base_model: str, training: TrainingConfig) -> None:
        """Refuse settings and methods that cannot be trained here, see `FineTuningBackend.check`."""
        self.hyperparameters(base_model, training)
        for module in _MODULES.get(training.method, (*_MODULES["lora"], "bitsandbytes")):
            if importlib.util.find_spec(module) is None:
                raise InputError(f"method {training.method} needs {module}: pip install 'llmops[local]' {module}")

    def estimate(self, request: TuningRequest) -> Estimate:
        """No money; the time of earlier trainings on the same base, per token."""
        return estimate(self.name, request)

    def submit(self, request: TuningRequest, noted: Mapping[str, str], note: Callable[[str, str], None]) -> str:
        """Keep the request in the training's folder; `follow` trains. The job's id is the token.

        Raises:
            InputError: the base model is no folder.
        """
        if not (Path(request.base_model) / "config.json").is_file():
            raise InputError(f"{request.base_model} is no folder of a base model: it holds no config.json")
        job = self.folder / request.token
        job.mkdir(parents=True, exist_ok=True)
        (job / "cancelled").unlink(missing_ok=True)
        keep_request(job, request)
        return request.token

    def status(self, job_id: str) -> JobStatus:
        """The job as its folder tells it; see `FineTuningBackend.status`."""
        return status_of(self.folder / job_id)

    def follow(self, job_id: str, tell: Callable[[JobStatus], None], waiting: Waiting) -> JobStatus:
        """Train here and now, or go on from the newest checkpoint; an exception out of `tell` ends the training.

        Raises:
            InputError: it cannot be trained like that.
            TrainingDivergedError: the loss became infinite or not a number.
            BackendError: it has not ended by the deadline; its checkpoints stay.
        """
        job = self.folder / job_id
        request = request_of(job)
        created = self.status(job_id).created_at
        training = _pairs(request.files.training)
        validation = _pairs(request.files.validation) if request.files.validation else []
        points: list[MetricPoint] = []
        # Not since its creation: whoever takes up an old training has the whole time for it.
        began = time.monotonic()

        def on_event(event: TrainingEvent) -> None:
            points.append(MetricPoint(step=event.step, metrics=event.metrics))
            done, said = event.step / event.total_steps, event_in_words(event)
            tell(
                JobStatus(
                    state="running",
                    progress=done,
                    total_steps=event.total_steps,
                    detail=said,
                    metrics=tuple(points),
                    created_at=created,
                )
            )
            if (job / "cancelled").exists():
                raise _CancelledError
            over = waiting.deadline_hours is not None and time.monotonic() - began > 3600 * waiting.deadline_hours
            if over and event.step < event.total_steps:
                overdue = f"had not ended after {waiting.deadline_hours:g} hours (--job.waiting.deadline-hours)"
                raise BackendError(f"the training {job_id} {overdue} and was stopped: {GOES_ON}", "refused")

        (job / "failure.txt").unlink(missing_ok=True)
        try:
            train(Path(request.base_model), training, validation, request.training, job, on_event)
        except _CancelledError:
            pass
        except InputError as error:
            write(job / "failure.txt", str(error))
            raise
        # What is told in the end is the whole log, also what a crash kept from being told.
        return self.status(job_id)

    def cancel(self, job_id: str) -> None:
        """Have it stop at the next entry of its log, whichever process trains; `submit` takes it up again."""
        if self.status(job_id).state not in ENDED and (self.folder / job_id).is_dir():
            (self.folder / job_id / "cancelled").touch()

    def fetch(self, job_id: str, folder: Path) -> Sequence[Path]:
        """Write ``metrics.json``, ``training.json`` and, where adapters were trained, ``adapter/`` into a folder."""
        job = self.folder / job_id
        result, request = result_of(job), request_of(job)
        folder.mkdir(parents=True, exist_ok=True)
        metrics, training = folder / "metrics.json", folder / "training.json"
        write(metrics, result.model_dump_json(exclude={"folder"}, indent=1))
        write(training, request.training.model_dump_json(indent=1))
        if result.method == "full":
            return [metrics, training]
        shutil.copytree(result.model_path, folder / "adapter", dirs_exist_ok=True)
        return [metrics, training, *sorted((folder / "adapter").iterdir())]

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        """Full weights with tokenizer: what is asked is their folder."""
        return model.model_copy(update={"asked_as": str(self.merged(model.job_id))})

    def deployment_of(self, model: TunedModel, name: str) -> str | None:
        """None: a folder costs nothing by the hour."""
        return None

    def undeploy(self, model: TunedModel) -> TunedModel:
        """Nothing: a folder costs nothing by the hour."""
        return model

    def delete(self, model: TunedModel) -> None:
        """Remove the training with its checkpoints, its model and its full weights; see `remove_training`."""
        remove_training(self.folder / model.job_id)

    def merged(self, job_id: str) -> Path:
        """The folder of the full weights, made if need be."""
        job = self.folder / job_id
        # Named by the digest that ends the token, so that a table calls the model "fine-tuned".
        weights = job / f"fine-tuned-{job_id.rpartition('-')[2]}"
        with FileLock(job / "training.lock"):
            if weights.exists():
                return weights
            if result_of(job).method == "full":
                weights.symlink_to("model", target_is_directory=True)
            else:
                merge_adapter(Path(request_of(job).base_model), job / "model", weights)
        return weights


class _CancelledError(Exception):
    """Ends a training that was asked to stop."""


def _pairs(file: Path) -> list[tuple[Prompt, str]]:
    """The (prompt, expected) pairs of a file in the project's own shape, in the order of the samples' ids.

    They are those that a training from the dataset's store sees, so that both have the same training folder.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            rows = sorted((json.loads(line) for line in lines), key=lambda row: row["id"])
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); run the same command again") from error
    return [(prompt_of(row), row["expected"]) for row in rows]
