"""What a reader of one format finds: a batch of rows as columns of any type, and what it could not read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from llmops.data.findings import Finding
from llmops.errors import InputError

RawColumn: TypeAlias = pa.ChunkedArray | pa.Array | list[Any]

BATCH_BYTES = 64 * 1024 * 1024
"""A batch ends here even where it has few rows, so that long texts do not fill the memory."""

MAX_COLUMNS = 1_000


@dataclass
class RawRows:
    """A batch of rows of one file.

    Attributes:
        file: as a person names it.
        lines: the line on which each row begins, or its number.
        columns: the values by column.
        unread: findings about lines that are no rows.
        refused: findings about rows that cannot be samples, by the row's place in the batch.
    """

    file: str
    lines: np.ndarray = field(default_factory=lambda: np.array([], dtype=np.int64))
    columns: dict[str, RawColumn] = field(default_factory=dict)
    unread: list[Finding] = field(default_factory=list)
    refused: dict[int, Finding] = field(default_factory=dict)

    def unreadable(self, line: int | None, message: str, rule: str = "unreadable-row") -> None:
        """Note a line that cannot be read, or without one a whole file."""
        self.unread.append(self._finding(rule, line, message))

    def refuse(self, row: int, rule: str, message: str) -> None:
        """Note that a row cannot be a sample; the first reason is kept."""
        self.refused.setdefault(row, self._finding(rule, int(self.lines[row]), message))

    @property
    def findings(self) -> list[Finding]:
        """All findings in the order of their lines."""
        return sorted([*self.unread, *self.refused.values()], key=lambda finding: finding.line or 0)

    def _finding(self, rule: str, line: int | None, message: str) -> Finding:
        return Finding(severity="error", rule=rule, file=self.file, line=line, message=message)


def rows_of_objects(
    file: str, objects: Sequence[dict[str, Any]], lines: Sequence[int], unread: list[Finding]
) -> RawRows:
    """Rows from JSON objects; a key that an object lacks is null there.

    Raises:
        InputError: the objects have so many different keys that they are no columns.
    """
    raw = RawRows(file, unread=unread)
    names = dict.fromkeys(name for row in objects for name in row)
    faulty = {name for name in names if not is_column_name(name)}
    if faulty:
        kept = []
        for row, line in zip(objects, lines, strict=True):
            first = next((name for name in row if name in faulty), None)
            if first is None:
                kept.append((row, line))
            else:
                raw.unreadable(line, f"the key {first!r:.60} is not valid text; rename it", "not-unicode")
        objects, lines = [row for row, _ in kept], [line for _, line in kept]
        names = dict.fromkeys(name for row in objects for name in row)
    raw.lines = np.array(lines, dtype=np.int64)
    refuse_too_many_columns(file, len(names))
    raw.columns = {name: [row.get(name) for row in objects] for name in names}
    return raw


def refuse_repeated(where: str, names: Sequence[str]) -> None:
    """Refuse names of columns that occur twice or are not valid text.

    Raises:
        InputError: with the name.
    """
    seen: set[str] = set()
    for name in names:
        if not is_column_name(name):
            raise InputError(f"{where}: the column name {name!r} is not valid text; rename the column")
        if name in seen:
            raise InputError(f"{where}: the column {name!r} occurs more than once; rename one of them")
        seen.add(name)


def refuse_too_many_columns(file: str, columns: int) -> None:
    """Refuse what has a key of its own for each row: as columns it would need memory by its square.

    Raises:
        InputError: there are more than `MAX_COLUMNS`.
    """
    if columns > MAX_COLUMNS:
        raise InputError(f"{file}: {columns} different keys, at most {MAX_COLUMNS} can be columns; nest the others")


def is_column_name(name: str) -> bool:
    """Whether a name is Unicode text without NUL."""
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False
