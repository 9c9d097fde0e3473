"""An attempt at a trial as it stands in Optuna's storage: who claimed it when, whether it lives, what it came to."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops.finetuning.jobs.owner import JobOwner
from llmops.tuning.trials import State, Trial, TrialOutcome

MOST_DEATHS = 5
MOST_ERRORS = 2  # an exception is more often the settings' doing than a death


def claim(number: int, attempt: int, now: float, command: str) -> dict[str, Any]:
    """What an attempt notes first: of which trial it is, which one, since when, and whose."""
    owner = JobOwner.this_process().model_dump()
    whose = {"owner": owner, "machine": this_machine(), "command": command}
    return {"number": number, "attempt": attempt, "since": now, **whose}


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


def given_up(tries: Sequence[Any], command: str) -> str | None:
    """Why a command does not try a trial again: its settings may be what kills its process or what raises.

    A trial that raised too often for another command gets one more attempt: what made it raise may be mended by now.
    An attempt that was given back counts for nothing.

    Returns:
        None while it is tried.
    """
    raised = errors(tries)
    once_more = bool(raised) and all(one.user_attrs["claim"].get("command", "") != command for one in raised)
    if len(raised) >= MOST_ERRORS + once_more:
        return str(raised[-1].user_attrs["outcome"]["error"])
    return f"its process died {MOST_DEATHS} times" if deaths(tries) >= MOST_DEATHS else None


def left_over(
    tries: Mapping[int, Sequence[Any]], command: str, now: float, stale: float
) -> tuple[list[int], list[int]]:
    """Numbers of the trials that somebody should take up again: those that never raised, and those that did.

    Those that did come last: what raises because something around the trials is broken is not tried again at once.
    """
    found = {
        number: bool(errors(of_it))
        for number, of_it in tries.items()
        if is_open(of_it[-1], now, stale) and not given_up(of_it, command)
    }
    return [one for one, raised in found.items() if not raised], [one for one, raised in found.items() if raised]


def given_up_for_good(tries: Sequence[Any]) -> bool:
    """Whether no command will try a trial again."""
    return len(errors(tries)) > MOST_ERRORS or deaths(tries) >= MOST_DEATHS


def errors(tries: Sequence[Any]) -> list[Any]:
    """The attempts that raised."""
    return [one for one in tries if _failed(one) and (one.user_attrs.get("outcome") or {}).get("error")]


def deaths(tries: Sequence[Any]) -> int:
    """How many attempts ended with their process."""
    return sum(_failed(one) and "outcome" not in one.user_attrs for one in tries)


def _failed(attempt: Any) -> bool:
    from optuna.trial import TrialState

    return bool(attempt.state == TrialState.FAIL)


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


def outcome_so_far(attempt: Any, cost_per_hour: float | None) -> TrialOutcome:
    """What an attempt came to, or has spent up to its last sign of life."""
    told = attempt.user_attrs.get("outcome")
    if told is None:
        return completed(attempt, None, last_sign(attempt), cost_per_hour)
    loss = math.inf if told["loss"] is None else told["loss"]
    kept = TrialOutcome(**{name: value for name, value in told.items() if name != "error"} | {"loss": loss})
    return completed(attempt, kept, last_sign(attempt), cost_per_hour)


def trial_of(tries: Sequence[Any], now: float, stale: float, command: str, cost_per_hour: float | None) -> Trial:
    """A trial from all attempts at it: as the last one left it, for a command that may try it again."""
    last = tries[-1]
    reason = given_up(tries, command)
    state: State = "given up" if reason else _state(last, now, stale)
    ended = state in ("finished", "pruned", "diverged")
    return Trial(
        number=last.user_attrs["claim"]["number"],
        values=dict(last.params),
        state=state,
        attempt=of(last),
        outcome=outcome_so_far(last, cost_per_hour) if ended else None,
        curve=dict(sorted(last.intermediate_values.items())),
        key=last.number,
        errors=len(errors(tries)),
        reason=reason,
        for_good=reason is not None and given_up_for_good(tries),
    )


def _state(attempt: Any, now: float, stale: float) -> State:
    from optuna.trial import TrialState

    if attempt.state == TrialState.PRUNED:
        return "pruned"
    if attempt.state == TrialState.COMPLETE:
        return "finished" if attempt.user_attrs["outcome"]["loss"] is not None else "diverged"
    return "open" if is_open(attempt, now, stale) else "running"
