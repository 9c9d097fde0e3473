"""Stages in a terminal: a live line with bar and time left while one runs, a tick or a cross when it is over.

Without a terminal (a pipe, a build server) a stage is one line when it starts, one every half minute, and one when it
ends.
"""

import threading
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

EVERY_SECONDS = 30.0


class TerminalStages:
    """Draws the stages of this process on one console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lock = threading.Lock()
        self._open = 0
        self._live: Progress | None = None

    def begin(self, title: str, depth: int) -> "StageLine":
        """Draw a stage that starts now, indented by its depth."""
        line = StageLine(self, title, "  " * depth)
        with self._lock:
            self._open += 1
            if not self.console.is_terminal:
                self.console.print(Text(f"{line.indent}… {title}"))
            else:
                if self._live is None:
                    self._live = _live_lines(self.console)
                    self._live.start()
                line.row = self._live.add_task(line.indent + title, total=None, detail="", count="")
        return line

    def end(self, line: "StageLine", outcome: str, *, failed: bool) -> None:
        """Replace a stage's live line by what came out."""
        with self._lock:
            self._open -= 1
            if self._live is not None and line.row is not None:
                self._live.remove_task(line.row)
            if self._live is not None and not self._open:
                # Stopped rather than left empty: an empty live display costs a blank line at the end.
                self._live.stop()
                self._live = None
            self.console.print(_last_line(line, outcome, failed=failed), soft_wrap=True)

    def move(self, line: "StageLine", done: float, total: float | None, detail: str, unit: str) -> None:
        """Move a stage's bar."""
        if self._live is not None and line.row is not None:
            count = f"{done:,.0f}/{total:,.0f} {unit}".rstrip() if total else ""
            self._live.update(line.row, completed=done, total=total, detail=detail, count=count)
        elif not self.console.is_terminal and time.monotonic() - line.said_at >= EVERY_SECONDS:
            line.said_at = time.monotonic()
            self.console.print(Text(_so_far(line, done, total, detail, unit)), soft_wrap=True)


@dataclass
class StageLine:
    """One stage's line."""

    terminal: TerminalStages
    title: str
    indent: str
    row: TaskID | None = None
    started: float = field(default_factory=time.monotonic)
    said_at: float = field(default_factory=time.monotonic)

    def update(self, done: float, total: float | None, detail: str, unit: str = "") -> None:
        """Move the bar."""
        self.terminal.move(self, done, total, detail, unit)

    def end(self, outcome: str, *, failed: bool) -> None:
        """Put a tick or a cross and the outcome in its place."""
        self.terminal.end(self, outcome, failed=failed)


class _Elapsed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(clock(task.elapsed or 0.0), style="dim")


class _TimeLeft(TimeRemainingColumn):
    """Nothing at all, rather than dashes, while the time left is not known."""

    def render(self, task: Task) -> Text:
        if task.total is None or task.time_remaining is None:
            return Text("")
        return Text(f"{clock(task.time_remaining)} left", style="dim")


class _BarOnceKnown(BarColumn):
    """A bar only where there is something to count."""

    def render(self, task: Task) -> Text:  # type: ignore[override]
        return Text("") if task.total is None else super().render(task)  # type: ignore[return-value]


def _live_lines(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        _BarOnceKnown(bar_width=24),
        TextColumn("{task.fields[count]}", markup=False),
        _Elapsed(),
        _TimeLeft(),
        TextColumn("{task.fields[detail]}", style="dim", markup=False),
        console=console,
        transient=True,
        refresh_per_second=8,
        # Whoever switched the display on has already decided where prints of the libraries go.
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _so_far(line: StageLine, done: float, total: float | None, detail: str, unit: str) -> str:
    elapsed = time.monotonic() - line.started
    said = [f"{done:,.0f} of {total:,.0f} {unit}".rstrip()] if total else []
    said += [detail] if detail else []
    said.append(f"after {clock(elapsed)}")
    if total and 0 < done < total:
        said.append(f"about {clock(elapsed * (total - done) / done)} left")
    return f"{line.indent}… {line.title}: {', '.join(said)}"


def _last_line(line: StageLine, outcome: str, *, failed: bool) -> Text:
    mark, style = ("✗", "bold red") if failed else ("✓", "bold green")
    text = Text(line.indent).append(mark, style).append(f" {line.title}")
    if outcome:
        text.append(f"  {outcome}", "dim" if not failed else "red")
    return text.append(f"  {clock(time.monotonic() - line.started)}", "dim")


def clock(seconds: float) -> str:
    """A duration as a person says it.

    >>> clock(0.04), clock(7.6), clock(83), clock(4000)
    ('0.0 s', '7.6 s', '1:23', '1:06:40')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
