"""Rows of a JSONL file: one JSON object a line."""

import json
from collections.abc import Iterator
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


def not_a_number(literal: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser takes and JSON does not have."""
    raise ValueError(f"{literal} is not a JSON value")


_decode = json.JSONDecoder(parse_constant=not_a_number).decode


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
            row = _decode(content.rstrip(b"\r\n").decode("utf-8"))
        except UnicodeDecodeError as error:
            self.broken(number, f"not UTF-8 text (byte {content[error.start]:#04x} at {error.start + 1})")
        except json.JSONDecodeError as error:
            if content.strip():
                self.broken(number, f"not valid JSON ({error.msg} at column {error.colno})")
        except (ValueError, RecursionError) as error:
            self.broken(number, f"not valid JSON ({error})")
        else:
            if isinstance(row, dict):
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
