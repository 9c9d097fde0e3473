"""Rows of a CSV or TSV file: a header, then one record a row, which may go over several lines."""

import csv
import io
from collections import deque
from collections.abc import Iterator

import numpy as np

from llmops.data.reading.raw_rows import BATCH_BYTES, RawRows, refuse_repeated, refuse_too_many_columns
from llmops.data.reading.sources import UNREADABLE, SourcePath


def read_csv(source: SourcePath, rows: int) -> Iterator[RawRows]:
    """Batches of at most `rows` records, each with the line on which it begins; the header is line 1.

    Fields are separated by tabs in a TSV file; in a CSV file by commas or, where its header has none, by semicolons
    or tabs. After a broken record reading goes on with the line after the one on which it began, so that a quote
    that is never closed costs no other row. Where the header is broken, no record after it can be told.

    Raises:
        InputError: the file cannot be opened, or the header names a column twice.
    """
    # The limit of 131,072 characters a field belongs to the process; a quote never closed must end somewhere.
    csv.field_size_limit(BATCH_BYTES)
    with source.open() as stream:
        # Bytes that are not UTF-8 come through as surrogates and are reported with their row later.
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        lines = _Lines(text)
        header: list[str] | None = None
        batch = _Batch(source.uri, [])
        for line, record in _records(lines, "\t" if source.format == "tsv" else _delimiter(lines)):
            if header is not None:
                batch.add(line, record, lines.taken_characters)
            elif isinstance(record, str):
                batch.raw.unreadable(line, record)
                break
            else:
                header = record
                refuse_repeated(f"{source.uri}:{line}", header)
                refuse_too_many_columns(f"{source.uri}:{line}", len(header))
                batch = _Batch(source.uri, header)
            if batch.is_full(rows):
                yield batch.rows()
                batch = _Batch(source.uri, header)
    yield batch.rows()


def _delimiter(lines: "_Lines") -> str:
    try:
        first = lines.peek()
    except UNREADABLE:
        return ","
    return "," if "," in first else next((one for one in ";\t" if one in first), ",")


class _Lines:
    """Numbered lines that can be given back."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._waiting: deque[str] = deque()
        self.number = 0
        self._taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._text)
        self.number += 1
        self._taken.append(line)
        return line

    def peek(self) -> str:
        """The next line, which stays the next; empty where there is none."""
        if not self._waiting:
            self._waiting.append(next(self._text, ""))
        return self._waiting[0]

    def begin(self) -> int:
        """Begin a record; the number of its first line."""
        self._taken = []
        return self.number + 1

    def give_back(self) -> None:
        """Give back all but the first line of the record."""
        self._waiting.extendleft(reversed(self._taken[1:]))
        self.number -= len(self._taken[1:])

    @property
    def taken_characters(self) -> int:
        return sum(map(len, self._taken))


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """The line on which each record begins, and its fields or what is wrong with it; blank lines are passed over."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.give_back()
            yield line, f"not valid CSV ({error}; the record begins on this line)"
        except UNREADABLE as error:
            yield line, f"the file is damaged from here on ({error}); get it anew"
            return
        else:
            if record:
                yield line, record


class _Batch:
    """The records read so far."""

    def __init__(self, file: str, header: list[str]) -> None:
        self.raw = RawRows(file)
        self.header = header
        self.records: list[list[str]] = []
        self.lines: list[int] = []
        self.size = 0

    def add(self, line: int, record: list[str] | str, size: int) -> None:
        self.size += size
        if isinstance(record, str):
            self.raw.unreadable(line, record)
        elif len(record) != len(self.header):
            self.raw.unreadable(line, f"{len(record)} field(s) where the header has {len(self.header)}")
        else:
            self.records.append(record)
            self.lines.append(line)

    def is_full(self, rows: int) -> bool:
        return len(self.records) + len(self.raw.unread) >= rows or self.size >= BATCH_BYTES

    def rows(self) -> RawRows:
        self.raw.lines = np.array(self.lines, dtype=np.int64)
        if self.records:
            columns = zip(*self.records, strict=True)
            self.raw.columns = {name: list(texts) for name, texts in zip(self.header, columns, strict=True)}
        return self.raw
