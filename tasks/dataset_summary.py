"""A prepared dataset in a terminal: where its rows went, what was found, and what can be done with it."""

import shlex
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmops.data.preparation.report import PreparationReport, RuleSummary

BAR = 28
EIGHTHS = " ▏▎▍▌▋▊▉█"
MARKS = {"error": ("✗", "red"), "warning": ("!", "yellow")}


def report_summary(report: PreparationReport) -> RenderableType:
    """Rows, quality and findings, in any width from 60 columns on."""
    parts: list[RenderableType] = [_rows(report), "", _quality(report)]
    if report.findings:
        parts += ["", _findings(report.findings)]
    return Group(*parts)


def next_commands(uri: str, counts: Mapping[str, int] | None = None) -> list[str]:
    """What one does with a published version, given its counts by split.

    >>> next_commands("support@3")[0]
    'llmops show dataset support@3'
    >>> next_commands("slips@1", {"test": 9})[1:]
    ['llmops export slips@1 --split all --format jsonl --to slips.jsonl']
    """
    name, quoted = uri.partition("@")[0], shlex.quote(uri)
    show = f"llmops show dataset {quoted}"
    if counts is not None and not counts.get("train"):
        return [show, f"llmops export {quoted} --split all --format jsonl --to {shlex.quote(f'{name}.jsonl')}"]
    return [
        show,
        f"llmops export {quoted} --split train --format openai --to {shlex.quote(f'{name}-train.jsonl')}",
        f"llmops run fine-tune --dataset {quoted}",
    ]


def _rows(report: PreparationReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_column(no_wrap=True)
    most = max(report.read, sum(report.counts.values()), 1)
    read, samples = max(report.read, 1), max(sum(report.counts.values()), 1)
    table.add_row("read", f"{report.read:,}", "", Text(bar(report.read / most), "dim"))
    for reason, count in report.dropped.items():
        if count:
            table.add_row(reason, f"−{count:,}", percent(count / read), Text(bar(count / most), "red"))
    for method, count in report.augmented.items():
        table.add_row(f"made by {method}", f"+{count:,}", percent(count / read), Text(bar(count / most), "yellow"))
    for split, count in report.counts.items():
        table.add_row(
            Text(split, "bold"), Text(f"{count:,}", "bold"), percent(count / samples), Text(bar(count / most), "green")
        )
    return table


def _quality(report: PreparationReport) -> Text:
    text = Text("Quality ").append(f"{report.quality.mean:.2f}", "bold").append(" on average")
    if report.quality.below_half:
        text.append(f", below one half: {percent(report.quality.below_half)} of the samples")
    if report.several_references:
        text.append(f"; {_number(report.several_references, 'input')} with several references")
    if report.rejected:
        text.append(f"; augmentation refused {_listed(report.rejected)}")
    return text


def _findings(findings: list[RuleSummary]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("finding", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True, style="dim")
    table.add_column("what to do", overflow="fold")
    for one in findings:
        mark, colour = MARKS.get(one.severity, ("·", ""))
        table.add_row(Text(f"{mark} {one.rule}", colour), f"{one.rows:,}", percent(one.share), Text(one.advice))
    return table


def bar(share: float, width: int = BAR) -> str:
    """A bar of a share's length, at least a sliver for what is more than nothing.

    >>> bar(0.5, width=4), bar(0.3, width=4), bar(0.0001, width=4), bar(0, width=4)
    ('██', '█▎', '▏', '')
    """
    eighths = max(1, round(share * width * 8)) if share else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def percent(share: float) -> str:
    """A share as a percentage; what is more than nothing never reads as nothing.

    >>> percent(0.1234), percent(0.0001), percent(0)
    ('12.3 %', '<0.1 %', '0.0 %')
    """
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} ({reason})" for reason, count in counts.items())
