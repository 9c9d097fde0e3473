"""The finale of a search: its best configurations trained again with new seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from llmops.errors import InputError
from llmops.finetuning import TrainingDivergedError
from llmops.tuning import Finalist, Search, finalists, judge_finalists
from tasks.datasets import TrainingPairs, training_pairs
from tasks.search_result import FinaleResult, FinalistResult
from tasks.search_trials import OF_SEARCH_TAG, TRIAL_TAG, SearchPlan, remove_unfinished
from tasks.tracking import inside_run
from tasks.training import kept_training, train_model
from tasks.worker_processes import WorkerProcesses, interruptible


@dataclass(frozen=True)
class Rerun:
    """One training of the finale: a trial's values with a new seed."""

    number: int
    values: dict[str, Any]
    seed: int

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Finalist {self.number}, seed {self.seed}"


def reruns(plan: SearchPlan, search: Search) -> list[Rerun]:
    """The trainings of the finale, those of one seed together; none where nobody asked for it or nothing finished."""
    chosen: list[Finalist] = finalists(
        search.trials(), plan.search.finalists, plan.search.finalist_seeds, plan.training.seed
    )
    if len(chosen) < 2:
        return []
    seeds = range(plan.search.finalist_seeds)
    return [Rerun(one.number + 1, one.values, one.seeds[place]) for place in seeds for one in chosen]


def known_finale(plan: SearchPlan, wanted: Sequence[Rerun]) -> FinaleResult | None:
    """The finale if all its trainings are there from before."""
    losses = []
    for one in wanted:
        kept = kept_training(plan.job(plan.config(one.values, seed=one.seed)))
        if kept is None or kept.result.validation_loss is None:
            return None
        losses.append(kept.result.validation_loss)
    return finale_of(wanted, losses) if losses else None


def run_finale(
    plan: SearchPlan, search: Search, wanted: Sequence[Rerun], pairs: TrainingPairs, processes: WorkerProcesses
) -> FinaleResult:
    """Train the finalists with their new seeds, and judge.

    Raises:
        InputError: each of them diverged with one of the seeds.
    """
    workers = min(plan.search.workers, len(wanted))
    if workers == 1:
        return finale_of(wanted, [train_again(plan, search.name, one, pairs) for one in wanted])
    arguments = [
        {"number": place + 1, "plan": plan, "name": search.name, "wanted": list(wanted[place::workers])}
        for place in range(workers)
    ]
    by_worker = processes.run(finale_worker, arguments, lambda: 0)
    losses = [math.nan] * len(wanted)
    for place, share in enumerate(by_worker):
        losses[place::workers] = share
    return finale_of(wanted, losses)


def train_again(plan: SearchPlan, name: str, one: Rerun, pairs: TrainingPairs) -> float:
    """Validation loss of a finalist with one seed; infinite where the training diverged."""
    config = plan.config(one.values, seed=one.seed)
    job = plan.job(config)
    with inside_run(plan.run_id, {OF_SEARCH_TAG: name, TRIAL_TAG: str(one.number), "finalist": "true"}):
        try:
            trained = train_model(one.title, job, plan.base, pairs, config, plan.version)
        except TrainingDivergedError:
            remove_unfinished(job)
            return math.inf
    loss = trained.result.validation_loss
    return math.inf if loss is None else loss


@task(name="finale worker", task_run_name="finale worker {number}", cache_policy=NO_CACHE)
def finale_worker(number: int, plan: SearchPlan, name: str, wanted: list[Rerun]) -> Any:
    """Train a share of the finale in this process."""
    try:
        with interruptible():
            pairs = training_pairs(plan.version)
            return [train_again(plan, name, one, pairs) for one in wanted]
    except KeyboardInterrupt:
        return Cancelled(message="Interrupted.")


def finale_of(wanted: Sequence[Rerun], losses: Sequence[float]) -> FinaleResult:
    """The judgement on the finalists, from a loss for each training."""
    by_number: dict[int, list[float]] = {}
    for one, loss in zip(wanted, losses, strict=True):
        by_number.setdefault(one.number, []).append(loss)
    try:
        judged = judge_finalists(by_number)
    except ValueError as error:
        raise InputError("every finalist diverged with one of its new seeds; lower the learning rates") from error
    values = {one.number: one.values for one in wanted}
    seeds = list(dict.fromkeys(one.seed for one in wanted))
    return FinaleResult(
        winner=judged.winner,
        finalists=[
            FinalistResult(
                trial=number,
                values=values[number],
                seeds=seeds,
                losses=[loss if math.isfinite(loss) else None for loss in by_number[number]],
                mean=mean if math.isfinite(mean) else None,
            )
            for number, mean in judged.means.items()
        ],
        difference=judged.difference,
        low=judged.low,
        high=judged.high,
        level=judged.level,
        by_more_than_noise=judged.by_more_than_noise,
        sentence=judged.sentence,
    )
