"""Pictures of a search: how it went, which values were good, what mattered, and what costs what."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tasks.comparison_figures import MARGIN, NEUTRAL
from tasks.search_result import FinaleResult, SearchResult, TrialResult, said_value

BEST = "#2a7f3f"
FINISHED = "#3b6ea5"
PRUNED = "#b8860b"
DIVERGED = "#b3261e"
LOWEST = "#333333"
WIDTH = 9.0
LABELS = {
    "validation_loss": "validation loss, nats per token",
    "seconds": "training time, s",
    "tokens": "tokens trained on",
    "cost": "cost, US dollars",
}
NONE = "—"
NOT_IN_LEGEND = "_nolegend_"
# A value of a range is labelled at its ends and in the middle.
TICKS = 3


def search_figures(result: SearchResult, log_scaled: Collection[str] = ()) -> dict[str, Figure]:
    """Every picture that has something to show, by the name of its file.

    Args:
        result: the search.
        log_scaled: fields that were searched on a logarithmic scale.
    """
    figures = {"history": history_figure(result)}
    finished = [one for one in result.trials if one.state == "finished"]
    if finished and any(one.values for one in finished):
        figures["parallel_coordinates"] = parallel_figure(result, log_scaled)
    if result.importances:
        figures["importance"] = importance_figure(result.importances)
    if len(result.objectives) > 1 and finished:
        figures["pareto_front"] = pareto_figure(result)
    if result.finale is not None:
        figures["finalists"] = finalists_figure(result.finale)
    return figures


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=MARGIN, h_pad=MARGIN))


def history_figure(result: SearchResult) -> Figure:
    """Each trial's validation loss in the order of the trials, and the best so far."""
    figure = _figure(4.2)
    axes = figure.subplots()
    finished = [one for one in result.trials if one.state == "finished" and _finite(one.loss)]
    pruned = [one for one in result.trials if one.state == "pruned" and _finite(one.loss)]
    diverged = [one for one in result.trials if one.state == "diverged"]
    axes.scatter(*_points(finished), color=FINISHED, label="finished", zorder=3)
    if pruned:
        axes.scatter(*_points(pruned), facecolors="none", edgecolors=PRUNED, label="pruned: its last loss", zorder=3)
    if finished:
        numbers, losses = _points(finished)
        axes.step(numbers, np.minimum.accumulate(losses), where="post", color=BEST, label="best so far")
        best = next((one for one in finished if one.number == result.best_trial), None)
        if best is not None:
            axes.scatter(*_points([best]), marker="*", s=220, color=BEST, zorder=4, label=f"trial {best.number}")
    if diverged:
        # No finite place on the axis: at its upper edge.
        axes.scatter(
            [one.number for one in diverged],
            [1.0] * len(diverged),
            marker="x",
            color=DIVERGED,
            label="diverged",
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    axes.set_xlabel("trial")
    axes.set_ylabel(LABELS["validation_loss"])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, max((one.number for one in result.trials), default=1) + 0.5)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=9)
    return figure


def _points(trials: Sequence[TrialResult]) -> tuple[list[int], list[float]]:
    return [one.number for one in trials], [one.loss for one in trials if one.loss is not None]


def _finite(loss: float | None) -> bool:
    return loss is not None and math.isfinite(loss)


def parallel_figure(result: SearchResult, log_scaled: Collection[str]) -> Figure:
    """One line a finished trial through its values and its loss, of a pruned one through its values alone.

    A field that a trial does not have is at the bottom.
    """
    trials = [one for one in result.trials if one.state == "finished" and _finite(one.loss)]
    pruned = [one for one in result.trials if one.state == "pruned"]
    fields = list(dict.fromkeys(name for one in (*trials, *pruned) for name in one.values))
    scales = [_Scale([one.values.get(name) for one in (*trials, *pruned)], name in log_scaled) for name in fields]
    losses = [one.loss for one in trials if one.loss is not None]
    loss_scale = _Scale(losses, log=False, linear=True)
    figure = _figure(4.6)
    axes = figure.subplots()
    # The few worst would take all the colours: they share the last one.
    colours = Normalize(min(losses), float(np.quantile(losses, 0.9)) if len(losses) > 4 else max(losses))
    shades = ScalarMappable(colours, "viridis_r")
    for one in pruned:
        heights = [scale.place(one.values.get(name)) for scale, name in zip(scales, fields, strict=True)]
        axes.plot(range(len(fields)), heights, color=NEUTRAL, linewidth=1, linestyle=":", alpha=0.7, zorder=1.5)
    for one, loss in sorted(zip(trials, losses, strict=True), key=lambda pair: -pair[1]):
        heights = [scale.place(one.values.get(name)) for scale, name in zip(scales, fields, strict=True)]
        best = one.number == result.best_trial
        axes.plot(
            range(len(fields) + 1),
            [*heights, loss_scale.place(loss)],
            color=BEST if best else shades.to_rgba(loss),
            linewidth=3 if best else 1.3,
            alpha=1.0 if best else 0.75,
            zorder=4 if best else 2,
        )
    for column, scale in enumerate([*scales, loss_scale]):
        _draw_scale(axes, column, scale)
    names = [f"{name}{' (log)' if name in log_scaled else ''}" for name in fields]
    axes.set_xticks(range(len(fields) + 1), [*names, "validation loss"], parse_math=False)
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set_yticks([])
    axes.set_xlim(-0.25, len(fields) + 0.45)
    axes.set_ylim(-0.06, 1.06)
    for side in axes.spines.values():
        side.set_visible(False)
    key = [
        Line2D([], [], color=BEST, linewidth=3, label=f"trial {result.best_trial}, chosen"),
        Line2D([], [], color=shades.to_rgba(colours.vmin), label="lower loss"),
        Line2D([], [], color=shades.to_rgba(colours.vmax), label="higher loss"),
        *([Line2D([], [], color=NEUTRAL, linestyle=":", label="pruned")] if pruned else []),
    ]
    figure.legend(handles=key, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return figure


class _Scale:
    """Where the values of one field stand between 0 and 1, and what is written beside the axis."""

    def __init__(self, values: Sequence[Any], log: bool, *, linear: bool = False) -> None:
        present = [value for value in values if value is not None]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
        few = len(set(present)) <= TICKS + 1 and not linear
        self.log = log and numbers and min(present) > 0
        self.steps: list[Any] | None = None
        # Some trials do not have the field: a place of its own below all values.
        self.bottom = 0.15 if len(present) < len(values) else 0.0
        if not numbers:
            self.steps = sorted(set(present), key=str)
        elif few and not self.log:
            self.steps = sorted(set(present))
        else:
            self.low, self.high = self._on_scale(min(present)), self._on_scale(max(present))

    def _on_scale(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)

    def place(self, value: Any) -> float:
        if value is None:
            return 0.0
        if self.steps is not None:
            share = self.steps.index(value) / (len(self.steps) - 1) if len(self.steps) > 1 else 0.5
        else:
            share = (self._on_scale(value) - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.bottom + (1 - self.bottom) * share

    def ticks(self) -> list[tuple[float, str]]:
        none = [(0.0, NONE)] if self.bottom else []
        if self.steps is not None:
            return none + [(self.place(value), said_value(value)) for value in self.steps]
        shares = np.linspace(0, 1, TICKS) if self.high > self.low else [0.0]
        values = [self.low + share * (self.high - self.low) for share in shares]
        return none + [
            (self.place(10**value if self.log else value), f"{10**value if self.log else value:.3g}")
            for value in values
        ]


def _draw_scale(axes: Axes, column: int, scale: _Scale) -> None:
    axes.axvline(column, color=NEUTRAL, linewidth=0.8, zorder=1)
    for place, text in scale.ticks():
        axes.annotate(
            text,
            (column, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            zorder=5,
            parse_math=False,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )


def importance_figure(importances: Mapping[str, float]) -> Figure:
    """How much of the variation of the loss each field explains, most first."""
    ordered = sorted(importances.items(), key=lambda item: -item[1])
    figure = _figure(1.3 + 0.42 * len(ordered))
    axes = figure.subplots()
    shares = [100 * share for _, share in ordered]
    axes.barh(range(len(ordered)), shares, color=FINISHED, height=0.6)
    for row, share in enumerate(shares):
        axes.annotate(f"{share:.0f} %", (share, row), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(ordered)), [name for name, _ in ordered], parse_math=False)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlim(0, max([*shares, 1]) * 1.12)
    axes.set_xlabel(
        "share of the variation of the validation loss of trials that ran to their end, %;\n"
        "a field that is not shown cannot be told from chance"
    )
    axes.grid(axis="x", alpha=0.3)
    return figure


def pareto_figure(result: SearchResult) -> Figure:
    """Validation loss, or the first objective, against each other one; who is on the front is connected."""
    first, *others = result.objectives
    figure = _figure(1.0 + 3.4 * len(others))
    grid = figure.subplots(len(others), squeeze=False)
    finished = [one for one in result.trials if one.state == "finished"]
    front = [one for one in finished if one.number in result.pareto]
    for axes, name in zip(grid[:, 0], others, strict=True):
        rest = [one for one in finished if one.number not in result.pareto]
        if rest:
            axes.scatter(*_pairs(rest, name, first), color=NEUTRAL, label="another is better in every objective")
        ordered = sorted(front, key=lambda one: one.objectives[name])
        # One point makes no line, and the star lies over it.
        label = "Pareto front" if len(ordered) > 1 else NOT_IN_LEGEND
        axes.plot(*_pairs(ordered, name, first), color=FINISHED, marker="o", linewidth=1, label=label)
        for one in ordered:
            place = (one.objectives[name], one.objectives[first])
            text = f"trial {one.number}"
            axes.annotate(text, place, xytext=(6, 5), textcoords="offset points", fontsize=9)
        best = [one for one in finished if one.number == result.best_trial]
        axes.scatter(*_pairs(best, name, first), marker="*", s=220, color=BEST, zorder=4, label="chosen")
        axes.set_xlabel(f"{LABELS.get(name, name)}; left is better")
        axes.set_ylabel(f"{LABELS.get(first, first)}; lower is better")
        axes.margins(0.1)
        axes.grid(alpha=0.3)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def _pairs(trials: Sequence[TrialResult], across: str, up: str) -> tuple[list[float], list[float]]:
    return [one.objectives[across] for one in trials], [one.objectives[up] for one in trials]


def finalists_figure(finale: FinaleResult) -> Figure:
    """Each finalist's validation losses with new seeds, and their mean."""
    figure = _figure(1.3 + 0.5 * len(finale.finalists))
    axes = figure.subplots()
    first, name = (BEST, "winner") if finale.by_more_than_noise else (LOWEST, "lowest mean")
    for row, one in enumerate(finale.finalists):
        colour = first if one.trial == finale.winner else NEUTRAL
        losses = [loss for loss in one.losses if loss is not None]
        axes.scatter(losses, [row] * len(losses), color=colour, alpha=0.6)
        if one.mean is None:
            axes.annotate("diverged", (1.01, row), xycoords=("axes fraction", "data"), color=DIVERGED, va="center")
        else:
            axes.plot([one.mean, one.mean], [row - 0.3, row + 0.3], color=colour, linewidth=2.5)
    axes.set_yticks(range(len(finale.finalists)), [f"trial {one.trial}" for one in finale.finalists])
    axes.set_ylim(len(finale.finalists) - 0.4, -0.6)
    axes.set_xlabel(f"{LABELS['validation_loss']}, each with a new seed")
    key = [
        Line2D([], [], color=NEUTRAL, marker="o", linestyle="", alpha=0.6, label="one training"),
        Line2D([], [], color=NEUTRAL, linewidth=2.5, label="mean"),
        Line2D([], [], color=first, linewidth=2.5, label=name),
    ]
    figure.legend(handles=key, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    return figure
