"""What a search wants to be low: one objective, or several with the Pareto front of their trade-offs."""

import math
from collections.abc import Iterable, Sequence

from llmops.tuning.trials import Trial, TrialOutcome


def objective_values(outcome: TrialOutcome, objectives: Sequence[str]) -> list[float]:
    """An outcome in the order of the objectives; a training that diverged has an infinite loss.

    >>> objective_values(TrialOutcome(loss=0.5, seconds=60.0, tokens=1000), ["validation_loss", "tokens"])
    [0.5, 1000.0]
    """
    known = {
        "validation_loss": outcome.loss if math.isfinite(outcome.loss) else math.inf,
        "seconds": outcome.seconds or 0.0,
        "tokens": float(outcome.tokens),
        "cost": outcome.cost or 0.0,
    }
    return [known[one] for one in objectives]


def pareto_front(trials: Iterable[Trial], objectives: Sequence[str]) -> list[Trial]:
    """The finished trials than which no other is lower in one objective and at most as high in all others."""
    done = [one for one in trials if one.state == "finished"]
    rows = [(one, objective_values(one.outcome, objectives)) for one in done if one.outcome]
    return [one for one, row in rows if not any(_dominates(other, row) for _, other in rows)]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)


def best_of(trials: Sequence[Trial], objectives: Sequence[str]) -> Trial:
    """The trial with the lowest validation loss on the Pareto front; a diverged one where all diverged.

    With one objective the front is the lowest loss. With several it is the end of the front that costs most:
    what else lies on it is a person's choice.

    Raises:
        ValueError: no trial has finished.
    """
    candidates = pareto_front(trials, objectives) or [one for one in trials if one.state == "diverged"]
    if not candidates:
        raise ValueError("no trial has finished")
    return min(candidates, key=lambda one: (math.inf if one.loss is None else one.loss, one.number))
