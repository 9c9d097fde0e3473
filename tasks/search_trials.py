"""The trials of a search: each is a training like any other, told to the search and to MLflow."""

import dataclasses
import gc
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import CancelledRun
from prefect.states import Completed

from llmops.data import DatasetVersion
from llmops.errors import LlmopsError, ServiceError
from llmops.finetuning import ResolvedBase, TrainingConfig, TrainingDivergedError, TrainingEvent, TrainingResult
from llmops.tuning import Search, SearchConfig, Trial, TrialOutcome, TrialTakenError
from tasks.datasets import TrainingPairs
from tasks.progress import EndedEarly
from tasks.tracking import inside_run, log_metrics, log_params, set_tags, tracked_run
from tasks.training import Job, Trained, job_for, train_model

# Of the run of a search, and of those of its trials.
SEARCH_TAG = "search"
OF_SEARCH_TAG = "trial.of"
TRIAL_TAG = "trial"
STATE_TAG = "trial.state"
REASON_TAG = "trial.reason"
LONGEST_REASON = 300


class TrialFailedError(LlmopsError):
    """The training of a trial raised; the search has been told and goes on."""


@dataclass(frozen=True)
class SearchPlan:
    """All that a worker in another process needs to take part in a search.

    Attributes:
        folder: of the search's own storage, where its configuration names no other.
        name: what is searched for, see `llmops.tuning.Search`.
        run_id: MLflow run of the search, with a child for each trial.
    """

    folder: Path
    name: str
    base: ResolvedBase
    version: DatasetVersion
    search: SearchConfig
    training: TrainingConfig
    run_id: str = ""

    def open(self) -> Search:
        """The search, as this process sees it."""
        return Search(self.folder, self.search, self.training, self.name)

    def config(self, values: dict[str, Any], **more: Any) -> TrainingConfig:
        """Training settings with the values of a trial."""
        return TrainingConfig.model_validate({**self.training.model_dump(exclude_unset=True), **values, **more})

    def job(self, config: TrainingConfig) -> Job:
        """The training with these settings."""
        return job_for(self.base, self.version, config)


class Trials:
    """Runs trials of one search in this process."""

    def __init__(self, plan: SearchPlan, search: Search, pairs: TrainingPairs) -> None:
        self.plan = plan
        self.search = search
        self.pairs = pairs
        self._frozen = False

    def tokens_per_example(self) -> float:
        """As the finished trials saw it; 0 before there is one. (A training that is ended early tells no tokens.)"""
        done = [(one.outcome, self.plan.config(one.values)) for one in self.search.finished() if one.outcome]
        examples = sum(outcome.steps * examples_per_step(config) for outcome, config in done)
        return sum(outcome.tokens for outcome, _ in done) / examples if examples else 0.0

    def run_until_none_is_left(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Claim and run trials until there is none to claim."""
        while (trial := self.search.claim()) is not None:
            say(f"trial {trial.number + 1}")
            try:
                run_trial(f"Trial {trial.number + 1}", self, trial)
            except TrialFailedError:
                say(f"trial {trial.number + 1} failed")
            if not self._frozen:
                # The Trainer collects garbage before each training, most of its time going into what the libraries
                # hold; everything is imported now, and what is frozen is not gone through again.
                gc.collect()
                gc.freeze()
                self._frozen = True


@task(name="trial", task_run_name="{title}", cache_policy=NO_CACHE)
def run_trial(title: str, trials: Trials, trial: Trial) -> Any:
    """Train with a trial's values and tell what came of it; when it is interrupted, somebody else can take it up.

    Raises:
        TrialFailedError: the training raised.
        ServiceError: a service failed, which is not the trial's doing: it is given back.
    """
    plan, search = trials.plan, trials.search
    config = plan.config(trial.values)
    job = plan.job(config)
    progress = _Progress(trial, config, trials.tokens_per_example())
    tags = {OF_SEARCH_TAG: search.name, TRIAL_TAG: str(trial.number + 1)}
    told = False
    opened: list[str] = []
    try:
        with inside_run(plan.run_id, tags) as opened:
            try:
                trained = train_model.fn(title, job, plan.base, trials.pairs, config, plan.version, progress.follow)
            except EndedEarly:
                outcome = progress.outcome()
                told = search.prune(trial, outcome)
                remove_unfinished(job)
                state = "pruned"
            except TrainingDivergedError:
                outcome = progress.outcome()
                told = search.diverged(trial, outcome)
                remove_unfinished(job)
                state = "diverged"
            else:
                reused = of_something_else(trained, tags)
                if trained.reused:
                    _link(trained, title, trial, opened, elsewhere=reused)
                    _tell_curve(trial, trained.result)
                outcome = dataclasses.replace(outcome_of(trained.result), reused=reused)
                told = search.finish(trial, outcome)
                state = "finished"
    except TrialTakenError as error:
        told = True
        return Completed(name="TakenOver", message=str(error))
    except Exception as error:
        if told or isinstance(error, ServiceError | CancelledRun):
            _give_back(search, trial, told)
            raise
        reason = in_a_line(error)
        search.fail(trial, reason, progress.outcome())
        remove_unfinished(job)
        if opened:
            set_tags(opened[-1], {STATE_TAG: "failed", REASON_TAG: reason})
        raise TrialFailedError(reason) from error
    except BaseException:
        _give_back(search, trial, told)
        raise
    if opened:
        set_tags(opened[-1], {STATE_TAG: state})
    if math.isfinite(outcome.loss) and state == "finished":
        log_metrics(plan.run_id, {"validation_loss": outcome.loss}, step=trial.number + 1)
    return Completed(name=state.capitalize(), message=f"validation loss {outcome.loss:.4f}")


def _give_back(search: Search, trial: Trial, told: bool) -> None:
    if not told:
        search.give_back(trial)


def in_a_line(error: BaseException) -> str:
    """An error as a reason: its kind, and the first line of what it says."""
    said = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {said}".removesuffix(": ")[:LONGEST_REASON]


@dataclass
class _Progress:
    """Follows the training of a trial, tells the search each validation loss, and ends the training if it says so."""

    trial: Trial
    config: TrainingConfig
    tokens_per_example: float
    steps: int = 0
    loss: float = math.nan
    began: float | None = None

    def follow(self, event: TrainingEvent) -> None:
        self.steps = event.step
        if self.began is None and not event.replayed:
            self.began = time.monotonic() - self._seconds_before(event)
        loss = event.metrics.get("validation_loss")
        if loss is None:
            return
        self.loss = loss
        prune = self.trial.report(event.step, loss, event.total_steps)
        if prune and not event.replayed:
            raise EndedEarly(f"pruned at step {event.step:,} of {event.total_steps:,}, validation loss {loss:.3f}")

    def _seconds_before(self, event: TrainingEvent) -> float:
        """How long it has trained at its first event; models are loaded before."""
        speed = event.metrics.get("tokens_per_second")
        done = event.step - (event.resumed_from or 0)
        return self._tokens(done) / speed if speed else 0.0

    def _tokens(self, steps: int) -> float:
        return steps * examples_per_step(self.config) * self.tokens_per_example

    def outcome(self) -> TrialOutcome:
        """What it came to so far."""
        seconds = 0.0 if self.began is None else time.monotonic() - self.began
        return TrialOutcome(self.loss, seconds=seconds, tokens=round(self._tokens(self.steps)), steps=self.steps)


def examples_per_step(config: TrainingConfig) -> int:
    """Examples from which one step is made."""
    return config.batch_size * config.gradient_accumulation


def outcome_of(result: TrainingResult) -> TrialOutcome:
    """What a finished training came to, with the time and tokens of all of it, whatever interruptions there were.

    The result counts from the last (re)start; what was done before is taken to have gone at the same speed.
    """
    done = result.steps - (result.resumed_from or 0)
    whole = result.steps / done if done > 0 else 1.0
    return TrialOutcome(
        loss=math.nan if result.validation_loss is None else result.validation_loss,
        seconds=result.seconds * whole,
        tokens=round(result.tokens * whole),
        steps=result.steps,
    )


def _tell_curve(trial: Trial, result: TrainingResult) -> None:
    """The validation losses of a training that was kept from before: later trials are compared with them."""
    for entry in result.log:
        if "validation_loss" in entry:
            trial.report(int(entry["step"]), entry["validation_loss"], result.total_steps)


def of_something_else(trained: Trained, tags: Mapping[str, str]) -> bool:
    """Whether a training was there from before, and not by a process that died before it could tell the search.

    Args:
        trained: what was asked for.
        tags: of the MLflow run of just this training.
    """
    if not trained.reused:
        return False
    found = MlflowClient().get_run(trained.run_id).data.tags
    return any(found.get(name) != value for name, value in tags.items())


def _link(trained: Trained, title: str, trial: Trial, opened: list[str], *, elsewhere: bool) -> None:
    """A child run for a trial whose training was there already, in a run of something else."""
    if not elsewhere:
        opened.append(trained.run_id)
        return
    run = MlflowClient().get_run(trained.run_id)
    figures = {"loss": trained.result.loss, "validation_loss": trained.result.validation_loss}
    experiment = MlflowClient().get_experiment(run.info.experiment_id).name
    with tracked_run(title.lower(), experiment=experiment, tags={"training_run_id": trained.run_id}) as child:
        log_params(child.run_id, trial.values)
        log_metrics(child.run_id, {name: value for name, value in figures.items() if value is not None})


def remove_unfinished(job: Job) -> None:
    """Remove the checkpoints of a training that will not go on, unless it is finished or somebody else is at it."""
    if not job.folder.is_dir():
        return
    with _not_in_use(job.folder) as free:
        if free and not (job.folder / "result.json").is_file():
            shutil.rmtree(job.folder, ignore_errors=True)


@contextmanager
def _not_in_use(folder: Path) -> Iterator[bool]:
    lock = FileLock(folder / "training.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
