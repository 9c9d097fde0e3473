"""What each flow returns: the object that ``--json`` prints, and the tables that a person reads."""

from typing import Any

from pydantic import BaseModel, computed_field, field_serializer
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from llmops.data import DatasetVersion, PreparationReport
from llmops.evaluation import Comparison, Estimate
from llmops.evaluation.metrics.measurement import find_metric
from tasks.dataset_summary import next_commands, report_summary
from tasks.promotion import Promotion, Rollback

COLOURS = {"better": "green", "not worse": "green", "worse": "red", "inconclusive": "yellow"}


# From this width on a figure and its interval fit on one line beside three others.
ONE_LINE_WIDTH = 96


class FlowResult(BaseModel):
    """What a flow returns; `exit_status` is what the command that ran it ends with."""

    @property
    def exit_status(self) -> int:
        """0 done and every gate passed, 1 a gate failed."""
        return 0


class DatasetResult(FlowResult):
    """A published dataset version and how it came about; `reused` says that the same version was there already."""

    dataset: str
    version: DatasetVersion
    report: PreparationReport
    reused: bool
    run_id: str
    report_at: str

    @field_serializer("version")
    def _version_without_its_report(self, version: DatasetVersion) -> dict[str, Any]:
        # The report of this run stands beside it; that of a version that was there already is in `llmops show dataset`.
        return version.model_dump(mode="json", exclude={"report"})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = Text(f"Dataset {self.dataset}", "bold")
        title.append(f"  {self.version.kind}, digest {self.version.digest[:12]}", "not bold dim")
        yield title
        if self.reused:
            yield Text("The same samples with the same settings as before: nothing new was published.", "yellow")
        yield ""
        yield report_summary(self.report)
        yield ""
        yield Text("Go on with")
        for line in (*next_commands(self.dataset, self.version.counts), "", f"Report  {self.report_at}"):
            yield Segment(f"  {line}".rstrip() + "\n")  # whole, to be copied, however narrow the terminal


class TrialResult(BaseModel):
    """One training of a search."""

    number: int
    values: dict[str, float]
    loss: float


class SearchResult(FlowResult):
    """A finished search: every trial, and the settings that won."""

    dataset: str
    best: dict[str, float]
    trials: list[TrialResult]
    reused: bool
    run_id: str | None

    def __rich__(self) -> RenderableType:
        table = Table(title=f"Search on {self.dataset}", title_justify="left")
        for heading in ("trial", *self.best, "validation loss"):
            table.add_column(heading, justify="right")
        for trial in sorted(self.trials, key=lambda one: one.loss):
            cells = (
                str(trial.number + 1),
                *(f"{trial.values[name]:.3g}" for name in self.best),
                f"{trial.loss:.4f}",
            )
            table.add_row(*cells, style="bold" if trial.values == self.best else "")
        return table


class Example(BaseModel):
    """One held-out input with what was wanted and what each model answered."""

    input: str
    expected: str
    baseline: str | None
    output: str


class ComparedWith(BaseModel):
    """The candidate against one other model on the same inputs."""

    model: str
    metrics: dict[str, Estimate]
    comparison: Comparison


class EvaluationResult(FlowResult):
    """A model's figures with their intervals, how it compares, and what became of it."""

    dataset: str
    split: str
    model: str
    model_uri: str
    run_id: str
    metrics: dict[str, Estimate]
    comparisons: list[ComparedWith] = []
    nearest_neighbour: dict[str, Estimate] = {}
    examples: list[Example] = []
    promotion: Promotion | None = None
    open_with: list[str] = []

    @computed_field
    def baseline(self) -> dict[str, Estimate]:
        """The first compared model's figures."""
        return self.comparisons[0].metrics if self.comparisons else {}

    @computed_field
    def verdict(self) -> str | None:
        """The gate's answer against the first compared model."""
        return self.comparisons[0].comparison.verdict if self.comparisons else None

    @computed_field
    def verdicts(self) -> dict[str, str]:
        """The same, metric by metric."""
        if not self.comparisons:
            return {}
        return {name: one.verdict for name, one in self.comparisons[0].comparison.verdicts.items()}

    @property
    def headline(self) -> str:
        """The result in a few words."""
        if not self.comparisons:
            return f"{self.model} on {self.dataset}"
        return f"{self.model} against {self.comparisons[0].model} on {self.dataset}: {self.verdict}"

    @property
    def exit_status(self) -> int:
        """0 where the candidate serves, or where no comparison failed."""
        if self.promotion is not None:
            return 0 if self.promotion.passed else 1
        return 0 if all(one.comparison.passed for one in self.comparisons) else 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        parts: list[RenderableType] = []
        if self.examples:
            parts += [examples_table(self.examples[:3]), ""]
        parts.append(figures_table(self, narrow=options.max_width < ONE_LINE_WIDTH))
        for one in self.comparisons:
            colour = COLOURS[one.comparison.verdict]
            parts.append(Text(f"Against {one.model}: {one.comparison.sentence}", colour))
        if self.promotion is not None:
            colour = "green" if self.promotion.passed else "red"
            parts.append(Text(self.promotion.sentence, f"bold {colour}"))
        if self.open_with:
            parts += ["", "Look at it in the two UIs:"]
        yield from parts
        for command in self.open_with:  # whole, to be copied, however narrow the terminal
            yield Segment(f"  {command}\n")


class RollbackResult(FlowResult):
    """An alias that was given back."""

    rollback: Rollback
    model_uri: str
    run_id: str

    def __rich__(self) -> RenderableType:
        done = self.rollback
        return Text(f"{done.name}: version {done.champion} is champion again, version {done.former} no longer is.")


def figures_table(result: EvaluationResult, *, narrow: bool = False) -> Table:
    """Every metric: the compared models, the baseline that copies, the candidate, and the verdict.

    In a narrow terminal the intervals stand below their figures.
    """
    table = Table(
        title=f"{result.dataset}, {result.split} split, with 95 % intervals",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("metric")
    for one in result.comparisons:
        table.add_column(one.model, justify="right")
    if result.nearest_neighbour:
        table.add_column("nearest training\nanswer, copied", justify="right", style="dim")
    table.add_column(result.model, justify="right", style="bold")
    if result.comparisons:
        table.add_column(f"against {result.comparisons[0].model}", no_wrap=True)
    for name, figure in result.metrics.items():
        others = [one.metrics for one in result.comparisons]
        others += [result.nearest_neighbour] if result.nearest_neighbour else []
        cells = [with_interval(name, figures[name]) if name in figures else "" for figures in others]
        cells.append(with_interval(name, figure))
        if narrow:
            cells = [cell.replace(" [", "\n[") for cell in cells]
        verdict = result.verdicts.get(name)
        said = f"[{COLOURS[verdict]}]{verdict}[/]" if verdict else ""
        table.add_row(label_of(name), *cells, said)
    return table


def label_of(name: str) -> str:
    """A metric's name with its unit, if it is a share."""
    metric = find_metric(name)
    return f"{metric.label}, %" if metric.scale == "share" else metric.label


def with_interval(name: str, figure: Estimate) -> str:
    """A figure with its 95 % interval; shares as percentages."""
    scale = find_metric(name).scale
    times = 100 if scale == "share" else 1
    digits = 1 if scale != "number" or figure.value >= 100 else 3
    value, low, high = (f"{times * number:,.{digits}f}" for number in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def examples_table(examples: list[Example]) -> Table:
    """Held-out inputs beside what was wanted and what the models answered."""
    table = Table(title="Held-out inputs, before and after", title_justify="left", show_lines=True)
    for heading in ("input", "wanted", "before", "after"):
        table.add_column(heading, overflow="fold", ratio=1)
    for one in examples:
        table.add_row(*(Text(text or "") for text in (one.input, one.expected, one.baseline, one.output)))
    return table
