"""The finale of a search: its best configurations trained again with new seeds."""

import dataclasses
import json
import math
import os
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from llmops.errors import InputError
from llmops.finetuning import TrainingDivergedError, TrainingEvent
from llmops.tuning import Finalist, Search, TrialOutcome, finalists, judge_finalists
from llmops.tuning.attempts import MOST_ERRORS
from llmops.tuning.budgets import spent_on
from tasks.datasets import TrainingPairs, training_pairs
from tasks.search_failures import TRIED_AGAIN, around_in_a_line, in_a_line, not_its_doing
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
    """One training of the finale: a trial's values with a new seed.

    Attributes:
        number: of the trial, from 1.
        values: what it set.
        seed: the new one.
        note: the file that holds what the training came to for this search; the training itself may be another's, too.
    """

    number: int
    values: dict[str, Any] = field(hash=False)
    seed: int
    note: Path

    @property
    def title(self) -> str:
        """What people call it."""
        return f"Finalist {self.number}, seed {self.seed}"


@dataclass(frozen=True)
class Came:
    """What a training of the finale came to.

    Attributes:
        outcome: with what all attempts at it have spent.
        error: why it raised, in a line.
        commands: those for which it raised.
    """

    outcome: TrialOutcome
    error: str | None = None
    commands: tuple[str, ...] = ()

    @property
    def tried_again(self) -> bool:
        """Whether another command trains it once more."""
        return self.error is not None and len(self.commands) < MOST_ERRORS


def reruns(plan: SearchPlan, search: Search) -> list[Rerun]:
    """The trainings of the finale, those of one seed together; none where nobody asked for it or nothing finished."""
    chosen: list[Finalist] = finalists(
        search.trials(), plan.search.finalists, plan.search.finalist_seeds, plan.training.seed
    )
    if len(chosen) < 2:
        return []
    found = []
    for place in range(plan.search.finalist_seeds):
        for one in chosen:
            digest = plan.job(plan.config(one.values, seed=one.seeds[place])).digest
            note = plan.folder / "finale" / search.name / f"{digest}.json"
            found.append(Rerun(one.number + 1, one.values, one.seeds[place], note))
    return found


def known_outcomes(wanted: Iterable[Rerun]) -> dict[Rerun, Came]:
    """What trainings of the finale have come to, by this command or one before, diverged and failed ones among them."""
    return {one: came for one in wanted if (came := _noted(one)) is not None}


def spent_on_finale(wanted: Iterable[Rerun]) -> list[TrialOutcome]:
    """What was spent on the trainings of the finale so far."""
    return [came.outcome for came in known_outcomes(wanted).values()]


def left_to_train(plan: SearchPlan, search: Search, wanted: Sequence[Rerun]) -> list[Rerun]:
    """The trainings of the finale that are to be done: none once the budget is spent."""
    known = known_outcomes(wanted)
    left = [
        one
        for one in wanted
        if one not in known or (known[one].tried_again and plan.command not in known[one].commands)
    ]
    return [] if left and search.budget_spent(spent_on_finale(wanted)) else left


def known_finale(wanted: Sequence[Rerun]) -> FinaleResult | None:
    """The judgement on the finalists from the seeds that all of them were trained with; None where there is none.

    A finalist of which a training raised is left out: see `failed_finalists`.

    Raises:
        InputError: each finalist diverged with one of the seeds.
    """
    known, failed = known_outcomes(wanted), failed_finalists(wanted)
    cut_off = {one.seed for one in wanted if one not in known}
    whole = [one for one in wanted if one.seed not in cut_off and one.number not in failed]
    return finale_of(whole, [known[one].outcome.loss for one in whole]) if whole else None


def failed_finalists(wanted: Collection[Rerun]) -> dict[int, str]:
    """Why a training of a finalist raised, by the number of its trial, and whether it is tried again."""
    return {
        one.number: f"with seed {one.seed}, {came.error}" + (f"; {TRIED_AGAIN}" if came.tried_again else "")
        for one, came in known_outcomes(wanted).items()
        if came.error is not None
    }


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
    processes.run(finale_worker, arguments, lambda: len(known_outcomes(wanted)))


def _train_all(
    plan: SearchPlan, search: Search, mine: Iterable[Rerun], wanted: Sequence[Rerun], pairs: TrainingPairs
) -> None:
    for one in mine:
        if one in left_to_train(plan, search, wanted):
            train_again(plan, search.name, one, pairs)


def train_again(plan: SearchPlan, name: str, one: Rerun, pairs: TrainingPairs) -> None:
    """Train a finalist with one seed, and note what came of it.

    Raises:
        ServiceError: a service, MLflow or the machine failed, which is not the finalist's doing.
    """
    config = plan.config(one.values, seed=one.seed)
    job = plan.job(config)
    began, steps = time.monotonic(), 0

    def follow(event: TrainingEvent) -> None:
        nonlocal steps
        steps = event.step

    tags = {OF_SEARCH_TAG: name, TRIAL_TAG: str(one.number), "finalist": "true"}
    with around_in_a_line(), inside_run(plan.run_id, tags):
        try:
            trained = train_model(one.title, job, plan.base, pairs, config, plan.version, follow)
        except BaseException as error:
            if not_its_doing(error):
                raise
            came = Came(TrialOutcome(math.inf, seconds=time.monotonic() - began, steps=steps))
            if not isinstance(error, TrainingDivergedError):
                came = dataclasses.replace(came, error=in_a_line(error), commands=(plan.command,))
            if not _note(one, came).tried_again:
                remove_unfinished(job)
            return
        _note(one, Came(dataclasses.replace(outcome_of(trained.result), reused=of_something_else(trained, tags))))


def _note(one: Rerun, came: Came) -> Came:
    """Keep what a training came to, with what it spent and for whom it raised before."""
    if before := _noted(one):
        spent = spent_on([before.outcome, came.outcome])
        outcome = dataclasses.replace(came.outcome, seconds=spent.seconds, tokens=spent.tokens, reused=False)
        came = dataclasses.replace(came, outcome=outcome, commands=(*before.commands, *came.commands))
    one.note.parent.mkdir(parents=True, exist_ok=True)
    draft = one.note.with_suffix(f".{os.getpid()}")
    loss = came.outcome.loss if math.isfinite(came.outcome.loss) else None
    draft.write_text(json.dumps(vars(came) | {"outcome": vars(came.outcome) | {"loss": loss}}))
    draft.replace(one.note)
    return came


def _noted(one: Rerun) -> Came | None:
    try:
        noted = json.loads(one.note.read_text())
    except FileNotFoundError:
        return None
    loss = noted["outcome"]["loss"]
    outcome = TrialOutcome(**noted["outcome"] | {"loss": math.inf if loss is None else loss})
    return Came(outcome, noted["error"], tuple(noted["commands"]))


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
