"""One budget for all that an evaluation asks: the model, those it is compared with, and the judges."""

import time
from dataclasses import dataclass, field

from llmops.evaluation.answers import Budget, CollectionReport


@dataclass
class RunBudget:
    """What may be spent, and what was spent by whatever asked so far; cost is None once an answer's is not known."""

    budget: Budget
    cost: float | None = 0.0
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    def left(self) -> Budget:
        """What the next one that asks may spend."""
        limits = self.budget
        spent = self.cost or 0.0
        seconds = time.monotonic() - self.started
        return Budget(
            max_cost=None if limits.max_cost is None else max(0.0, limits.max_cost - spent),
            max_tokens=None if limits.max_tokens is None else max(0, limits.max_tokens - self.tokens),
            max_seconds=None if limits.max_seconds is None else max(0.0, limits.max_seconds - seconds),
        )

    def take(self, report: CollectionReport) -> None:
        """Take in what somebody has spent."""
        if report.answered:
            self.cost = None if self.cost is None or report.cost is None else self.cost + report.cost
        self.tokens += report.input_tokens + report.output_tokens
