"""An attempt at a trial as it stands in Optuna's storage: who claimed it when, whether it lives, what it came to."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from llmops.finetuning.jobs.owner import JobOwner
from llmops.tuning.trials import State, Trial, TrialOutcome

MOST_DEATHS = 5
MOST_ERRORS = 2  # an exception is more often the settings' doing than a death


def claim(number: int, attempt: int, now: float) -> dict[str, Any]:
    """What an attempt notes first: of which trial it is, which one, since when, and whose."""
    owner = JobOwner.this_process().model_dump()
    return {"number": number, "attempt": attempt, "since": now, "owner": owner, "machine": this_machine()}


def this_machine() -> str | None:
    """This boot of this kernel and this process namespace, in which a process can be looked for.

    Containers and machines may share a host name; their process numbers mean nothing to each other. None where the
    system does not tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def tries_of(study: Any) -> dict[int, list[Any]]:
    """All attempts at each trial in their order, by the trial's number."""
    found: dict[int, list[Any]] = {}
    for one in study.get_trials(deepcopy=False):
        if "claim" in one.user_attrs:
            found.setdefault(one.user_attrs["claim"]["number"], []).append(one)
    return dict(sorted(found.items()))


def fail_half_created(study: Any) -> None:
    """Close what a process left that died while it was proposing a trial; only under the lock."""
    for one in study.get_trials(deepcopy=False):
        if "claim" not in one.user_attrs:
            fail(study, one)


def of(attempt: Any) -> int:
    """Which attempt at its trial this is, from 1."""
    return int(attempt.user_attrs["claim"]["attempt"])


def suggest(asked: Any, field: str, distribution: Any) -> Any:
    """A value for a field from the sampler."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return asked.suggest_categorical(field, distribution.choices)
    low, high, step, log = distribution.low, distribution.high, distribution.step, distribution.log
    if isinstance(distribution, IntDistribution):
        return asked.suggest_int(field, low, high, step=step, log=log)
    return asked.suggest_float(field, low, high, step=step, log=log)


def is_open(attempt: Any, now: float, stale: float) -> bool:
    """Whether somebody should take the trial up: given back, or its process is gone or silent for too long."""
    from optuna.trial import TrialState

    if attempt.state == TrialState.FAIL:
        return True
    if attempt.state != TrialState.RUNNING:
        return False
    claimed = attempt.user_attrs["claim"]
    if claimed.get("machine") == this_machine() and JobOwner.model_validate(claimed["owner"]).alive() is False:
        return True
    return bool(now - last_sign(attempt) > stale)


def last_sign(attempt: Any) -> float:
    """When its process was last known to live."""
    return float(attempt.user_attrs.get("heartbeat", attempt.user_attrs["claim"]["since"]))


def fail(study: Any, attempt: Any) -> None:
    """Close an attempt that has no result; samplers and pruners pass over it."""
    from optuna.trial import TrialState

    if attempt.state == TrialState.RUNNING:
        study.tell(attempt.number, state=TrialState.FAIL)


def given_up(tries: Iterable[Any]) -> str | None:
    """Why nobody tries a trial again: its settings may be what kills its process or what raises; None while one does.

    One that was given back counts for neither.
    """
    from optuna.trial import TrialState

    failed = [one.user_attrs.get("outcome") for one in tries if one.state == TrialState.FAIL]
    errors = [told["error"] for told in failed if told is not None and told.get("error")]
    if len(errors) >= MOST_ERRORS:
        return str(errors[-1])
    return f"its process died {MOST_DEATHS} times" if failed.count(None) >= MOST_DEATHS else None


def completed(attempt: Any, outcome: TrialOutcome | None, now: float, cost_per_hour: float | None) -> TrialOutcome:
    """An outcome with its time and its cost, where nobody measured them."""
    given = outcome or TrialOutcome(math.nan)
    seconds = now - attempt.user_attrs["claim"]["since"] if given.seconds is None else given.seconds
    cost = seconds / 3600 * cost_per_hour if given.cost is None and cost_per_hour is not None else given.cost
    return dataclasses.replace(given, seconds=seconds, cost=cost)


def stored(outcome: TrialOutcome, error: str | None = None) -> dict[str, Any]:
    """An outcome as JSON, which has no infinity, and the error that ended it."""
    loss = outcome.loss if math.isfinite(outcome.loss) else None
    return {**vars(outcome), "loss": loss, "error": error}


def outcomes_so_far(tries: Sequence[Any], cost_per_hour: float | None) -> list[TrialOutcome]:
    """What a trial has spent: its outcome, which holds all of its training, or what each attempt came to so far."""
    from optuna.trial import TrialState

    ended = tries[-1].state in (TrialState.COMPLETE, TrialState.PRUNED)
    return [outcome_so_far(one, cost_per_hour) for one in (tries[-1:] if ended else tries)]


def outcome_so_far(attempt: Any, cost_per_hour: float | None) -> TrialOutcome:
    """What an attempt came to, or has spent up to its last sign of life."""
    told = attempt.user_attrs.get("outcome")
    if told is None:
        return completed(attempt, None, last_sign(attempt), cost_per_hour)
    loss = math.inf if told["loss"] is None else told["loss"]
    reused = told.get("reused", False)
    return TrialOutcome(loss, told["seconds"], told["tokens"], told["cost"], told["steps"], reused)


def trial_of(tries: Sequence[Any], now: float, stale: float) -> Trial:
    """A trial from all attempts at it: as the last one left it."""
    last = tries[-1]
    reason = given_up(tries)
    state: State = "given up" if reason else _state(last, now, stale)
    ended = state in ("finished", "pruned", "diverged")
    return Trial(
        number=last.user_attrs["claim"]["number"],
        values=dict(last.params),
        state=state,
        attempt=of(last),
        outcome=outcome_so_far(last, None) if ended else None,
        curve=dict(sorted(last.intermediate_values.items())),
        key=last.number,
        reason=reason,
    )


def _state(attempt: Any, now: float, stale: float) -> State:
    from optuna.trial import TrialState

    if attempt.state == TrialState.PRUNED:
        return "pruned"
    if attempt.state == TrialState.COMPLETE:
        return "finished" if attempt.user_attrs["outcome"]["loss"] is not None else "diverged"
    return "open" if is_open(attempt, now, stale) else "running"
