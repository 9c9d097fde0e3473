"""The pictures of a prepared dataset: where its rows went, what was found, and what its samples look like."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from llmops.data.preparation.report import LengthSummary, PreparationReport, QualitySummary, RuleSummary
from tasks.dataset_summary import percent
from tasks.report import png

KEPT = "#2a9d8f"
DROPPED = "#c8553d"
NEUTRAL = "#7d8ca3"
SEVERITIES = {"error": DROPPED, "warning": "#e9a23b"}
SPLIT_COLOURS = (KEPT, "#57b5a9", "#8ccdc4")
WIDTH = 9.6  # inches, at 100 dots each
MOST_NAMED = 100


def dataset_pictures(report: PreparationReport) -> dict[str, bytes]:
    """Every picture that has something to show as a PNG, by its name."""
    return {name: png(figure) for name, figure in dataset_figures(report).items()}


def dataset_figures(report: PreparationReport) -> dict[str, Figure]:
    """The same before they are drawn."""
    figures = {"rows": rows_figure(report)}
    if report.findings:
        figures["findings"] = findings_figure(report.findings)
    if report.quality and any(report.quality.histogram):
        figures["quality"] = quality_figure(report.quality)
    if report.lengths:
        figures["lengths"] = lengths_figure(report.lengths)
    if report.labels:
        figures["classes"] = classes_figure(report.labels)
    if len(report.languages) > 1:
        figures["languages"] = languages_figure(report.languages)
    return figures


def rows_figure(report: PreparationReport) -> Figure:
    """From the rows read, through each reason for dropping, to the splits: every bar starts where the last ended."""
    read = max(report.read, 1)
    bars = [("read", 0, report.read, NEUTRAL, f"{report.read:,}")]
    left = report.read
    for reason, count in report.dropped.items():
        if count:
            left -= count
            bars.append((reason, left, count, DROPPED, f"−{count:,}  ({percent(count / read)})"))
    for method, count in report.augmented.items():
        bars.append((f"made by {method}", left, count, SEVERITIES["warning"], f"+{count:,}"))
        left += count
    start = 0
    samples = max(sum(report.counts.values()), 1)
    for (split, count), colour in zip(report.counts.items(), SPLIT_COLOURS, strict=False):
        bars.append((split, start, count, colour, f"{count:,}  ({percent(count / samples)} of the samples)"))
        start += count
    figure, axes = _rows_of_bars(len(bars))
    widest = max(begin + count for _, begin, count, _, _ in bars)
    for row, (_, begin, count, colour, label) in enumerate(bars):
        axes.barh(row, count, left=begin, color=colour, edgecolor=colour, linewidth=0.8, height=0.68)
        # Beside the bar where there is room, else before it: what is dropped hangs at the right end.
        if begin + count < 0.66 * widest:
            axes.text(begin + count + 0.01 * widest, row, label, va="center")
        elif begin > 0.34 * widest:
            axes.text(begin - 0.01 * widest, row, label, va="center", ha="right")
        else:
            axes.text(begin + 0.99 * count, row, label, va="center", ha="right", color="white", weight="bold")
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
    axes.set_xlim(0, widest * 1.01 or 1)
    return figure


def findings_figure(findings: list[RuleSummary]) -> Figure:
    """Rows by rule, errors first."""
    figure, axes = _rows_of_bars(len(findings))
    for row, one in enumerate(findings):
        axes.barh(row, one.rows, color=SEVERITIES.get(one.severity, NEUTRAL), height=0.68)
    _count_labels(axes, [one.rows for one in findings], [f"{one.rows:,}  ({percent(one.share)})" for one in findings])
    axes.set_yticks(range(len(findings)), [one.rule for one in findings])
    axes.set_xlabel("rows")
    for severity, colour in SEVERITIES.items():
        if any(one.severity == severity for one in findings):
            axes.barh(0, 0, color=colour, label=severity)
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return figure


def quality_figure(quality: QualitySummary) -> Figure:
    """How many samples have which quality score."""
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, len(quality.histogram) + 1)
    colours = [DROPPED if edge < 0.5 else KEPT for edge in edges[:-1] + 1e-9]
    axes.bar(edges[:-1], quality.histogram, width=np.diff(edges) * 0.92, align="edge", color=colours)
    axes.axvline(quality.mean, color="#333", linestyle="--", linewidth=1)
    axes.set_title(f"mean {quality.mean:.3f} (dashed)", fontsize="small")
    axes.set_xlim(0, 1)
    axes.set_xlabel("quality score of a sample")
    _count_axis(axes, "samples")
    return figure


def lengths_figure(lengths: Mapping[str, LengthSummary]) -> Figure:
    """Lengths in words, one histogram a part; the last bar holds everything longer."""
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    panels = figure.subplots(1, len(lengths), squeeze=False)[0]
    for axes, (part, length) in zip(panels, lengths.items(), strict=True):
        edges = np.asarray(length.edges)
        axes.bar(edges[:-1], length.histogram, width=np.diff(edges) * 0.92, align="edge", color=NEUTRAL)
        for value, style in ((length.median, "-"), (length.p95, ":")):
            axes.axvline(value, color="#333", linestyle=style, linewidth=1)
        said = f"{part}: median {length.median:,.0f}, 95 % up to {length.p95:,.0f}, longest {length.longest:,}"
        axes.set_title(said, fontsize="small")
        axes.set_xlabel("words")
        _count_axis(axes, "samples" if axes is panels[0] else "")
    return figure


def classes_figure(labels: Mapping[str, int]) -> Figure:
    """How often each class occurs, the most frequent first."""
    shown = sorted(labels.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMED]
    counts = [count for _, count in shown]
    figure = Figure(figsize=(WIDTH, 4.4 if len(shown) > 12 else 2.8), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(shown)), counts, color=KEPT, width=0.8)
    axes.axhline(float(np.mean(counts)), color="#333", linestyle=":", linewidth=1)
    # The smallest readable type for a hundred names side by side.
    size = float(np.clip(560 / len(shown), 5.5, 9))
    names = [name if len(name) <= 34 else f"{name[:33]}…" for name, _ in shown]
    axes.set_xticks(range(len(shown)), [_literally(name) for name in names], rotation=90, fontsize=size)
    axes.set_xlim(-0.8, len(shown) - 0.2)
    _count_axis(axes, "samples (dotted: mean)")
    return figure


def languages_figure(languages: Mapping[str, int]) -> Figure:
    """Samples by language."""
    shown = sorted(languages.items(), key=lambda item: (-item[1], item[0]))
    figure, axes = _rows_of_bars(len(shown))
    counts = [count for _, count in shown]
    axes.barh(range(len(shown)), counts, color=NEUTRAL, height=0.68)
    _count_labels(axes, counts, [f"{count:,}  ({percent(count / sum(counts))})" for count in counts])
    axes.set_yticks(range(len(shown)), [name for name, _ in shown])
    axes.set_xlabel("samples")
    return figure


def _rows_of_bars(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 0.8 + 0.3 * rows), layout="constrained")
    axes = figure.subplots()
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return figure, axes


def _count_labels(axes: Axes, counts: list[int], labels: list[str]) -> None:
    top = max([*counts, 1])
    for row, (count, label) in enumerate(zip(counts, labels, strict=True)):
        axes.text(count + 0.01 * top, row, label, va="center")
    axes.set_xlim(0, 1.28 * top)


def _count_axis(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _literally(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")
