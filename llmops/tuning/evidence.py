"""What a search has found, as tables that a picture is drawn from."""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from llmops.tuning.dimensions import Choices, Value
from llmops.tuning.spaces import ActiveDimension
from llmops.tuning.trials import State, Trial

# With fewer trials a share of importance is chance.
FEWEST_FOR_IMPORTANCES = 10


@dataclass(frozen=True)
class HistoryRow:
    """One trial of the history: its loss, and the lowest of a finished trial up to it."""

    number: int
    state: State
    loss: float | None
    best: float | None


def history(trials: Iterable[Trial]) -> list[HistoryRow]:
    """How the lowest validation loss fell from trial to trial; losses that are not finite are None."""
    rows = []
    best: float | None = None
    for one in trials:
        loss = one.loss if one.loss is not None and math.isfinite(one.loss) else None
        if one.state == "finished" and loss is not None:
            best = loss if best is None else min(best, loss)
        rows.append(HistoryRow(one.number, one.state, loss, best))
    return rows


@dataclass(frozen=True)
class Axis:
    """One axis of a picture with parallel coordinates: its scale, and its ends or its choices."""

    field: str
    scale: Literal["log", "linear", "choices"]
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] = ()


def axes(dimensions: Iterable[ActiveDimension]) -> list[Axis]:
    """The axes for the dimensions of a search; a trial has no value on one whose condition does not hold."""
    found = []
    for one in dimensions:
        if isinstance(one.dimension, Choices):
            found.append(Axis(one.field, "choices", choices=tuple(one.dimension.choices)))
        else:
            scale: Literal["log", "linear"] = "log" if one.dimension.log else "linear"
            found.append(Axis(one.field, scale, low=one.dimension.low, high=one.dimension.high))
    return found


def importances(study: Any, objective: int = 0) -> dict[str, float] | None:
    """How much of the variation of the validation loss each dimension accounts for; shares of 1, largest first.

    By functional ANOVA (Hutter, Hoos, Leyton-Brown, ICML 2014) over the finished trials with a finite loss. It
    takes the dimensions that all these trials have; one with a condition is told only where it always held. None
    with fewer than ten such trials, where all losses are equal, or where there is nothing to compare.

    Args:
        study: of Optuna.
        objective: which of its values is the validation loss.
    """
    import optuna
    from optuna.trial import TrialState

    done = [
        one
        for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if math.isfinite(one.values[objective])
    ]
    common = set.intersection(*(set(one.params) for one in done)) if done else set()
    varied = [name for name in sorted(common) if len({one.params[name] for one in done}) > 1]
    if len(done) < FEWEST_FOR_IMPORTANCES or not varied or len({one.values[objective] for one in done}) == 1:
        return None
    finite = optuna.create_study()
    finite.add_trials([optuna.create_trial(**_single(one, varied, objective)) for one in done])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(
            finite, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0), params=varied
        )
    return {name: float(share) for name, share in found.items()}


def _single(trial: Any, names: list[str], objective: int) -> dict[str, Any]:
    return {
        "value": trial.values[objective],
        "params": {name: trial.params[name] for name in names},
        "distributions": {name: trial.distributions[name] for name in names},
    }
