"""The trials of a search: each is a training like any other, told to the search and to MLflow."""

import dataclasses
import gc
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from llmops.data import DatasetVersion
from llmops.finetuning import ResolvedBase, TrainingConfig, TrainingDivergedError, TrainingEvent, TrainingResult
from llmops.tuning import Search, SearchConfig, Trial, TrialOutcome, TrialTakenError
from tasks.datasets import TrainingPairs
from tasks.progress import EndedEarly
from tasks.search_failures import FailuresInARow, TrialFailedError, around_in_a_line, in_a_line, not_its_doing
from tasks.tracking import inside_run, log_metrics, log_params, set_tags, tracked_run
from tasks.training import Job, Trained, job_for, train_model

# Of the run of a search, and of those of its trials.
SEARCH_TAG = "search"
OF_SEARCH_TAG = "trial.of"
TRIAL_TAG = "trial"
STATE_TAG = "trial.state"
REASON_TAG = "trial.reason"


@dataclass(frozen=True)
class SearchPlan:
    """All that a worker in another process needs to take part in a search.

    Attributes:
        folder: of the search's own storage, where its configuration names no other.
        name: what is searched for, see `llmops.tuning.Search`.
        run_id: MLflow run of the search, with a child for each trial.
        command: which command this is, for all of its workers.
    """

    folder: Path
    name: str
    base: ResolvedBase
    version: DatasetVersion
    search: SearchConfig
    training: TrainingConfig
    run_id: str = ""
    command: str = field(default_factory=lambda: uuid4().hex)

    def open(self) -> Search:
        """The search, as this process sees it."""
        return Search(self.folder, self.search, self.training, self.name, command=self.command)

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
        self._failures = FailuresInARow()
        self._frozen = False

    def tokens_per_example(self) -> float:
        """As the finished trials saw it; 0 before there is one. (A training that is ended early tells no tokens.)"""
        done = [(one.outcome, self.plan.config(one.values)) for one in self.search.finished() if one.outcome]
        examples = sum(outcome.steps * examples_per_step(config) for outcome, config in done)
        return sum(outcome.tokens for outcome, _ in done) / examples if examples else 0.0

    def run_until_none_is_left(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Claim and run trials until there is none to claim.

        Raises:
            TrialsFailAlikeError: something is broken, it seems, and not the trials.
        """
        while (trial := self.search.claim()) is not None:
            say(f"trial {trial.number + 1}")
            try:
                run_trial(f"Trial {trial.number + 1}", self, trial)
                self._failures.end()
            except TrialFailedError as error:
                say(f"trial {trial.number + 1} failed")
                self._failures.add(trial, error.__cause__ or error)
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
        ServiceError: a service, MLflow or the machine failed, which is not the trial's doing: it is given back.
    """
    plan, search = trials.plan, trials.search
    config = plan.config(trial.values)
    job = plan.job(config)
    progress = _Progress(trial, config, trials.tokens_per_example())
    tags = {OF_SEARCH_TAG: search.name, TRIAL_TAG: str(trial.number + 1)}
    opened: list[str] = []
    try:
        with around_in_a_line(), inside_run(plan.run_id, tags) as opened:
            state, outcome = _train_and_tell(title, trials, progress, job, tags, opened)
            if opened:
                set_tags(opened[-1], {STATE_TAG: state})
            if math.isfinite(outcome.loss) and state == "finished":
                log_metrics(plan.run_id, {"validation_loss": outcome.loss}, step=trial.number + 1)
    except TrialTakenError as error:
        return Completed(name="TakenOver", message=str(error))
    except BaseException as error:
        if not_its_doing(error):
            search.give_back(trial)
            raise
        reason = in_a_line(error)
        if not search.fail(trial, reason, progress.outcome()):
            raise  # after it was told what the training came to
        if any(one.state == "given up" for one in search.trials() if one.number == trial.number):
            remove_unfinished(job)
        with around_in_a_line():
            if opened:
                set_tags(opened[-1], {STATE_TAG: "failed", REASON_TAG: reason})
        raise TrialFailedError(reason) from error
    return Completed(name=state.capitalize(), message=f"validation loss {outcome.loss:.4f}")


def _train_and_tell(
    title: str, trials: Trials, progress: "_Progress", job: Job, tags: Mapping[str, str], opened: list[str]
) -> tuple[str, TrialOutcome]:
    """Train, tell the search what came of it, and return that: the state of the trial, and its outcome."""
    plan, search, trial = trials.plan, trials.search, progress.trial
    try:
        trained = train_model.fn(
            title, job, plan.base, trials.pairs, progress.config, plan.version, on_event=progress.follow
        )
    except (EndedEarly, TrainingDivergedError) as end:
        outcome = progress.outcome()
        pruned = isinstance(end, EndedEarly)
        (search.prune if pruned else search.diverged)(trial, outcome)
        remove_unfinished(job)
        return "pruned" if pruned else "diverged", outcome
    reused = of_something_else(trained, tags)
    if trained.reused:
        _link(trained, title, trial, opened, elsewhere=reused)
        _tell_curve(trial, trained.result)
    outcome = dataclasses.replace(outcome_of(trained.result), reused=reused)
    search.finish(trial, outcome)
    return "finished", outcome


@dataclass
class _Progress:
    """Follows the training of a trial, tells the search each validation loss, and ends the training if it says so."""

    trial: Trial
    config: TrainingConfig
    tokens_per_example: float
    steps: int = 0
    resumed_from: int = 0
    loss: float = math.nan
    began: float | None = None

    def follow(self, event: TrainingEvent) -> None:
        self.steps, self.resumed_from = event.step, event.resumed_from or 0
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
        return self._tokens(event.step - self.resumed_from) / speed if speed else 0.0

    def _tokens(self, steps: int) -> float:
        return steps * examples_per_step(self.config) * self.tokens_per_example

    def outcome(self) -> TrialOutcome:
        """What it came to so far; where it has not trained yet, nobody knows more than the time since its claim."""
        if self.began is None:
            return TrialOutcome(self.loss)
        seconds, tokens = time.monotonic() - self.began, self._tokens(self.steps - self.resumed_from)
        return of_all_steps(self.loss, seconds, tokens, self.steps, self.resumed_from)


def examples_per_step(config: TrainingConfig) -> int:
    """Examples from which one step is made."""
    return config.batch_size * config.gradient_accumulation


def outcome_of(result: TrainingResult) -> TrialOutcome:
    """What a finished training came to, with the time and tokens of all of it, whatever interruptions there were."""
    loss = math.nan if result.validation_loss is None else result.validation_loss
    return of_all_steps(loss, result.seconds, result.tokens, result.steps, result.resumed_from or 0)


def of_all_steps(loss: float, seconds: float, tokens: float, steps: int, resumed_from: int) -> TrialOutcome:
    """An outcome from what was counted since the last (re)start; what was done before went at the same speed.

    >>> of_all_steps(0.5, seconds=20.0, tokens=200, steps=10, resumed_from=8)
    TrialOutcome(loss=0.5, seconds=100.0, tokens=1000, cost=None, steps=10, resumed_from=8, reused=False)
    """
    whole = steps / (steps - resumed_from) if steps > resumed_from else 1.0
    return TrialOutcome(loss, seconds * whole, round(tokens * whole), steps=steps, resumed_from=resumed_from)


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
