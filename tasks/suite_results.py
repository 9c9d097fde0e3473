"""What a suite came to, model by model: the object that ``--json`` prints, and the table that a person reads."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, computed_field
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from llmops.evaluation import Estimate
from tasks.results import FlowResult

if TYPE_CHECKING:
    from tasks.evaluation_result import EvaluationResult

WORST_SHOWN = 3


class ModelOutcome(BaseModel):
    """One model's evaluation, and what its gate says; `verdict` is None where there was nothing to compare with.

    notes: what a reader of the figures must know, such as a partial result, or a baseline that was left out.
    """

    model: str
    passed: bool
    verdict: str | None
    sentence: str
    worst: list[str] = []
    notes: list[str] = []
    news: str = ""
    run_id: str
    url: str | None = None
    metrics: dict[str, Estimate] = {}


class SuiteResult(FlowResult):
    """Every model of a suite."""

    suite: str
    dataset: str
    run_id: str
    outcomes: list[ModelOutcome]

    @computed_field
    def verdicts(self) -> dict[str, str | None]:
        """The gate's answer by model."""
        return {one.model: one.verdict for one in self.outcomes}

    @property
    def passed(self) -> bool:
        """Whether every model's gate passed."""
        return all(one.passed for one in self.outcomes)

    @property
    def exit_status(self) -> int:
        """0 every gate passed, 1 one failed."""
        return 0 if self.passed else 1

    def __rich__(self) -> RenderableType:
        table = Table(title=f"Suite {self.suite} on {self.dataset}", title_justify="left", box=SIMPLE_HEAD)
        for heading in ("model", "gate", "verdict", "why"):
            table.add_column(heading)
        for one in self.outcomes:
            gate = "[green]passed[/]" if one.passed else "[bold red]failed[/]"
            table.add_row(escape(one.model), gate, one.verdict or "–", escape(one.sentence))
        notes = [Text(f"{one.model}: {note}", "yellow") for one in self.outcomes for note in one.notes]
        return Group(table, *notes)


def shorten(text: str, most: int) -> str:
    """A text in one line of at most so many characters.

    >>> shorten("one  two\\nthree", 9)
    'one two …'
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def outcome_of(model: str, result: "EvaluationResult") -> ModelOutcome:
    """What a model's evaluation says to the suite: the first comparison that failed, or the first of all."""
    failed = [one for one in result.comparisons if not one.comparison.passed]
    decisive = next(iter(failed or result.comparisons), None)
    if decisive is None:
        sentence = "Nothing to compare with yet: this run is what the next one is compared with."
        verdict, worst = None, []
    else:
        sentence = f"Against {decisive.model}: {decisive.comparison.sentence}"
        verdict = decisive.comparison.verdict
        worst = [one.sentence for one in decisive.comparison.verdicts.values() if one.verdict == "worse"][:WORST_SHOWN]
        if decisive.changes is not None:
            worst += [
                f"{shorten(one.input, 120)!r}: wanted {shorten(one.expected, 80)!r}, got {shorten(one.after, 80)!r}"
                for one in decisive.changes.regressions[:WORST_SHOWN]
            ]
    return ModelOutcome(
        model=model,
        passed=result.exit_status == 0,
        verdict=verdict,
        sentence=sentence,
        worst=worst,
        notes=list(result.notes),
        run_id=result.run_id,
        metrics=result.metrics,
    )
