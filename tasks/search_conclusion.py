"""What a search has come to, as the result that people and the next step of a pipeline get."""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from llmops.errors import InputError
from llmops.tuning import Search, Trial, TrialOutcome
from tasks.search_failures import TRIED_AGAIN
from tasks.search_result import (
    FinaleResult,
    SearchResult,
    SearchSpent,
    TrialResult,
    capitalised,
    fine_tune_command,
    said_values,
)
from tasks.search_trials import SearchPlan

TRIED_ALL_AGAIN = "the same command tries each of them once more"


def nothing_is_left(search: Search) -> bool:
    """Whether no trial is left to be run, by this or by another command."""
    return search.why_stopped() is not None and not any(one.state == "running" for one in search.trials())


def require_a_finite_loss(search: Search) -> None:
    """Refuse to go on with settings that cannot train.

    Raises:
        InputError: no trial ran to its end with a finite loss.
    """
    trials = search.trials()
    if any(one.state == "finished" for one in trials):
        return
    if trials and all(one.state == "diverged" for one in trials):
        raise InputError("the loss of every trial became infinite; lower the learning rates of the search space")
    if trials and all(one.state == "given up" for one in trials):
        how = "search anew with another search.seed" if all(one.for_good for one in trials) else TRIED_ALL_AGAIN
        raise InputError(f"every trial failed and was given up: {trials[-1].reason}; mend that, and {how}")
    why = search.why_stopped() or "there are some left"
    if left := left_under_way(trials):
        raise InputError(f"no trial ran to its end ({why}): {left}")
    raise InputError(f"no trial ran to its end ({why}); give more trials or a larger budget")


def left_under_way(trials: Iterable[Trial | TrialResult]) -> str | None:
    """Which trials an interruption left with the budget spent, as a sentence; None where there is none."""
    open_ones = [one for one in trials if one.state == "open"]
    if not open_ones:
        return None
    # A search numbers its trials from 0, its result from 1.
    numbers = [str(one.number + 1 if isinstance(one, Trial) else one.number) for one in open_ones]
    were, go = ("trial {} was", "goes") if len(numbers) == 1 else ("trials {} were", "go")
    return f"{were.format(', '.join(numbers))} left under way and {go} on with a larger budget"


def search_result(
    plan: SearchPlan,
    search: Search,
    *,
    base_model: str,
    scratch: Mapping[str, Any],
    finale: FinaleResult | None = None,
    trained_again: Sequence[TrialOutcome] = (),
    failed_finalists: Mapping[int, str] = MappingProxyType({}),
    run_id: str | None = None,
    run_ids: Mapping[int, str] | None = None,
    pictures: str | None = None,
    reused: bool = False,
) -> SearchResult:
    """The result of a search whose trials have ended.

    Args:
        plan: the search.
        search: the same, open in this process.
        base_model: as a person named it.
        scratch: what a person set for a model made from scratch.
        finale: of the finalists; trained_again: their trainings; failed_finalists: why one is not in the finale.
        run_id: MLflow run of the search; run_ids: those of the trials by their numbers.
        pictures: where they are.
        reused: nothing was trained.
    """
    require_a_finite_loss(search)
    trials = [trial_result(one, plan, search, run_ids or {}) for one in search.trials() if one.state != "running"]
    importances = search.importances()
    best_number = finale.winner if finale else search.best().number + 1
    best = next(one.values for one in trials if one.number == best_number)
    return SearchResult(
        dataset=plan.version.uri,
        best=best,
        best_trial=best_number,
        trials=trials,
        pareto=[one.number + 1 for one in search.pareto_front()],
        objectives=list(plan.search.objectives),
        importances=importances or {},
        finale=finale,
        stopped=search.why_stopped() or f"all {search.planned} trials are done",
        spent=_spent(plan, search, trained_again),
        reused=reused,
        run_id=run_id,
        pictures=pictures,
        next_command=fine_tune_command(
            plan.version.uri, base_model, {**plan.training.model_dump(exclude_unset=True), **best}, scratch
        ),
        notes=[
            *_notes_on_trials(plan, search.trials(), best, importances),
            *_notes_on_finale(plan, finale, trials, failed_finalists, search.budget_spent(trained_again)),
        ],
    )


def trial_result(one: Trial, plan: SearchPlan, search: Search, run_ids: Mapping[int, str]) -> TrialResult:
    """A trial for people, numbered from 1."""
    outcome = one.outcome
    finished = one.state == "finished"
    figures = {} if outcome is None else vars(outcome)
    figures = figures | {"validation_loss": figures.get("loss")}
    return TrialResult(
        number=one.number + 1,
        state=one.state,
        values=one.values,
        objectives={name: float(figures[name]) for name in plan.search.objectives} if finished else {},
        loss=outcome.loss if outcome is not None and math.isfinite(outcome.loss) else None,
        seconds=outcome.seconds if outcome else None,
        tokens=outcome.tokens if outcome else None,
        cost=outcome.cost if outcome else None,
        steps=outcome.steps if outcome else None,
        run_id=run_ids.get(one.number + 1),
        reason=one.reason,
    )


def _spent(plan: SearchPlan, search: Search, trained_again: Sequence[TrialOutcome]) -> SearchSpent:
    spent = search.spent().with_more(trained_again, plan.search.cost_per_hour)
    cost = spent.cost if plan.search.cost_per_hour is not None else None
    return SearchSpent(trials=spent.trials, seconds=spent.seconds, tokens=spent.tokens, cost=cost)


def _notes_on_trials(
    plan: SearchPlan, trials: Sequence[Trial], best: Mapping[str, Any], importances: Mapping[str, float] | None
) -> list[str]:
    notes = [
        f"Trial {one.number + 1} was given up: {one.reason}" + ("" if one.for_good else f"; {TRIED_AGAIN}")
        for one in trials
        if one.reason
    ]
    if left := left_under_way(trials):
        notes.append(f"{capitalised(left)}.")
    if plan.training.max_steps is not None and "epochs" in plan.search.space:
        notes.append("Epochs were not searched: training.max_steps sets the length.")
    if edges := at_the_edge(plan, best):
        notes.append(
            f"The best lies at the edge of the space: {', '.join(edges)}; a wider range may hold a better one."
        )
    if importances == {}:
        notes.append("What mattered cannot be told from chance: no field explains more of the loss than luck does.")
    return notes


def _notes_on_finale(
    plan: SearchPlan,
    finale: FinaleResult | None,
    trials: Sequence[TrialResult],
    failed: Mapping[int, str],
    spent: str | None,
) -> list[str]:
    notes = [f"Trial {number} is left out of the finale: {reason}" for number, reason in failed.items()]
    seeds = len(finale.finalists[0].seeds) if finale else 0
    if failed and finale is None:
        notes.append("There was no finale: every finalist failed.")
    elif plan.search.finalists and seeds < plan.search.finalist_seeds:
        different = {tuple(one.values.items()) for one in trials if one.state == "finished"}
        if len(different) < 2:
            notes.append("There was no finale: fewer than two different configurations ran to their end.")
        else:
            why = f": {spent}" if spent else ""
            notes.append(f"The finale has {seeds} of {plan.search.finalist_seeds} new seeds{why}.")
    return notes


def at_the_edge(plan: SearchPlan, best: Mapping[str, Any]) -> list[str]:
    """Ranges in which the best value is within a twentieth of an end."""
    edges = []
    for one in plan.search.space.active(plan.training):
        low, high = (getattr(one.dimension, name, None) for name in ("low", "high"))
        value = best.get(one.field)
        if low is None or high is None or low == high or value is None:
            continue
        log = math.log if getattr(one.dimension, "log", False) else float
        share = (log(value) - log(low)) / (log(high) - log(low))
        if share < 0.05 or share > 0.95:
            edges.append(said_values({one.field: value}))
    return edges


def describe(result: SearchResult) -> str:
    """The result in a line of progress."""
    best = next(one for one in result.trials if one.number == result.best_trial)
    return f"validation loss {best.loss:.3f} with {said_values(result.best)}"
