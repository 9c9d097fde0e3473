"""A hyperparameter search that survives its processes and is shared by them: Optuna's trials, claimed under a lock.

What stands where: a *trial* is one point of the space with a number from 0; an *attempt* is one Optuna trial, by one
process. A trial whose process died gets another attempt, with the same values and a fresh curve, and the dead one
becomes FAIL, which samplers, pruners and results pass over. What a trial is follows from its last attempt.
"""

import dataclasses
import math
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llmops.digests import content_digest
from llmops.errors import ServiceError
from llmops.finetuning.config import TrainingConfig
from llmops.tuning import attempts
from llmops.tuning.budgets import Spent, exhausted, spent_on
from llmops.tuning.config import SearchBudget, SearchConfig
from llmops.tuning.evidence import importances
from llmops.tuning.objectives import best_of, objective_values, pareto_front
from llmops.tuning.pruners import TENTHS, losses_at_tenths, make_pruner
from llmops.tuning.samplers import make_sampler
from llmops.tuning.spaces import shuffled_grid
from llmops.tuning.storage import Heartbeat, TrialStorage, persistently
from llmops.tuning.trials import Trial, TrialOutcome, TrialTakenError, how_it_ended


class Search:
    """The trials of one search, safe for threads, processes and (on PostgreSQL) machines.

    The search is named by what it is (`SearchConfig.of_the_search`): another space, sampler or training is another
    search, even in the same folder or database. More trials, another budget or other workers go on with the same one.

    Args:
        folder: holds the SQLite file where ``config.storage`` names no database.
        config: how many trials, which sampler, which space.
        training: the settings that a trial's values replace.
        name: what is searched for (data and base model), which tells searches in one database apart.
        command: which command this process works for: a trial that one has given up because its training raised is
            tried once more by another.

    Raises:
        InputError: a space that does not go with the training settings or the sampler, or a bad storage address.
        ServiceError: the database cannot be reached.
    """

    def __init__(
        self, folder: Path, config: SearchConfig, training: TrainingConfig, name: str = "search", *, command: str = ""
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.config = config
        self.command = command
        self.dimensions = config.space.active(training)
        self._grid = shuffled_grid(self.dimensions, config.seed) if config.sampler == "grid" else None
        of_the_search = {"search": config.of_the_search(), "training": training.model_dump(mode="json")}
        self.name = f"{name}-{content_digest(of_the_search)[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        self._storage = TrialStorage(config.storage, folder / "study.db")
        with self._storage.locked(self.name):
            self.study = optuna.create_study(
                study_name=self.name,
                storage=self._storage.trials,
                pruner=make_pruner(config),
                directions=["minimize"] * len(config.objectives),
                load_if_exists=True,
            )
            self._id = self._storage.trials.get_study_id_from_name(self.name)
        self._heartbeats: dict[int, Heartbeat] = {}
        self._last_report: dict[int, tuple[float, float]] = {}
        weakref.finalize(self, _stop_all, self._heartbeats)

    @property
    def planned(self) -> int:
        """How many trials the search has at most: the points of a grid where ``trials`` is unset."""
        if self._grid is None:
            return self.config.trials
        whole = "trials" not in self.config.model_fields_set
        return len(self._grid) if whole else min(self.config.trials, len(self._grid))

    def claim(self) -> Trial | None:
        """The next trial for this worker: one that died or was given back, a new one, or at last one that raised.

        None: nothing left to do, or the budget is spent; see :meth:`why_stopped`. Another worker may still be
        running a trial then: claim once more when all workers have ended, for what died with them.

        Raises:
            ServiceError: the storage failed.
        """
        with self._storage.locked(self.name) as now:
            attempts.fail_half_created(self.study)
            tries = self._tries()
            if self.budget_spent():
                return None
            lost, raised = attempts.left_over(tries, self.command, now, Heartbeat.STALE)
            if trial := self._take_up(lost, now):
                return trial
            return self._propose(len(tries), now) if len(tries) < self.planned else self._take_up(raised, now)

    def _take_up(self, numbers: Iterable[int], now: float) -> Trial | None:
        """Another attempt at the first of these trials that is not given up once its last attempt is closed."""
        for number in numbers:
            last = self._tries()[number][-1]
            attempts.fail(self.study, last)
            if not attempts.given_up(of_it := self._tries()[number], self.command):
                trial = self._begin(number, last.params, last.distributions, attempts.of(last) + 1, now)
                return dataclasses.replace(trial, errors=len(attempts.errors(of_it)))
        return None

    def _propose(self, number: int, now: float) -> Trial:
        if self._grid is not None:
            point = self._grid[number]
            distributions = {one.field: one.distribution for one in self.dimensions if one.field in point}
            return self._begin(number, point, distributions, 1, now)
        self.study.sampler = make_sampler(
            self.config,
            number,
            planned=self.planned,
            conditional=any(one.when for one in self.dimensions),
            objectives=len(self.config.objectives),
        )
        asked = self.study.ask()
        chosen: dict[str, Any] = {}
        for one in self.dimensions:
            if one.counts(chosen):
                chosen[one.field] = attempts.suggest(asked, one.field, one.distribution)
        # Last: an attempt without a claim was cut off in the middle of its proposal.
        asked.set_user_attr("claim", attempts.claim(number, 1, now, self.command))
        return self._running(asked.number, number, chosen, 1)

    def _begin(
        self, number: int, values: dict[str, Any], distributions: dict[str, Any], attempt: int, now: float
    ) -> Trial:
        """An attempt with given values, in one transaction."""
        from optuna.trial import TrialState, create_trial

        template = create_trial(
            state=TrialState.RUNNING,
            params=values,
            distributions=distributions,
            user_attrs={"claim": attempts.claim(number, attempt, now, self.command)},
        )
        trial_id = self._storage.trials.create_new_trial(self._id, template)
        return self._running(self._storage.trials.get_trial(trial_id).number, number, dict(values), attempt)

    def _running(self, key: int, number: int, values: dict[str, Any], attempt: int) -> Trial:
        self._heartbeats[key] = Heartbeat(self._storage, self._trial_id(key))
        return Trial(number, values, attempt=attempt, key=key, _report=self._report)

    def _report(self, trial: Trial, step: int, loss: float, total_steps: int) -> bool:
        share = min(100.0, 100 * step / total_steps)
        before = self._last_report.get(trial.key)
        if before is not None and share <= before[0]:
            return False
        self._last_report[trial.key] = (share, loss)
        tenths = losses_at_tenths(before, (share, loss))
        try:
            return bool(tenths) and self._prunable(trial, tenths, over=share >= TENTHS[-1])
        except ServiceError:
            return False  # the training goes on; its result is told again and again until the database is back

    def _prunable(self, trial: Trial, tenths: Mapping[int, float], *, over: bool) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError

        trial_id = self._trial_id(trial.key)
        with self._storage.errors():
            try:
                for tenth, loss in tenths.items():
                    self._storage.trials.set_trial_intermediate_value(trial_id, tenth, loss)
            except UpdateFinishedTrialError:
                raise TrialTakenError(
                    f"trial {trial.number + 1} went to another worker: this one gave no sign of life for "
                    f"{Heartbeat.STALE:.0f} s"
                ) from None
            if over or self.config.pruner == "none":
                return False
            return bool(self.study.pruner.prune(self.study, self._storage.trials.get_trial(trial_id)))

    def finish(self, trial: Trial, outcome: TrialOutcome) -> bool:
        """Record what a trial came to; a loss that is not finite makes it diverged.

        Returns:
            False where another worker has taken the trial up meanwhile: its outcome will count.

        Raises:
            ServiceError: the storage failed, for half a minute.
        """
        from optuna.trial import TrialState

        return self._end(trial, TrialState.COMPLETE, outcome)

    def diverged(self, trial: Trial, outcome: TrialOutcome | None = None) -> bool:
        """Record that the training diverged: it is finished, with an infinite loss, and told apart in `Trial.state`."""
        return self.finish(trial, dataclasses.replace(outcome or TrialOutcome(math.inf), loss=math.inf))

    def prune(self, trial: Trial, outcome: TrialOutcome) -> bool:
        """Record that a trial ended early because :meth:`Trial.report` said so, with what it had spent by then."""
        from optuna.trial import TrialState

        return self._end(trial, TrialState.PRUNED, outcome)

    def fail(self, trial: Trial, reason: str, outcome: TrialOutcome | None = None) -> bool:
        """Record that the training raised; it is tried once more, then given up with this reason (one line)."""
        from optuna.trial import TrialState

        return self._end(trial, TrialState.FAIL, outcome, reason)

    def give_back(self, trial: Trial) -> bool:
        """Leave a trial to whoever claims next, because this process was interrupted or cannot go on."""
        from optuna.trial import TrialState

        return self._end(trial, TrialState.FAIL, None)

    def _end(self, trial: Trial, state: Any, outcome: TrialOutcome | None, error: str | None = None) -> bool:
        from optuna.trial import TrialState

        def tell() -> bool:
            with self._storage.locked(self.name) as now:
                last = self._storage.trials.get_trial(self._trial_id(trial.key))
                if last.state != TrialState.RUNNING:
                    return False
                spent = attempts.completed(last, outcome, now, self.config.cost_per_hour)
                trial_id = self._trial_id(trial.key)
                self._storage.trials.set_trial_user_attr(trial_id, "outcome", attempts.stored(spent, error))
                found = objective_values(spent, self.config.objectives)
                self.study.tell(trial.key, found if state == TrialState.COMPLETE else None, state=state)
                return True

        told = persistently(tell)
        if beat := self._heartbeats.pop(trial.key, None):
            beat.stop()
        self._last_report.pop(trial.key, None)
        return told

    def trials(self) -> list[Trial]:
        """Every trial, by number, in the state of its last attempt; a running one whose process is gone is open."""
        now, price = self._storage.now(), self.config.cost_per_hour
        every = self._tries().values()
        return [attempts.trial_of(of_it, now, Heartbeat.STALE, self.command, price) for of_it in every]

    def finished(self) -> list[Trial]:
        """Every trial that ran to its end, diverged ones with an infinite loss among them, pruned ones not."""
        return [one for one in self.trials() if one.state in ("finished", "diverged")]

    def best(self) -> Trial:
        """The finished trial with the lowest validation loss; with several objectives it is one of the Pareto front.

        Its loss was selected for being low and is therefore biased downwards; see :mod:`llmops.tuning.finalists`.

        Raises:
            ValueError: no trial has finished.
        """
        return best_of(self.trials(), self.config.objectives)

    def pareto_front(self) -> list[Trial]:
        """The finished trials than which no other is lower in one objective and at most as high in all others."""
        return pareto_front(self.trials(), self.config.objectives)

    def importances(self) -> dict[str, float] | None:
        """Each dimension's share of the variation of the loss, where it is more than chance; None with few trials."""
        with self._storage.errors():
            return importances(self.study, self.config.objectives.index("validation_loss"))

    def spent(self) -> Spent:
        """What all trials have spent, those under way and attempts that died included."""
        price, tries = self.config.cost_per_hour, self._tries().values()
        each = (spent_on([attempts.outcome_so_far(one, price) for one in of_it]) for of_it in tries)
        return sum(each, Spent(0, 0.0, 0, 0.0))

    def why_stopped(self) -> str | None:
        """Why nobody gets another trial, as a sentence; None while :meth:`claim` has one to give."""
        if spent := self.budget_spent():
            return spent
        trials = self.trials()
        if len(trials) < self.planned or any(one.state == "open" for one in trials):
            return None
        return how_it_ended(trials, self.planned, None if self._grid is None else len(self._grid))

    def budget_spent(self, more: Iterable[TrialOutcome] = ()) -> str | None:
        """Which part of the budget is spent, with ``more`` trainings that are no trials, as a sentence, or None."""
        if self.config.budget == SearchBudget():
            return None
        return exhausted(self.config.budget, self.spent().with_more(more, self.config.cost_per_hour))

    def _tries(self) -> dict[int, list[Any]]:
        with self._storage.errors():
            return attempts.tries_of(self.study)

    def _trial_id(self, key: int) -> int:
        return int(self._storage.trials.get_trial_id_from_study_id_trial_number(self._id, key))


def _stop_all(heartbeats: dict[int, Heartbeat]) -> None:
    for one in heartbeats.values():
        one.stop()
