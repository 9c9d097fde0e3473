"""Readers of what a team has: JSONL, CSV and Parquet into the columns of a sample.

A row that cannot be read is a finding with its line and the rest is still read; a file that cannot be read at
all is an `InputError`.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmops.data.columns import RawColumn, RawRows, samples_of
from llmops.data.findings import Finding
from llmops.data.samples import ColumnMapping
from llmops.errors import InputError


def read_source(path: Path, columns: ColumnMapping) -> tuple[pa.Table, list[Finding]]:
    """Read one file by its suffix (.jsonl, .ndjson, .csv, .parquet) into `SAMPLE_SCHEMA` and a column `line`.

    `line` is the line on which a row begins, counted from 1 with the CSV header as 1; in Parquet the number
    of the row. Numbers become text and nested metadata JSON text; every column that is not mapped becomes
    metadata. A chat row (`messages`) is one user message (the input) and one assistant message (expected).

    Raises:
        InputError: the file is missing, of another kind or not what its suffix says; it has no rows; a mapped
            column does not exist; the columns of input and expected cannot be told.
    """
    readers: dict[str, Callable[[Path], RawRows]] = {
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: cannot tell its format; use a file named {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, name a file in it' if path.is_dir() else 'no such file'}")
    try:
        rows = reader(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return samples_of(rows, columns)


def _read_jsonl(path: Path) -> RawRows:
    objects: list[dict[str, Any]] = []
    raw = RawRows(str(path))
    lines: list[int] = []
    decode = json.JSONDecoder(parse_constant=_not_a_number).decode
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            if line == 1:
                content = content.removeprefix(b"\xef\xbb\xbf")
            content = content.rstrip(b"\r\n")
            if not content.strip():
                continue
            try:
                row = decode(content.decode("utf-8"))
            except UnicodeDecodeError:
                raw.unreadable(line, "not UTF-8 text")
            except json.JSONDecodeError as error:
                raw.unreadable(line, f"not valid JSON ({error.msg} at column {error.colno})")
            except (ValueError, RecursionError) as error:
                raw.unreadable(line, f"not valid JSON ({error})")
            else:
                if isinstance(row, dict):
                    objects.append(row)
                    lines.append(line)
                else:
                    raw.unreadable(line, 'not a JSON object; each line must be one, like {"input": …}')
    names = dict.fromkeys(name for row in objects for name in row)
    raw.lines = np.array(lines, dtype=np.int64)
    raw.columns = {name: [row.get(name) for row in objects] for name in names}
    return raw


def _not_a_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not a JSON value")


def _read_csv(path: Path) -> RawRows:
    # The limit of 131,072 characters a field belongs to the process and guards nothing here.
    csv.field_size_limit(2**31 - 1)
    raw = RawRows(str(path))
    lines: list[int] = []
    records: list[list[str]] = []
    # Bytes that are not UTF-8 come through as surrogates and are reported with their row later.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = _csv_records(csv.reader(file, strict=True), raw)
        line, header = next(rows, (1, []))
        if raw.findings:
            raise InputError(str(raw.findings[0]))
        _refuse_repeated(header, f"{path}:{line}")
        for line, record in rows:
            if len(record) == len(header):
                lines.append(line)
                records.append(record)
            else:
                raw.unreadable(line, f"{len(record)} field(s) where the header has {len(header)}")
    raw.lines = np.array(lines, dtype=np.int64)
    values: Sequence[RawColumn] = [list(texts) for texts in zip(*records, strict=True)] or [[] for _ in header]
    raw.columns = dict(zip(header, values, strict=True))
    return raw


def _csv_records(reader: Any, raw: RawRows) -> Iterator[tuple[int, list[str]]]:
    """The line on which each record begins, and its fields; blank lines are passed over."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raw.unreadable(line, f"not valid CSV ({error})")
            continue
        if record:
            yield line, record


def _read_parquet(path: Path) -> RawRows:
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    _refuse_repeated(table.column_names, str(path))
    columns: dict[str, RawColumn] = dict(zip(table.column_names, table.columns, strict=True))
    return RawRows(str(path), np.arange(1, len(table) + 1), columns)


def _refuse_repeated(names: Sequence[str], where: str) -> None:
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise InputError(f"{where}: the column {repeated[0]!r} occurs more than once; rename one of them")
