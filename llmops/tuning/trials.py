"""A trial of a search: what it sets, what came of it, and what it tells while it trains."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmops.errors import LlmopsError

State = Literal["running", "open", "finished", "pruned", "diverged", "given up"]


class TrialTakenError(LlmopsError):
    """Another worker has taken the trial up, because this one gave no sign of life."""


@dataclass(frozen=True)
class TrialOutcome:
    """What a training came to, with what it took before an interruption where it went on from a checkpoint.

    Attributes:
        loss: validation loss; not finite means that the training diverged.
        seconds: that all of it took; the time since this attempt was claimed when None.
        tokens: trained on.
        cost: US dollars; worked out from the price of the machine when None.
        steps: taken.
        resumed_from: how many of the steps an attempt before had taken.
        reused: the training was there from before: nothing was spent on it now.
    """

    loss: float
    seconds: float | None = None
    tokens: int = 0
    cost: float | None = None
    steps: int = 0
    resumed_from: int = 0
    reused: bool = False

    @property
    def own_share(self) -> float:
        """The part of the training that this attempt did itself, by its steps.

        >>> TrialOutcome(0.5, steps=100, resumed_from=80).own_share
        0.2
        """
        return (self.steps - self.resumed_from) / self.steps if self.steps else 1.0


@dataclass(frozen=True)
class Trial:
    """One point of the space.

    Attributes:
        number: from 0 (people read it from 1); a trial that is taken up again keeps it.
        values: what it sets in the training settings.
        state: running; open (its process died or gave it back: to be taken up again); finished, pruned, diverged; or
            given up, because its process died or its training raised again and again.
        attempt: from 1; how often it was taken up.
        outcome: once it is known. A pruned trial has the last loss that it reported.
        curve: validation loss by share of the run in percent, at every tenth; see :mod:`llmops.tuning.pruners`.
        key: number of this attempt in the storage (Optuna's trial number).
        errors: how many of the attempts at it raised.
        reason: why it was given up.
        for_good: no other command tries it again either.
    """

    number: int
    values: dict[str, Any]
    state: State = "running"
    attempt: int = 1
    outcome: TrialOutcome | None = None
    curve: dict[int, float] = field(default_factory=dict)
    key: int = -1
    errors: int = 0
    reason: str | None = None
    for_good: bool = False
    _report: Callable[["Trial", int, float, int], bool] | None = field(default=None, repr=False, compare=False)

    @property
    def loss(self) -> float | None:
        """The validation loss once known; infinite where the training diverged."""
        if self.state == "diverged":
            return math.inf
        return self.outcome.loss if self.outcome else None

    def report(self, step: int, loss: float, total_steps: int) -> bool:
        """Tell a validation loss while training; True: the trial is to be pruned.

        Args:
            step: steps done.
            loss: validation loss after them.
            total_steps: steps of the whole run, which make the step a share that trials of other lengths have too.

        Raises:
            TrialTakenError: another worker has taken the trial up, because this one seemed dead.
        """
        if self._report is None:
            raise ValueError(f"trial {self.number + 1} was not claimed here")
        return self._report(self, step, loss, total_steps)


def how_it_ended(trials: Sequence[Trial], planned: int, grid: int | None) -> str:
    """Why there is no trial left, as a sentence.

    Args:
        trials: of a search that has nothing left to do.
        planned: how many there were to be.
        grid: points of the grid, where it is one.

    >>> how_it_ended([], planned=4, grid=6)
    '4 of the 6 points of the grid were tried'
    """
    given_up = [f"trial {one.number + 1} was given up: {one.reason}" for one in trials if one.reason]
    if given_up:
        return given_up[0] + (f" (and {len(given_up) - 1} more)" if len(given_up) > 1 else "")
    if grid is None:
        return f"all {planned} trials were run"
    return f"{'all' if planned == grid else f'{planned} of the'} {grid} points of the grid were tried"
