"""Pictures of a comparison: each difference with its interval and its margin, and the same by slice (forest plots)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.evaluation_result import ComparedWith, ShownMetric

COLOURS = {"better": "#2a7f3f", "not worse": "#2a7f3f", "worse": "#b3261e", "inconclusive": "#b8860b"}
NEUTRAL = "#777777"
MOST_SLICES = 40
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


def differences_figure(one: ComparedWith, shown: Mapping[str, ShownMetric]) -> Figure:
    """Candidate against baseline in every metric: in points where it has an upper end, else in % of the baseline."""
    points, relative = [], []
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
    panels = [(points, "points, positive is better"), (relative, "% of the baseline's value, positive is better")]
    return forest(
        [panel for panel in panels if panel[0]], f"Against {one.model}: {one.comparison.verdict} (95 % intervals)"
    )


def slices_figure(one: ComparedWith) -> Figure:
    """Candidate against baseline in the primary metric, slice by slice."""
    primary = [part for part in one.slices if part.metric == one.comparison.primary and part.difference is not None]
    lines = [
        Line(
            name=f"{part.column} = {part.value} ({part.n:,})",
            value=part.difference.value,
            low=part.difference.low,
            high=part.difference.high,
            margin=part.margin,
            verdict=part.verdict,
        )
        for part in primary[:MOST_SLICES]
        if part.difference is not None
    ]
    label = primary[0].label if primary else "no slice"
    return forest([(lines, f"{label}, positive is better")], f"By slice, against {one.model} (95 % intervals)")


def forest(panels: Sequence[tuple[Sequence[Line], str]], title: str) -> Figure:
    """Panels below each other, each with an axis of its own."""
    heights = [len(lines) + 1.5 for lines, _ in panels] or [1.0]
    figure = Figure(figsize=(8, 0.8 + 0.36 * sum(heights)), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(heights), height_ratios=heights, squeeze=False)
    for axes, (lines, unit) in zip(grid[:, 0], panels, strict=False):
        _draw(axes, lines)
        axes.set_xlabel(unit)
    return figure


def _draw(axes: Axes, lines: Sequence[Line]) -> None:
    for row, line in enumerate(lines):
        colour = COLOURS.get(line.verdict, NEUTRAL)
        if line.margin is not None:
            axes.plot([-line.margin, -line.margin], [row - 0.35, row + 0.35], color=NEUTRAL, linestyle=":", linewidth=2)
        reach = [[line.value - line.low], [line.high - line.value]]
        axes.errorbar([line.value], [row], xerr=reach, fmt="o", capsize=3, color=colour)
        axes.annotate(line.verdict, (1.01, row), xycoords=("axes fraction", "data"), color=colour, va="center", size=9)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
