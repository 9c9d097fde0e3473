"""Rows of a JSONL file: one JSON object a line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from llmops.data.findings import Finding
from llmops.data.reading.raw_rows import BATCH_BYTES, RawRows, rows_of_objects
from llmops.data.reading.sources import UNREADABLE, SourcePath


def read_jsonl(source: SourcePath, rows: int) -> Iterator[RawRows]:
    """Batches of at most `rows` rows; blank lines are passed over, lines that are no object are findings."""
    batch = _Batch(source.uri)
    number = 0
    with source.open() as file:
        try:
            for number, content in enumerate(file, start=1):
                batch.add(number, content)
                if batch.is_full(rows):
                    yield batch.rows()
                    batch = _Batch(source.uri)
        except UNREADABLE as error:
            batch.broken(number + 1, f"the file is damaged from here on ({error}); get it anew")
    yield batch.rows()


def occurs_twice(key: str) -> str:
    """What is wrong with a row that has a key twice."""
    return f"the key {key!r:.60} occurs twice; keep one of them"


def not_a_number(literal: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser takes and JSON does not have."""
    raise ValueError(f"{literal} is not a JSON value")


_decode = json.JSONDecoder(parse_constant=not_a_number).decode
_pairs = json.JSONDecoder(object_pairs_hook=list).decode


def _repeated_key(text: str, row: dict[str, Any]) -> str | None:
    """The key that a row's text has twice; the parser keeps its last value without a word.

    Only text in which it may be so is parsed again: where it has more keys than the row, as nested ones or the texts
    may have, and one of the row's own stands in it more than once.
    """
    if text.count('":') == len(row) or all(text.count(f'"{key}"') < 2 for key in row):
        return None
    return first_repeated(key for key, _ in _pairs(text))


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that has occurred before."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


class _Batch:
    """The objects of the lines read so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.objects: list[dict[str, Any]] = []
        self.lines: list[int] = []
        self.unread: list[Finding] = []
        self.size = 0

    def add(self, number: int, content: bytes) -> None:
        if number == 1:
            content = content.removeprefix(b"\xef\xbb\xbf")
        self.size += len(content)
        try:
            text = content.rstrip(b"\r\n").decode("utf-8")
            row = _decode(text)
            repeated = _repeated_key(text, row) if isinstance(row, dict) else None
        except UnicodeDecodeError as error:
            self.broken(number, f"not UTF-8 text (byte {content[error.start]:#04x} at {error.start + 1})")
        except json.JSONDecodeError as error:
            if content.strip():
                self.broken(number, f"not valid JSON ({error.msg} at column {error.colno})")
        except (ValueError, RecursionError) as error:
            self.broken(number, f"not valid JSON ({error})")
        else:
            if repeated is not None:
                self.broken(number, occurs_twice(repeated))
            elif isinstance(row, dict):
                self.objects.append(row)
                self.lines.append(number)
            else:
                self.broken(number, 'not a JSON object; each line must be one, like {"input": …}')

    def broken(self, number: int, message: str) -> None:
        self.unread.append(
            Finding(severity="error", rule="unreadable-row", file=self.file, line=number, message=message)
        )

    def is_full(self, rows: int) -> bool:
        return len(self.objects) + len(self.unread) >= rows or self.size >= BATCH_BYTES

    def rows(self) -> RawRows:
        return rows_of_objects(self.file, self.objects, self.lines, self.unread)
