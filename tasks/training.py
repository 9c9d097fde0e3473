"""Training as a task: followed in terminal, Prefect and MLflow, kept by its content, resumed after a crash."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmops.data import DatasetVersion
from llmops.digests import code_digest, content_digest
from llmops.finetuning import (
    ResolvedBase,
    TrainingConfig,
    TrainingDivergedError,
    TrainingEvent,
    TrainingResult,
    train,
)
from llmops.finetuning.progress import event_in_words, result_in_words
from llmops.settings import settings
from tasks.datasets import TrainingPairs
from tasks.progress import EndedEarly, stage
from tasks.tracking import log_dataset, log_params, tracked_run

WRITE_EVERY_SECONDS = 1.0
TRAINING_CODE = ("llmops.finetuning.training", "llmops.finetuning.batches", "llmops.llm.chat_format")


@dataclass(frozen=True)
class Job:
    """One training, named by all that decides its outcome: base, data, settings and code.

    ``folder`` holds its checkpoints and in the end its model; whoever asks for the same training finds it there.
    """

    digest: str
    folder: Path

    @property
    def run_note(self) -> Path:
        """Names the MLflow run of the finished training."""
        return self.folder / "mlflow_run_id"


@dataclass(frozen=True)
class Trained:
    """A finished training and the MLflow run that holds its curves."""

    job: Job
    result: TrainingResult
    run_id: str
    reused: bool


def job_for(base: ResolvedBase, version: DatasetVersion, config: TrainingConfig) -> Job:
    """The job of training this base on this version with these settings."""
    digest = content_digest([base.digest, version.digest, config.model_dump(mode="json"), code_digest(*TRAINING_CODE)])
    return Job(digest, settings().home / "training" / f"{version.name}-{digest[:16]}")


@task(name="train", task_run_name="{title}", cache_policy=NO_CACHE)
def train_model(
    title: str,
    job: Job,
    base: ResolvedBase,
    pairs: TrainingPairs,
    config: TrainingConfig,
    version: DatasetVersion,
    on_event: Callable[[TrainingEvent], None] | None = None,
) -> Trained:
    """Train on pairs of a version, or go on from the newest checkpoint, or take the finished model of before.

    Args:
        on_event: told each step that has figures; an exception out of it ends the training.
    """
    with stage(title) as line:
        kept = kept_training(job)
        if kept is not None:
            line.finish(f"kept from before · {result_in_words(kept.result)}")
            return kept
        with tracked_run(title.lower(), experiment=version.name, resume_key=job.digest) as run:
            log_params(run.run_id, {"base_model": base.name, **config.model_dump()})
            log_dataset(run.run_id, version, "training")
            curves = Curves(run.run_id)

            def follow(event: TrainingEvent) -> None:
                curves.add(event.step, event.metrics)
                line.update(event.step, event.total_steps, event_in_words(event))
                if on_event is not None:
                    on_event(event)

            try:
                result = train(base.path, pairs.train, pairs.validation, config, job.folder, follow)
            except (EndedEarly, TrainingDivergedError):
                curves.write()  # what waits to be written shows why
                raise
            # What a crash kept from being written is in the log that travels with the checkpoints.
            for entry in result.log:
                curves.add(int(entry["step"]), {name: value for name, value in entry.items() if name != "step"})
            curves.write()
            job.run_note.write_text(run.run_id)
        line.finish(result_in_words(result))
    return Trained(job, result, run.run_id, reused=False)


def kept_training(job: Job) -> Trained | None:
    """The finished training of this job, if both its model and its MLflow run are still there."""
    try:
        run_id = job.run_note.read_text()
        MlflowClient().get_run(run_id)
        stored = TrainingResult.model_validate_json((job.folder / "result.json").read_text())
        return Trained(job, stored, run_id, reused=True)
    except (OSError, MlflowException):
        return None


@dataclass
class Curves:
    """A training's curves in an MLflow run, each step exactly once however often the training was interrupted.

    A crash can come after a step was written and before its checkpoint: the step is then trained again. It can
    also come after a checkpoint and before its steps were written. So what is written goes by what the run has.
    """

    run_id: str
    _written: dict[str, set[int]] = field(default_factory=dict)
    _waiting: list[Metric] = field(default_factory=list)
    _last_write: float = 0.0

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Take in one step's figures; they are written about once a second."""
        now = int(time.time() * 1000)
        for name, value in figures.items():
            if step not in self._steps(name):
                self._steps(name).add(step)
                self._waiting.append(Metric(name, value, now, step))
        if time.monotonic() - self._last_write > WRITE_EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what waits, a thousand in one transaction."""
        client = MlflowClient()
        while self._waiting:
            client.log_batch(self.run_id, metrics=self._waiting[:1000])
            del self._waiting[:1000]
        self._last_write = time.monotonic()

    def _steps(self, name: str) -> set[int]:
        if name not in self._written:
            history = MlflowClient().get_metric_history(self.run_id, name)
            self._written[name] = {metric.step for metric in history}
        return self._written[name]
