"""What an evaluation found: the object that ``--json`` prints, and what a person reads in the terminal."""

from typing import Any

from pydantic import BaseModel, computed_field
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from llmops.evaluation import Comparison, Estimate
from llmops.evaluation.comparison.slices import Slice
from llmops.evaluation.metrics.metric import Metric, Scale
from tasks.asking import Asking
from tasks.judging import JudgeSummary, Preference
from tasks.promotion import Promotion

COLOURS = {"better": "green", "not worse": "green", "worse": "red", "inconclusive": "yellow"}

# From this width on a figure and its interval fit on one line beside three others.
ONE_LINE_WIDTH = 96
SHOWN_CHANGES = 3
LONGEST = 300


class ShownMetric(BaseModel):
    """How a metric is shown: what it is called and on which scale its values are."""

    label: str
    scale: Scale

    @classmethod
    def of(cls, metric: Metric) -> "ShownMetric":
        """That of a metric."""
        return cls(label=metric.label, scale=metric.scale)

    @property
    def heading(self) -> str:
        """Its name with its unit, if it is a share."""
        return f"{self.label}, %" if self.scale == "share" else self.label

    @property
    def factor(self) -> float:
        """What its values are multiplied by to be shown; shares are shown in per cent."""
        return 100.0 if self.scale == "share" else 1.0

    def say(self, figure: Estimate) -> str:
        """A figure with its interval.

        >>> ShownMetric(label="exact match", scale="share").say(Estimate(value=0.5, low=0.4, high=0.6, n=100))
        '50.0 [40.0, 60.0]'
        """
        if self.scale in ("share", "hundred") or abs(figure.value) >= 100:
            digits = 1
        else:
            digits = 3 if abs(figure.value) >= 0.01 or figure.value == 0 else 6
        value, low, high = (f"{self.factor * number:,.{digits}f}" for number in (figure.value, figure.low, figure.high))
        return f"{value} [{low}, {high}]"


class Example(BaseModel):
    """One question with what was wanted and what each model answered."""

    input: str
    messages: list[dict[str, Any]]
    expected: str
    baseline: str | None
    output: str | None


class ChangedQuestion(BaseModel):
    """A question that one model got right, or more of it, than the other."""

    input: str
    expected: str
    before: str
    after: str
    change: float


class ChangedQuestions(BaseModel):
    """How many questions broke and how many were fixed in one metric, and the largest changes."""

    metric: str
    compared: int
    regressed: int
    fixed: int
    regressions: list[ChangedQuestion] = []
    fixes: list[ChangedQuestion] = []

    @property
    def sentence(self) -> str:
        """The counts in a line."""
        return f"Of {self.compared:,} questions {self.regressed:,} broke and {self.fixed:,} were fixed ({self.metric})."


class ComparedWith(BaseModel):
    """The candidate against one other model on the same questions."""

    model: str
    run_id: str | None = None
    metrics: dict[str, Estimate]
    comparison: Comparison
    changes: ChangedQuestions | None = None
    slices: list[Slice] = []
    preferences: list[Preference] = []


class EvaluationResult(BaseModel):
    """A model's figures with their intervals, how it compares, and what became of it."""

    dataset: str
    split: str
    model: str
    model_uri: str
    prompt: str | None = None
    repeats: int = 1
    run_id: str
    metrics: dict[str, Estimate]
    shown: dict[str, ShownMetric]
    asking: Asking | None = None
    judges: dict[str, JudgeSummary] = {}
    comparisons: list[ComparedWith] = []
    nearest_neighbour: dict[str, Estimate] = {}
    examples: list[Example] = []
    notes: list[str] = []
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
        if self.asking is not None and self.asking.sentence:
            parts.append(Text(f"Answers: {self.asking.sentence}.", "dim"))
        for name, panel in self.judges.items():
            parts.append(Text(f"Judges of {name}: {panel.sentence}", "dim"))
        parts += [Text(note, "yellow") for note in self.notes]
        for one in self.comparisons:
            parts += _said_of(one)
        if self.promotion is not None:
            colour = "green" if self.promotion.passed else "red"
            parts.append(Text(self.promotion.sentence, f"bold {colour}"))
        if self.open_with:
            parts += ["", "Look at it in the two UIs:"]
        yield from parts
        for command in self.open_with:  # whole, to be copied, however narrow the terminal
            yield Segment(f"  {command}\n")


def _said_of(one: ComparedWith) -> list[RenderableType]:
    """What a comparison came to: the verdict, what broke, which slices stand out, what judges prefer."""
    said: list[RenderableType] = [
        Text(f"Against {one.model}: {one.comparison.sentence}", COLOURS[one.comparison.verdict])
    ]
    if one.changes is not None:
        said.append(Text(f"  {one.changes.sentence}"))
        said += [
            Text(
                f"  broke: {_short(change.input)}  wanted {_short(change.expected, 40)}, got {_short(change.after, 40)}"
            )
            for change in one.changes.regressions[:SHOWN_CHANGES]
        ]
    said += [
        Text(
            f"  {part.column} = {part.value}: {part.label} {part.verdict} on {part.n:,} questions",
            COLOURS[part.verdict],
        )
        for part in one.slices
        if part.verdict in ("better", "worse")
    ]
    said += [Text(f"  {preference.sentence}") for preference in one.preferences]
    return said


def _cut(text: str) -> str:
    """A long text without its middle: what is asked stands at its beginning, what is answered often at its end."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _short(text: str, longest: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"…{line[-longest:]}"


def figures_table(result: EvaluationResult, *, narrow: bool = False) -> Table:
    """Every metric: the compared models, the baseline that copies, the candidate, and the verdict.

    In a narrow terminal the intervals stand below their figures.
    """
    table = Table(
        title=f"{result.dataset}, {_which(result)}, with 95 % intervals",
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
        shown = result.shown[name]
        others = [one.metrics for one in result.comparisons]
        others += [result.nearest_neighbour] if result.nearest_neighbour else []
        cells = [shown.say(figures[name]) if name in figures else "" for figures in others]
        cells.append(shown.say(figure))
        if narrow:
            cells = [cell.replace(" [", "\n[") for cell in cells]
        verdict = result.verdicts.get(name)
        said = f"[{COLOURS[verdict]}]{verdict}[/]" if verdict else ""
        table.add_row(shown.heading, *cells, said)
    return table


def _which(result: EvaluationResult) -> str:
    split = "all splits" if result.split == "all" else f"{result.split} split"
    return split if result.repeats == 1 else f"{split}, {result.repeats} answers a question"


def examples_table(examples: list[Example]) -> Table:
    """Questions beside what was wanted and what the models answered."""
    compared = any(one.baseline is not None for one in examples)
    title = "Held-out inputs, before and after" if compared else "Held-out inputs"
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("input", "wanted", *(("before", "after") if compared else ("answer",))):
        table.add_column(heading, overflow="fold", ratio=1)
    for one in examples:
        texts = (one.input, one.expected, *((one.baseline,) if compared else ()), one.output)
        table.add_row(*(Text(_cut(text or "")) for text in texts))
    return table
