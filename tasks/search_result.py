"""What the flow `tune` returns: every trial, the settings that won, and how sure that is."""

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, field_serializer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tasks.results import FlowResult

TrialState = Literal["finished", "pruned", "diverged", "given up", "open", "running"]

# A terminal is full before a long search is; the whole table is beside the MLflow run.
MOST_ROWS = 20
HEADINGS = {"validation_loss": "validation loss", "seconds": "seconds", "tokens": "tokens", "cost": "cost"}


class TrialResult(BaseModel):
    """One training of a search.

    Attributes:
        number: from 1, in the order in which they were proposed.
        state: finished, pruned (ended early because others were better by then) or diverged (no finite loss), or
            given up (its process died or its training raised time and again), or open (its process died and the
            budget is spent).
        values: what it set, by the field of the training settings.
        objectives: what was minimised, by name; empty where it did not finish.
        loss: validation loss; of a pruned trial the last one seen.
        seconds, tokens, steps: of training; cost: US dollars, where the hour of this machine has a price.
        run_id: its MLflow run.
        reason: why it was given up.
    """

    number: int
    state: TrialState
    values: dict[str, Any]
    objectives: dict[str, float] = {}
    loss: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    cost: float | None = None
    steps: int | None = None
    run_id: str | None = None
    reason: str | None = None

    @field_serializer("loss", "objectives", when_used="json")
    def _finite(self, value: float | Mapping[str, float] | None) -> Any:
        """A loss that is infinite is no number in JSON."""
        if isinstance(value, Mapping):
            return {name: one for name, one in value.items() if math.isfinite(one)}
        return value if value is not None and math.isfinite(value) else None


class FinalistResult(BaseModel):
    """One of the best configurations, trained again with new seeds.

    Attributes:
        trial: number of the trial that proposed it.
        values: what it set.
        seeds: those it was trained with again.
        losses: validation loss by seed; None where the training diverged.
        mean: of the losses; None where one diverged.
    """

    trial: int
    values: dict[str, Any]
    seeds: list[int]
    losses: list[float | None]
    mean: float | None


class FinaleResult(BaseModel):
    """What training the finalists again has shown.

    Attributes:
        winner: number of the trial whose values won.
        finalists: lowest mean loss first.
        difference: mean loss of the second minus that of the winner; low, high: its interval.
        level: of the interval, raised for the number of finalists.
        by_more_than_noise: whether the winner is better than every other finalist by more than the seeds' noise.
        sentence: all of it in a line.
    """

    winner: int
    finalists: list[FinalistResult]
    difference: float | None
    low: float | None
    high: float | None
    level: float
    by_more_than_noise: bool
    sentence: str


class SearchSpent(BaseModel):
    """What a search took, all its workers and commands together; cost is None where the hour has no price."""

    trials: int
    seconds: float
    tokens: int
    cost: float | None = None

    @property
    def sentence(self) -> str:
        """All of it in a line."""
        parts = [f"{self.trials} trials", f"{self.seconds:,.1f} s of training", f"{self.tokens:,} tokens"]
        return ", ".join(parts if self.cost is None else [*parts, dollars(self.cost)])


class SearchResult(FlowResult):
    """A finished search.

    Attributes:
        dataset: the version, ``name@number``.
        best: the values that won, to be merged into the training settings; with finalists, the finale's winner.
        best_trial: its number.
        trials: every trial, by number.
        pareto: numbers of the trials that no other is better than in every objective.
        objectives: what was minimised.
        importances: share of the objective's variation that each field explains.
        finale: what training the best again with new seeds has shown.
        stopped: why it ended.
        spent: what it took.
        reused: the search had been done before; nothing was trained.
        run_id: MLflow run with a child for each trial.
        pictures: where the pictures are.
        next_command: fine-tunes with the best values.
        notes: what a person should know about the figures.
    """

    dataset: str
    best: dict[str, Any]
    best_trial: int
    trials: list[TrialResult]
    pareto: list[int] = Field(default=[])
    objectives: list[str] = Field(default=["validation_loss"])
    importances: dict[str, float] = Field(default={})
    finale: FinaleResult | None = None
    stopped: str = ""
    spent: SearchSpent
    reused: bool = False
    run_id: str | None = None
    pictures: str | None = None
    next_command: str = ""
    notes: list[str] = Field(default=[])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"Search on {self.dataset}", "bold")
        yield self._table()
        yield Text(f"Best: trial {self.best_trial}, {said_values(self.best)}", "bold")
        if len(self.objectives) > 1:
            yield Text(f"No other is better in every objective: {_listed(self.pareto)}")
        if self.finale is not None:
            yield Text(capitalised(self.finale.sentence), "" if self.finale.by_more_than_noise else "yellow")
        for note in self.notes:
            yield Text(note, "yellow")
        yield Text(f"{capitalised(self.stopped)}. Spent: {self.spent.sentence}.")
        yield ""
        yield Text("Go on with")
        yield Segment("".join(f"  {line}\n" for line in broken_command(self.next_command, options.max_width - 4)))
        if self.pictures:
            yield Segment(f"\n  Pictures  {self.pictures}\n")

    def _table(self) -> Table:
        table = Table()
        shown = ranked(self.trials)[:MOST_ROWS]
        headings, rows = trial_rows(shown, self.objectives)
        for heading in headings:
            table.add_column(heading, justify="left" if heading in ("state", "reason") else "right")
        for trial, cells in zip(shown, rows, strict=True):
            table.add_row(*cells, style="bold" if trial.number == self.best_trial else "")
        if len(self.trials) > len(shown):
            table.caption = f"the best {len(shown)} of {len(self.trials)}"
        return table


def ranked(trials: Iterable[TrialResult]) -> list[TrialResult]:
    """Finished trials by their loss, then pruned ones, then diverged ones."""
    order = get_args(TrialState)
    return sorted(trials, key=lambda one: (order.index(one.state), _loss(one), one.number))


def _loss(trial: TrialResult) -> float:
    return trial.loss if trial.loss is not None else math.inf


def trial_rows(trials: Iterable[TrialResult], objectives: Iterable[str]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table of trials; a field that a trial does not have stays empty.

    The reason why one was given up is a column where there is such a trial.
    """
    listed = list(trials)
    fields = list(dict.fromkeys(name for trial in listed for name in trial.values))
    figures = ["seconds", "tokens"] + (["cost"] if any(one.cost is not None for one in listed) else [])
    minimised = list(objectives)
    reasons = ["reason"] if any(one.reason for one in listed) else []
    headings = ["trial", "state", *fields, *(_heading(name, minimised) for name in ("validation_loss", *figures))]
    headings += reasons
    rows = [
        [
            str(trial.number),
            trial.state,
            *(said_value(trial.values[name]) if name in trial.values else "" for name in fields),
            "" if trial.loss is None or not math.isfinite(trial.loss) else f"{trial.loss:.4f}",
            "" if trial.seconds is None else f"{trial.seconds:,.1f}",
            "" if trial.tokens is None else f"{trial.tokens:,}",
            *([("" if trial.cost is None else dollars(trial.cost))] if "cost" in figures else []),
            *([trial.reason or ""] if reasons else []),
        ]
        for trial in listed
    ]
    return headings, rows


def _heading(name: str, minimised: list[str]) -> str:
    return f"{HEADINGS[name]} ↓" if len(minimised) > 1 and name in minimised else HEADINGS[name]


def said_values(values: Mapping[str, Any]) -> str:
    """Values in a line.

    >>> said_values({"learning_rate": 0.0041234, "batch_size": 16, "method": "lora"})
    'learning_rate 0.00412, batch_size 16, method lora'
    """
    return ", ".join(f"{name} {said_value(value)}" for name, value in values.items())


def said_value(value: Any) -> str:
    """A value as a person reads it, to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def dollars(cost: float) -> str:
    """An amount of money, with as many digits as show something.

    >>> dollars(12.345), dollars(0.00012)
    ('$12.35', '$0.0001')
    """
    return f"${cost:,.2f}" if cost >= 1 else f"${cost:.4f}"


def fine_tune_command(
    dataset: str, base_model: str, training: Mapping[str, Any], scratch: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """The command that fine-tunes with these settings, ready to be pasted.

    >>> fine_tune_command("support@1", "tiny", {"learning_rate": 0.004, "rank": 16})
    'llmops run fine-tune --dataset support@1 --training.learning-rate 0.004 --training.rank 16'
    """
    words = ["llmops", "run", "fine-tune", "--dataset", dataset]
    if base_model != "tiny":
        words += ["--base-model", base_model]
    for section, settings in (("training", training), ("scratch", scratch)):
        for name, value in settings.items():
            # Every digit: the same settings are the same training, which is then not done again.
            words += [f"--{section}.{name.replace('_', '-')}", "null" if value is None else str(value)]
    return shlex.join(words)


def broken_command(command: str, width: int) -> list[str]:
    """A command over several lines as a shell takes it, broken before options only.

    >>> broken_command("llmops run tune --dataset support --trials 12", 40)
    ['llmops run tune --dataset support \\\\', '    --trials 12']
    """
    lines = [""]
    for part in re.split(r" (?=--)", command):
        if lines[-1] and len(lines[-1]) + len(part) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return lines


def capitalised(text: str) -> str:
    """A sentence with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(f"trial {number}" for number in numbers)
