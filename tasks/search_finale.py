"""The finale of a search: its best configurations trained again with new seeds."""

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from llmops.errors import InputError
from llmops.finetuning import TrainingDivergedError, TrainingEvent
from llmops.tuning import Finalist, Search, TrialOutcome, finalists, judge_finalists
from tasks.datasets import TrainingPairs, training_pairs
from tasks.search_result import FinaleResult, FinalistResult
from tasks.search_trials import (
    OF_SEARCH_TAG,
    TRIAL_TAG,
    SearchPlan,
    of_something_else,
    outcome_of,
    remove_unfinished,
)
from tasks.tracking import inside_run
from tasks.training import train_model
from tasks.worker_processes import WorkerProcesses, interruptible


@dataclass(frozen=True)
class Rerun:
    """One training of the finale: a trial's values with a new seed."""

    number: int
    values: dict[str, Any] = field(hash=False)
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


def known_outcomes(plan: SearchPlan, wanted: Iterable[Rerun]) -> dict[Rerun, TrialOutcome]:
    """What trainings of the finale have come to, by this command or one before, diverged ones among them."""
    return {one: outcome for one in wanted if (outcome := _noted(plan, one)) is not None}


def left_to_train(plan: SearchPlan, search: Search, wanted: Sequence[Rerun]) -> list[Rerun]:
    """The trainings of the finale that are to be done: none once the budget is spent."""
    known = known_outcomes(plan, wanted)
    left = [one for one in wanted if one not in known]
    return [] if left and search.budget_spent(known.values()) else left


def known_finale(plan: SearchPlan, wanted: Sequence[Rerun]) -> FinaleResult | None:
    """The judgement on the finalists from the seeds that all of them were trained with; None where there is none.

    Raises:
        InputError: each finalist diverged with one of the seeds.
    """
    known = known_outcomes(plan, wanted)
    cut_off = {one.seed for one in wanted if one not in known}
    whole = [one for one in wanted if one.seed not in cut_off]
    return finale_of(whole, [known[one].loss for one in whole]) if whole else None


def run_finale(
    plan: SearchPlan, search: Search, wanted: Sequence[Rerun], pairs: TrainingPairs, processes: WorkerProcesses
) -> None:
    """Train the finalists with their new seeds, until the budget is spent; `known_finale` has what came of it."""
    left = left_to_train(plan, search, wanted)
    workers = min(plan.search.workers, len(left))
    if workers < 2:
        _train_all(plan, search, left, wanted, pairs)
        return
    arguments = [
        {"number": place + 1, "plan": plan, "mine": left[place::workers], "wanted": list(wanted)}
        for place in range(workers)
    ]
    processes.run(finale_worker, arguments, lambda: len(known_outcomes(plan, wanted)))


def _train_all(
    plan: SearchPlan, search: Search, mine: Iterable[Rerun], wanted: Sequence[Rerun], pairs: TrainingPairs
) -> None:
    for one in mine:
        if one in left_to_train(plan, search, wanted):
            train_again(plan, search.name, one, pairs)


def train_again(plan: SearchPlan, name: str, one: Rerun, pairs: TrainingPairs) -> None:
    """Train a finalist with one seed, and note what came of it."""
    config = plan.config(one.values, seed=one.seed)
    job = plan.job(config)
    began, steps = time.monotonic(), 0

    def follow(event: TrainingEvent) -> None:
        nonlocal steps
        steps = event.step

    tags = {OF_SEARCH_TAG: name, TRIAL_TAG: str(one.number), "finalist": "true"}
    with inside_run(plan.run_id, tags):
        try:
            trained = train_model(one.title, job, plan.base, pairs, config, plan.version, follow)
        except TrainingDivergedError:
            remove_unfinished(job)
            _note(plan, one, TrialOutcome(math.inf, seconds=time.monotonic() - began, steps=steps))
            return
    outcome = outcome_of(trained.result)
    _note(plan, one, dataclasses.replace(outcome, reused=of_something_else(trained, tags)))


def _file(plan: SearchPlan, one: Rerun) -> Path:
    """Holds what a training of the finale came to, a diverged one too, of which nothing else is kept."""
    return plan.folder / "finale" / f"{plan.job(plan.config(one.values, seed=one.seed)).digest}.json"


def _note(plan: SearchPlan, one: Rerun, outcome: TrialOutcome) -> None:
    file = _file(plan, one)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(vars(outcome) | {"loss": outcome.loss if math.isfinite(outcome.loss) else None}))
    draft.replace(file)


def _noted(plan: SearchPlan, one: Rerun) -> TrialOutcome | None:
    try:
        noted = json.loads(_file(plan, one).read_text())
    except FileNotFoundError:
        return None
    return TrialOutcome(**noted | {"loss": math.inf if noted["loss"] is None else noted["loss"]})


@task(name="finale worker", task_run_name="finale worker {number}", cache_policy=NO_CACHE)
def finale_worker(number: int, plan: SearchPlan, mine: list[Rerun], wanted: list[Rerun]) -> Any:
    """Train a share of the finale in this process."""
    try:
        with interruptible():
            _train_all(plan, plan.open(), mine, wanted, training_pairs(plan.version))
    except KeyboardInterrupt:
        return Cancelled(message="Interrupted.")
    return None


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
