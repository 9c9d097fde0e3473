"""Pictures of a comparison: each difference with its interval and its margin, and the same by slice (forest plots)."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from llmops.evaluation.comparison.slices import Slice
from tasks.evaluation_result import ComparedWith, ShownMetric

COLOURS = {"better": "#2a7f3f", "not worse": "#2a7f3f", "worse": "#b3261e", "inconclusive": "#b8860b"}
NEUTRAL = "#777777"
MOST_SLICES = 40
MARGIN = 0.1  # inches around a picture
LONGEST_NAME = 40
LONGEST_TITLE = 80
POINTS = {"share": 100.0, "fraction": 100.0, "hundred": 1.0}


@dataclass(frozen=True)
class Line:
    """One line of a forest plot: a difference (positive is better) with its interval, and the loss that is none."""

    name: str
    value: float
    low: float
    high: float
    margin: float | None
    verdict: str


def differences_figure(candidate: str, one: ComparedWith, shown: Mapping[str, ShownMetric]) -> Figure:
    """Candidate against baseline in every metric: in points where it has an upper end, else in % of the baseline."""
    points: list[Line] = []
    relative: list[Line] = []
    for name, difference in one.comparison.differences.items():
        metric = shown.get(name)
        before = one.metrics[name].value if name in one.metrics else 0.0
        if metric is None or (metric.scale not in POINTS and before == 0):
            continue
        verdict = one.comparison.verdicts.get(name)
        factor = POINTS[metric.scale] if metric.scale in POINTS else 100 / abs(before)
        line = Line(
            name=metric.label,
            value=factor * difference.value,
            low=factor * difference.low,
            high=factor * difference.high,
            margin=factor * verdict.margin if verdict else None,
            verdict=verdict.verdict if verdict else "not gated",
        )
        (points if metric.scale in POINTS else relative).append(line)
    panels = [(points, "difference in points"), (relative, f"difference in % of {one.model}'s value")]
    title = f"{candidate} against {one.model}: {one.comparison.verdict}"
    return forest([panel for panel in panels if panel[0]], title)


def slices_figure(candidate: str, one: ComparedWith, shown: Mapping[str, ShownMetric]) -> Figure:
    """Candidate against baseline in the primary metric, slice by slice: of each column the largest, in order."""
    primary = [part for part in one.slices if part.metric == one.comparison.primary and part.difference is not None]
    metric = shown[one.comparison.primary]
    factor = POINTS.get(metric.scale, 1.0)
    columns = list(dict.fromkeys(part.column for part in primary))
    largest = sorted(primary, key=lambda part: -part.n)[:MOST_SLICES]
    lines = [
        Line(
            name=f"{part.column} = {_short(part.value)} ({part.n:,})",
            value=factor * part.difference.value,
            low=factor * part.difference.low,
            high=factor * part.difference.high,
            margin=factor * part.margin,
            verdict=part.verdict,
        )
        for part in sorted(largest, key=lambda part: (columns.index(part.column), _in_order(part)))
        if part.difference is not None
    ]
    some = f", the {len(lines)} largest of {len(primary)}" if len(lines) < len(primary) else ""
    unit = "difference in points" if metric.scale in POINTS else "difference"
    return forest([(lines, unit)], f"{candidate} against {one.model}: {metric.label} by slice{some}")


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LONGEST_NAME else f"{line[:LONGEST_NAME]}…"


def _in_order(part: Slice) -> list[tuple[int, float, str]]:
    """Numbers in a value by their size, the rest by the alphabet."""
    pieces = re.findall(r"\d+|\D+", part.value)
    return [(0, float(piece), "") if piece.isdecimal() else (1, 0.0, piece) for piece in pieces]


def forest(panels: Sequence[tuple[Sequence[Line], str]], title: str) -> Figure:
    """Panels below each other, each with an axis of its own; a dollar in a name is a dollar and no formula."""
    heights = [len(lines) + 1.5 for lines, _ in panels] or [1.0]
    figure = Figure(figsize=(9, 1.2 + 0.36 * sum(heights)), layout=ConstrainedLayoutEngine(w_pad=MARGIN, h_pad=MARGIN))
    figure.suptitle(textwrap.fill(title, LONGEST_TITLE), parse_math=False)
    grid = figure.subplots(len(heights), height_ratios=heights, squeeze=False)
    for axes, (lines, unit) in zip(grid[:, 0], panels, strict=False):
        _draw(axes, lines)
        axes.set_xlabel(f"{unit}; right of 0 is better", parse_math=False)
    figure.legend(handles=_key(panels), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _key(panels: Sequence[tuple[Sequence[Line], str]]) -> list[Line2D]:
    """What the marks mean."""
    key = [Line2D([], [], color=NEUTRAL, marker="o", label="difference with its 95 % interval")]
    if any(line.margin is not None for lines, _ in panels for line in lines):
        said = "margin: a smaller loss does not matter"
        key.append(Line2D([], [], color=NEUTRAL, linestyle=":", linewidth=2, label=said))
    return key


def _draw(axes: Axes, lines: Sequence[Line]) -> None:
    for row, line in enumerate(lines):
        colour = COLOURS.get(line.verdict, NEUTRAL)
        if line.margin is not None:
            axes.plot([-line.margin, -line.margin], [row - 0.35, row + 0.35], color=NEUTRAL, linestyle=":", linewidth=2)
        reach = [[line.value - line.low], [line.high - line.value]]
        axes.errorbar([line.value], [row], xerr=reach, fmt="o", capsize=3, color=colour)
        axes.annotate(line.verdict, (1.01, row), xycoords=("axes fraction", "data"), color=colour, va="center", size=9)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [line.name for line in lines], parse_math=False)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
