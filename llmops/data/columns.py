"""From the columns of a file to those of a sample: which column is which, and every value as text."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Finding, raise_errors
from llmops.data.samples import ColumnMapping, sample_table
from llmops.errors import InputError

RawColumn: TypeAlias = pa.ChunkedArray | list[Any]

USUAL_NAMES = {
    "input": ("input", "prompt", "instruction", "question"),
    "expected": ("expected", "completion", "output", "answer"),
    "context": ("context",),
}


@dataclass
class RawRows:
    """What a reader found: columns of any type, the line of each row, and the rows it could not read."""

    file: str
    lines: np.ndarray = field(default_factory=lambda: np.array([], dtype=np.int64))
    columns: dict[str, RawColumn] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def unreadable(self, line: int, message: str) -> None:
        """Note a row that cannot be read."""
        self.add("unreadable-row", line, message)

    def add(self, rule: str, line: int, message: str) -> None:
        """Note an error in a row."""
        self.findings.append(Finding(severity="error", rule=rule, file=self.file, line=int(line), message=message))


def samples_of(raw: RawRows, mapping: ColumnMapping) -> tuple[pa.Table, list[Finding]]:
    """Map the columns; see `read_source` for the rules and errors."""
    if not len(raw.lines):
        raise_errors(raw.findings)
        raise InputError(f"{raw.file}: the file has no rows")
    for name in raw.columns:
        if "\0" in name or not _is_unicode(name):
            raise InputError(f"{raw.file}: the column name {name!r} is not valid text; rename the column")
    try:
        if _is_chat(raw, mapping):
            _split_messages(raw)
        chosen = _choose(raw, mapping)
        texts = {part: _as_text(raw, name, nested_allowed=False) for part, name in chosen.items()}
        others = [name for name in raw.columns if name not in chosen.values()]
        metadata = {name: _as_text(raw, name, nested_allowed=True) for name in others}
    except UnicodeDecodeError as error:
        raise InputError(f"{raw.file}: a nested column holds text that is not UTF-8 ({error})") from error
    table = sample_table(**texts, metadata=metadata)
    return table.append_column("line", pa.array(raw.lines, pa.int64())), raw.findings


def _choose(raw: RawRows, mapping: ColumnMapping) -> dict[str, str]:
    """The column of each part of a sample, given or found."""
    existing = ", ".join(raw.columns)
    chosen: dict[str, str] = {}
    for part, given in mapping:
        if given is not None:
            if given not in raw.columns:
                raise InputError(f"{raw.file}: no column {given!r} ({part}); it has {existing}")
            chosen[part] = given
    for part, names in USUAL_NAMES.items():
        found = [name for name in names if name in raw.columns and name not in chosen.values()]
        if part in chosen or (not found and part == "context"):
            continue
        if len(found) != 1:
            problem = f"{' and '.join(found)} could all be" if found else "no column is recognised as"
            raise InputError(f"{raw.file}: {problem} the {part}; map one of its columns to it: {existing}")
        chosen[part] = found[0]
    return chosen


def _is_chat(raw: RawRows, mapping: ColumnMapping) -> bool:
    named = set(USUAL_NAMES["input"] + USUAL_NAMES["expected"])
    return (
        "messages" in raw.columns
        and mapping.input is None
        and mapping.expected is None
        and not named.intersection(raw.columns)
    )


def _split_messages(raw: RawRows) -> None:
    """Replace the column `messages` by `input` and `expected`."""
    inputs: list[str | None] = []
    answers: list[str | None] = []
    messages = raw.columns.pop("messages")
    values = messages if isinstance(messages, list) else messages.to_pylist()
    for line, value in zip(raw.lines, values, strict=True):
        pair = _user_and_assistant(value)
        if isinstance(pair, str):
            raw.add("chat-shape", line, pair)
            # Faulty already: a filler keeps the later checks from reporting the row again.
            pair = (pair, pair)
        inputs.append(pair[0])
        answers.append(pair[1])
    raw.columns = {"input": inputs, "expected": answers, **raw.columns}


def _user_and_assistant(messages: Any) -> tuple[str | None, str | None] | str:
    """The two contents, or what is wrong with the messages."""
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError):
            return "messages is text that is not JSON"
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return "messages is not a list of messages"
    roles = [str(message.get("role")) for message in messages]
    if roles != ["user", "assistant"]:
        return f"messages must be one user and one assistant message, found {', '.join(roles) or 'none'}"
    contents = [message.get("content") for message in messages]
    if not all(content is None or isinstance(content, str) for content in contents):
        return "the content of a message is not text"
    return contents[0], contents[1]


def _as_text(raw: RawRows, name: str, *, nested_allowed: bool) -> pa.ChunkedArray:
    values = raw.columns[name]
    if isinstance(values, pa.ChunkedArray):
        values = _arrow_text(values)
        if isinstance(values, pa.ChunkedArray):
            return values
    if not nested_allowed:
        for line, value in zip(raw.lines, values, strict=True):
            if isinstance(value, dict | list):
                raw.add("not-text", line, f"{name} is a {type(value).__name__}, not text")
    texts = [value if value is None or isinstance(value, str) else _json_text(value) for value in values]
    try:
        return pa.chunked_array([pa.array(texts, pa.string())])
    except UnicodeEncodeError:
        return _report_surrogates(raw, name, texts)


def _arrow_text(values: pa.ChunkedArray) -> pa.ChunkedArray | list[Any]:
    """Text in Arrow where Arrow makes the text that a person would, else the values one by one."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return values.cast(pa.string())
    if _is_textual(kind):
        # Parquet files may hold any bytes as "text"; only the way through binary checks them.
        binary = values.cast(pa.large_binary())
        try:
            return binary.cast(pa.large_string()).cast(pa.string())
        except pa.ArrowInvalid:
            rows = binary.to_pylist()
            return [None if row is None else row.decode("utf-8", "surrogateescape") for row in rows]
    if pa.types.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), None, values)
    python: list[Any] = values.to_pylist(maps_as_pydicts="lossy")
    return python


def _is_textual(kind: pa.DataType) -> bool:
    checks: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(check(kind) for check in checks)


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _report_surrogates(raw: RawRows, name: str, texts: Sequence[str | None]) -> pa.ChunkedArray:
    """Report each text that is not Unicode, and put a readable filler in its place."""
    fillers = list(texts)
    for index, text in enumerate(texts):
        if text is not None and not _is_unicode(text):
            reason = "a byte that is not UTF-8, or half of a surrogate pair"
            raw.add("not-unicode", raw.lines[index], f"{name} is not Unicode text ({reason})")
            fillers[index] = "\N{REPLACEMENT CHARACTER}"
    return pa.chunked_array([pa.array(fillers, pa.string())])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
