"""From files to samples: every source is read in batches, so that memory depends on the batch and not on the file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from llmops.data.findings import Finding, errors_line, raise_errors
from llmops.data.reading.csv_rows import read_csv
from llmops.data.reading.json_rows import read_json
from llmops.data.reading.jsonl_rows import read_jsonl
from llmops.data.reading.parquet_rows import read_parquet
from llmops.data.reading.raw_rows import RawRows
from llmops.data.reading.shapes import Shape, recognise, samples_of
from llmops.data.reading.sources import Format, SourcePath, find_sources
from llmops.data.samples import SAMPLE_SCHEMA, ColumnMapping
from llmops.errors import InputError

_READERS: dict[Format, Callable[[SourcePath, int], Iterator[RawRows]]] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_csv,
    "parquet": read_parquet,
}

_BY_NAME = ColumnMapping()

BATCH_SCHEMA = SAMPLE_SCHEMA.append(pa.field("line", pa.int64()))


@dataclass(frozen=True)
class SampleBatch:
    """Rows of one file: the samples (`SAMPLE_SCHEMA` and `line`), and findings: rows that are none, or the file."""

    file: str
    table: pa.Table
    findings: list[Finding]


def read_all(
    sources: Sequence[SourcePath], columns: ColumnMapping, rows: int = 16_384
) -> Iterator[tuple[int, SampleBatch]]:
    """Read files in batches of at most `rows` rows, fewer where the texts are long; each with the number of its file.

    `line` is the line on which a row begins, counted from 1 with a CSV header as 1; in Parquet and JSON the number
    of the row. Numbers become text and nested metadata JSON text; every column that is not part of a sample becomes
    metadata. What the columns are is told by the first rows (see `shapes`) and holds for the whole file. A file that
    is damaged further on gives the rows before the damage and a finding. A JSON file is in memory as a whole.

    Of several files some may have no row that can be read: one with nothing in it but, say, a header gives a warning
    (`empty-file`), and one of broken rows only, or broken as a whole, its errors.

    Raises:
        InputError: a file is missing or not packed as its suffix says; no file has a row that can be read; a mapped
            column does not exist; the columns of input and expected cannot be told.
    """
    lacking: list[Finding] = []
    readable = False
    for number, source in enumerate(sources):
        shape: Shape | None = None
        unread: list[Finding] = []
        for raw in _READERS[source.format](source, rows):
            if len(raw.lines):
                shape = shape or recognise(raw, columns)
                table = samples_of(raw, shape)
                yield number, SampleBatch(source.uri, table, raw.findings)
            elif raw.unread:
                unread += raw.unread if shape is None else []
                yield number, SampleBatch(source.uri, BATCH_SCHEMA.empty_table(), raw.findings)
        if shape is None and not unread:
            unread.append(_empty_file(source))
            yield number, SampleBatch(source.uri, BATCH_SCHEMA.empty_table(), unread)
        readable = readable or shape is not None
        if not readable:
            lacking += unread
    if not readable:
        raise_errors(lacking)
        raise InputError(errors_line(lacking))


def read_batches(source: SourcePath, columns: ColumnMapping, rows: int = 16_384) -> Iterator[SampleBatch]:
    """Read one file; see `read_all`.

    Raises:
        InputError: as there.
    """
    for _, batch in read_all([source], columns, rows):
        yield batch


def read_samples(spec: str | Path, columns: ColumnMapping = _BY_NAME) -> tuple[pa.Table, list[Finding]]:
    """All samples of a file, a folder or a pattern in one table, and the findings; see `find_sources`, `read_all`.

    Raises:
        InputError: as these two.
    """
    batches = [batch for _, batch in read_all(find_sources(spec), columns)]
    return pa.concat_tables([batch.table for batch in batches]), [
        finding for batch in batches for finding in batch.findings
    ]


def _empty_file(source: SourcePath) -> Finding:
    return Finding(severity="warning", rule="empty-file", file=source.uri, line=None, message="the file has no rows")
