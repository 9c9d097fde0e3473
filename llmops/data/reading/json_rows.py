"""Rows of a JSON file: a list of objects, or an object with one such list in it."""

import json
from collections.abc import Iterator
from typing import Any

from llmops.data.findings import Finding
from llmops.data.reading.jsonl_rows import not_a_number
from llmops.data.reading.raw_rows import RawRows, rows_of_objects
from llmops.data.reading.sources import UNREADABLE, SourcePath, unreadable
from llmops.errors import InputError


def read_json(source: SourcePath, rows: int) -> Iterator[RawRows]:
    """Batches of at most `rows` rows, numbered from 1; the file is in memory as a whole, unlike a JSONL file.

    Raises:
        InputError: the file is not JSON in UTF-8, or holds no list of objects that is a table.
    """
    objects = _list_of_objects(_parsed(source), source.uri)
    for start in range(0, len(objects), rows):
        part = objects[start : start + rows]
        numbers = [start + place for place, row in enumerate(part, start=1) if isinstance(row, dict)]
        unread = [
            Finding(
                severity="error",
                rule="unreadable-row",
                file=source.uri,
                line=start + place,
                message='not a JSON object; each row must be one, like {"input": …}',
            )
            for place, row in enumerate(part, start=1)
            if not isinstance(row, dict)
        ]
        yield rows_of_objects(source.uri, [row for row in part if isinstance(row, dict)], numbers, unread)


def _parsed(source: SourcePath) -> Any:
    try:
        with source.open() as file:
            content = file.read()
    except UNREADABLE as error:
        raise unreadable(source.uri, error) from error
    if not content.strip():
        raise InputError(f"{source.uri}: the file has no rows")
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=not_a_number)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source.uri}:{line}: not UTF-8 text; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        hint = "; one object a line is JSONL, name the file .jsonl" if error.msg == "Extra data" else ""
        where = f"{source.uri}:{error.lineno}"
        raise InputError(f"{where}: not valid JSON ({error.msg} at column {error.colno}){hint}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source.uri}: not valid JSON ({error})") from error


def _list_of_objects(value: Any, file: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise InputError(f"{file}: holds one {type(value).__name__}; a list of objects is needed")
    lists = [
        name for name, inner in value.items() if isinstance(inner, list) and any(isinstance(i, dict) for i in inner)
    ]
    if len(lists) != 1:
        held = f"lists under {', '.join(map(repr, lists))}" if lists else "an object with no list of objects in it"
        raise InputError(f'{file}: holds {held}; one list of objects is needed, [{{…}}, …] or {{"data": [{{…}}, …]}}')
    found: list[Any] = value[lists[0]]
    return found
