"""Rows of a Parquet file."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmops.data.reading.raw_rows import BATCH_BYTES, RawRows, refuse_repeated, refuse_too_many_columns
from llmops.data.reading.sources import SourcePath, unreadable

_ROWS_AT_ONCE = 512


def read_parquet(source: SourcePath, rows: int) -> Iterator[RawRows]:
    """Batches of at most `rows` rows, numbered from 1, with all their columns.

    A file that is not Parquet, or has lost its end, is one finding.

    Raises:
        InputError: the file cannot be opened, or has two columns of one name.
    """
    try:
        stream = source.filesystem.open_input_file(source.path)
    except OSError as error:
        raise unreadable(source.uri, error) from error
    with stream:
        try:
            file = pq.ParquetFile(stream)
            names = file.schema_arrow.names
        except (OSError, pa.ArrowException) as error:
            raw = RawRows(source.uri)
            raw.unreadable(None, f"not a readable Parquet file ({_first_line(error)}); get it anew")
            yield raw
            return
        refuse_repeated(source.uri, names)
        refuse_too_many_columns(source.uri, len(names))
        number = 0
        try:
            for table in _tables(file, rows):
                lines = np.arange(number + 1, number + len(table) + 1)
                number += len(table)
                yield RawRows(source.uri, lines, dict(zip(names, table.columns, strict=True)))
        except (OSError, pa.ArrowException) as error:
            raw = RawRows(source.uri)
            raw.unreadable(number + 1, f"the file is damaged from here on ({_first_line(error)}); get it anew")
            yield raw


def _tables(file: Any, rows: int) -> Iterator[pa.Table]:
    """Tables of `rows` rows, of fewer where they are large: that shows only once they are read and unpacked."""
    parts: list[pa.RecordBatch] = []
    size = 0
    for part in file.iter_batches(batch_size=min(rows, _ROWS_AT_ONCE)):
        if parts and (size + part.nbytes > BATCH_BYTES or sum(map(len, parts)) + len(part) > rows):
            yield pa.Table.from_batches(parts)
            parts, size = [], 0
        parts.append(part)
        size += part.nbytes
    if parts:
        yield pa.Table.from_batches(parts)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
