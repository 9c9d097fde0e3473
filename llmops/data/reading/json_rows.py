"""Rows of a JSON file: a list of objects, or an object with one such list in it."""

import json
from collections.abc import Iterator
from typing import Any

from llmops.data.findings import Finding
from llmops.data.reading.jsonl_rows import first_repeated, not_a_number, occurs_twice
from llmops.data.reading.raw_rows import RawRows, rows_of_objects
from llmops.data.reading.sources import UNREADABLE, SourcePath
from llmops.errors import InputError


def read_json(source: SourcePath, rows: int) -> Iterator[RawRows]:
    """Batches of at most `rows` rows, numbered from 1; the file is in memory as a whole, unlike a JSONL file.

    Text that is not JSON in UTF-8 is one finding, on the line where it goes wrong.

    Raises:
        InputError: the file cannot be opened, or holds no list of objects that is a table.
    """
    raw = RawRows(source.uri)
    values = _list_of_objects(_parsed(source, raw), source.uri)
    yield raw
    for start in range(0, len(values), rows):
        objects, numbers, unread = [], [], []
        for number, value in enumerate(values[start : start + rows], start=start + 1):
            wrong = _what_is_wrong(value)
            if wrong is None:
                objects.append(value)
                numbers.append(number)
            else:
                unread.append(
                    Finding(severity="error", rule="unreadable-row", file=source.uri, line=number, message=wrong)
                )
        yield rows_of_objects(source.uri, objects, numbers, unread)


class _Repeating(dict[str, Any]):
    """An object that has a key twice in the file."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        found = _Repeating(found)
        found.key = first_repeated(key for key, _ in pairs) or ""
    return found


def _what_is_wrong(value: Any) -> str | None:
    """Why a value is no row."""
    if isinstance(value, _Repeating):
        return occurs_twice(value.key)
    return None if isinstance(value, dict) else 'not a JSON object; each row must be one, like {"input": …}'


def _parsed(source: SourcePath, raw: RawRows) -> Any:
    """The value that the file holds; an empty list where it holds none, or none that can be read."""
    try:
        with source.open() as file:
            content = file.read()
    except UNREADABLE as error:
        raw.unreadable(None, f"the file is damaged ({error}); get it anew")
        return []
    if not content.strip():
        return []
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=not_a_number, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raw.unreadable(content.count(b"\n", 0, error.start) + 1, "not UTF-8 text; save the file as UTF-8")
    except json.JSONDecodeError as error:
        hint = "; one object a line is JSONL, name the file .jsonl" if error.msg == "Extra data" else ""
        raw.unreadable(error.lineno, f"not valid JSON ({error.msg} at column {error.colno}){hint}")
    except (ValueError, RecursionError) as error:
        raw.unreadable(None, f"not valid JSON ({error})")
    return []


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
