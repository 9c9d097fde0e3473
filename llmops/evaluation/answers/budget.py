"""How much a run may spend, and what it has spent."""

import time
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from llmops.llm.completions import Completion


class Budget(BaseModel):
    """Where a run stops asking. Only what is newly asked counts; answers that are reused cost nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_cost: float | None = Field(default=None, ge=0, description="US dollars.")
    max_tokens: int | None = Field(default=None, ge=0, description="Tokens, of requests and answers together.")
    max_seconds: float | None = Field(default=None, ge=0, description="Seconds in which requests may be sent.")


UNLIMITED = Budget()
BEFORE_THE_FIRST_ANSWER = 4
"""Requests in flight while nobody knows yet what an answer costs."""


@dataclass
class Spending:
    """What the new answers of a run have taken so far.

    answered: new answers. failed: requests that got none, by the kind of their error. cost: US dollars, None as soon
    as one answer's is not known. in_flight: requests that are under way.
    """

    budget: Budget = UNLIMITED
    answered: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    cost: float | None = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    in_flight: int = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, completion: Completion) -> None:
        """Take in an answer."""
        self.answered += 1
        self.cost = None if self.cost is None or completion.cost is None else self.cost + completion.cost
        self.input_tokens += completion.input_tokens or 0
        self.output_tokens += completion.output_tokens or 0

    def fail(self, kind: str) -> None:
        """Take in a request that was not answered."""
        self.failed[kind] = self.failed.get(kind, 0) + 1

    def merge(self, other: "Spending") -> None:
        """Take in what something else has taken."""
        self.answered += other.answered
        for kind, number in other.failed.items():
            self.failed[kind] = self.failed.get(kind, 0) + number
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens

    @property
    def exhausted(self) -> str | None:
        """The sentence that says which limit is reached; None while none is.

        >>> spent = Spending(Budget(max_tokens=10))
        >>> spent.exhausted
        >>> spent.input_tokens = 12
        >>> spent.exhausted
        'the budget of 10 tokens is spent (12)'
        """
        budget = self.budget
        tokens = self.input_tokens + self.output_tokens
        if budget.max_cost is not None and self.cost is None:
            return f"what an answer cost is not known, so the budget of ${budget.max_cost:g} cannot be kept"
        if budget.max_cost is not None and self.cost is not None and self.cost >= budget.max_cost:
            return f"the budget of ${budget.max_cost:g} is spent (${self.cost:.4f})"
        if budget.max_tokens is not None and tokens >= budget.max_tokens:
            return f"the budget of {budget.max_tokens:,} tokens is spent ({tokens:,})"
        if budget.max_seconds is not None and time.monotonic() - self.started >= budget.max_seconds:
            return f"the {budget.max_seconds:g} seconds it may take are over"
        return None

    @property
    def promised(self) -> bool:
        """Whether what is in flight will use the budget up, should it cost what answers have cost so far.

        Then one waits instead of sending more, so that a run with many requests in flight does not overshoot by all
        of them. Before the first answer a few are enough to use up any budget.
        """
        budget = self.budget
        if not self.in_flight or (budget.max_cost is None and budget.max_tokens is None):
            return False
        if not self.answered:
            return self.in_flight >= BEFORE_THE_FIRST_ANSWER
        share = 1 + self.in_flight / self.answered
        tokens = self.input_tokens + self.output_tokens
        return (budget.max_cost is not None and (self.cost or 0.0) * share >= budget.max_cost) or (
            budget.max_tokens is not None and tokens * share >= budget.max_tokens
        )
