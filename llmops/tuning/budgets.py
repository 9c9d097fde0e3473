"""What a search has spent, and whether that is all it may."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmops.tuning.config import SearchBudget
from llmops.tuning.trials import TrialOutcome


@dataclass(frozen=True)
class Spent:
    """What a search has spent, with what is under way and what was lost with processes that died.

    A training that was taken from before was not paid for by the search: it counts as a trial and spends nothing.

    Attributes:
        trials: begun, each counted once however often it was taken up.
        seconds: of training, all trials together.
        tokens: trained on; those of an attempt that died are known once another has gone on from it.
        cost: US dollars.
    """

    trials: int
    seconds: float
    tokens: int
    cost: float

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            trials=self.trials + other.trials,
            seconds=self.seconds + other.seconds,
            tokens=self.tokens + other.tokens,
            cost=self.cost + other.cost,
        )

    def with_more(self, outcomes: Iterable[TrialOutcome], cost_per_hour: float | None) -> "Spent":
        """The same with trainings that are no trials: those of the finale.

        >>> Spent(1, 10.0, 100, 0.0).with_more([TrialOutcome(0.5, seconds=3600.0, tokens=50)], cost_per_hour=2.0)
        Spent(trials=1, seconds=3610.0, tokens=150, cost=2.0)
        """
        every = [one for one in outcomes if not one.reused]
        seconds = sum(one.seconds or 0.0 for one in every)
        tokens = sum(one.tokens for one in every)
        return self + Spent(0, seconds, tokens, seconds / 3600 * (cost_per_hour or 0.0))


def spent_on(attempts: Sequence[TrialOutcome]) -> Spent:
    """What all attempts at one trial have spent, from what each came to.

    Their own parts added up; or all of the training once where that is more, for nobody knows the tokens of an attempt
    that died, and one that went on from its checkpoint has them.

    >>> lost = TrialOutcome(0.9, seconds=90.0, tokens=900, steps=9)  # raised, and nothing was kept of it
    >>> spent_on([lost, TrialOutcome(0.5, seconds=100.0, tokens=1000, steps=10)])
    Spent(trials=1, seconds=190.0, tokens=1900, cost=0.0)
    >>> spent_on([lost, TrialOutcome(0.5, seconds=100.0, tokens=1000, steps=10, resumed_from=8)])
    Spent(trials=1, seconds=110.0, tokens=1100, cost=0.0)
    """
    paid = [one for one in attempts if not one.reused]

    def total(figures: Sequence[float]) -> float:
        return max([sum(one.own_share * figure for one, figure in zip(paid, figures, strict=True)), *figures])

    return Spent(
        trials=1,
        seconds=total([one.seconds or 0.0 for one in paid]),
        tokens=round(total([one.tokens for one in paid])),
        cost=total([one.cost or 0.0 for one in paid]),
    )


def exhausted(budget: SearchBudget, spent: Spent) -> str | None:
    """Which part of a budget is spent, as a sentence; None while nothing is.

    >>> exhausted(SearchBudget(max_cost=2), Spent(trials=3, seconds=900, tokens=5000, cost=2.25))
    'the budget of $2.00 is spent ($2.25)'
    """
    if budget.max_cost is not None and spent.cost >= budget.max_cost:
        return f"the budget of ${budget.max_cost:,.2f} is spent (${spent.cost:,.2f})"
    if budget.max_tokens is not None and spent.tokens >= budget.max_tokens:
        return f"the budget of {budget.max_tokens:,} tokens is spent ({spent.tokens:,})"
    if budget.max_seconds is not None and spent.seconds >= budget.max_seconds:
        return f"the budget of {budget.max_seconds:,.0f} s of training is spent ({spent.seconds:,.0f} s)"
    return None
