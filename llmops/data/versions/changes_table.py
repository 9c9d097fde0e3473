"""The difference between two versions as a person reads it in a terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmops.data.versions.changes import VersionDifference

SHOWN_CHARACTERS = 160


def changes_table(changes: VersionDifference) -> Group:
    """The numbers, and below them the first samples of each sort."""
    parts: list[RenderableType] = [Text(f"{changes.old} → {changes.new}: {changes.sentence}", style="bold")]
    for sign, sort, style in (("+", "added", "green"), ("−", "removed", "red")):
        samples = getattr(changes, f"{sort}_samples")
        rows = [[one.id, one.split, one.input, one.expected] for one in samples]
        parts += _section(f"{sign} {sort}", getattr(changes, sort), ["id", "split", "input", "expected"], rows, style)
    rows = [
        [one.id, one.input, change.field, change.before or "", change.after or ""]
        for one in changes.changed_samples
        for change in one.fields
    ]
    headings = ["id", "input", "field", "before", "after"]
    parts += _section("~ changed", changes.changed, headings, rows, "yellow", len(changes.changed_samples))
    rows = [[one.id, one.before, one.after, one.input] for one in changes.moved_samples]
    parts += _section("→ moved", changes.moved, ["id", "from", "to", "input"], rows, "cyan")
    return Group(*parts)


def _section(
    title: str, count: int, headings: list[str], rows: list[list[str]], style: str, shown: int | None = None
) -> list[RenderableType]:
    if not rows:
        return []
    shown = len(rows) if shown is None else shown
    more = f" (the first {shown} of {count:,})" if shown < count else ""
    table = Table(title=title + more, title_justify="left", title_style=style, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in ("id", "split", "field", "from", "to"))
    for row in rows:
        table.add_row(*(Text(_shortened(cell)) for cell in row))
    return ["", table]


def _shortened(text: str) -> str:
    """One line of at most 160 characters.

    >>> _shortened("a\\n b")
    'a b'
    """
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
