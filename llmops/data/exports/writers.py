"""Samples into files: the project's own shape, which loses nothing, and the fine-tuning formats of providers.

The own shape has one column for each part of a sample (`SAMPLE_SCHEMA`): in JSONL and JSON nulls are left out and
`metadata` is an object, in CSV and TSV it is JSON text. `messages` is the JSON text that the sample holds.

A CSV cell is written as the text it is, also where it begins with ``=``, ``+``, ``-`` or ``@``: a spreadsheet that
opens the file would take it for a formula, so import the columns there as text.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from llmops.data.exports.provider_formats import PROVIDER_RECORDS, NotExportableError, Record, Row
from llmops.data.reading.sources import split_suffixes
from llmops.data.samples import SAMPLE_SCHEMA
from llmops.errors import InputError

# The ends of the file names of each format, by which `read_samples` knows them again.
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet",),
    **dict.fromkeys(PROVIDER_RECORDS, (".jsonl",)),
    "sharegpt": (".jsonl", ".json"),
    "alpaca": (".jsonl", ".json"),
}
FORMATS = tuple(_SUFFIXES)

ROW_COLUMNS = ("id", "input", "expected", "context", "messages")
"""All that a provider's format is made of; for these formats the batches need no other columns."""

_BATCH_ROWS = 16_384
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def write_samples(
    batches: pa.Table | Iterable[pa.Table | pa.RecordBatch],
    path: Path,
    format: str,
    *,
    maximum_bytes: int | None = None,
) -> int:
    """Write samples (`SAMPLE_SCHEMA`) to a file and return how many; a file of that name is replaced.

    Args:
        batches: the samples, all at once or in parts; memory is bounded by the part.
        path: where to; ``.gz`` or ``.zst`` at the end packs the file. It is there as a whole or not at all.
        format: one of `FORMATS`.
        maximum_bytes: of the file before it is packed.

    Raises:
        InputError: there is no such format, the path does not end as the format's files do or cannot be written, a
            sample has something that the format does not carry, or the file would be too large.
    """
    suffix, compression = _suffixes(path, format)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if format == "parquet":
            rows = _write_parquet(batches, part)
        else:
            chunks = _text_chunks(batches, format, is_list=suffix == ".json")
            rows = _write_chunks(chunks, part, compression, maximum_bytes, f"{path}: format {format}")
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)
    return rows


def record_batches(batches: pa.Table | Iterable[pa.Table | pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Samples in parts of at most 16,384."""
    for table in [batches] if isinstance(batches, pa.Table) else batches:
        parts = [table] if isinstance(table, pa.RecordBatch) else table.to_batches()
        for part in parts:
            for start in range(0, len(part), _BATCH_ROWS):
                yield part.slice(start, _BATCH_ROWS)


def rows_of(batch: pa.RecordBatch) -> Iterator[Row]:
    """`ROW_COLUMNS` of each sample."""
    for values in zip(*(batch[name].to_pylist() for name in ROW_COLUMNS), strict=True):
        yield dict(zip(ROW_COLUMNS, values, strict=True))


def require_format(format: str) -> None:
    """Refuse what is no format.

    Raises:
        InputError: with those there are.
    """
    if format not in FORMATS:
        raise InputError(f"no format {format!r}; there are: {', '.join(FORMATS)}")


def _suffixes(path: Path, format: str) -> tuple[str, str | None]:
    """How the file's name says that it is written and packed, once that is known to be as it must be."""
    require_format(format)
    suffix, compression = split_suffixes(path.name)
    if suffix not in _SUFFIXES[format]:
        names = " or ".join(f"*{one}" for one in _SUFFIXES[format])
        raise InputError(f"{path}: a file in format {format} is named {names}")
    if compression and format == "parquet":
        raise InputError(f"{path}: Parquet packs its columns itself; leave {path.suffix} out")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; create it first")
    return suffix, compression


def _write_chunks(
    chunks: Iterable[tuple[int, bytes]], part: Path, compression: str | None, maximum_bytes: int | None, what: str
) -> int:
    rows = size = 0
    with pa.output_stream(str(part), compression=compression) as file:
        for count, content in chunks:
            rows += count
            size += len(content)
            if maximum_bytes is not None and size > maximum_bytes:
                limit = f"larger than the {maximum_bytes:,} bytes that a file may have there"
                raise InputError(f"{what}: {limit}; export fewer samples")
            file.write(content)
    return rows


def _write_parquet(batches: pa.Table | Iterable[pa.Table | pa.RecordBatch], part: Path) -> int:
    rows = 0
    with pq.ParquetWriter(part, SAMPLE_SCHEMA, compression="zstd") as writer:
        for batch in record_batches(batches):
            table = pa.Table.from_batches([batch]).select(SAMPLE_SCHEMA.names)
            writer.write_table(table.cast(SAMPLE_SCHEMA))
            rows += len(batch)
    return rows


def _text_chunks(
    batches: pa.Table | Iterable[pa.Table | pa.RecordBatch], format: str, *, is_list: bool
) -> Iterator[tuple[int, bytes]]:
    """How many rows, and their bytes."""
    if format in ("csv", "tsv"):
        yield from _csv_chunks(batches, "," if format == "csv" else "\t")
        return
    records = _own_records if format not in PROVIDER_RECORDS else _provider_records(format)
    if format == "azure":
        # Azure asks for the byte-order mark; OpenAI does not.
        yield 0, b"\xef\xbb\xbf"
    separator, start = (",\n", "[\n") if is_list else ("\n", "")
    for batch in record_batches(batches):
        text = separator.join(map(_encode, records(batch)))
        yield len(batch), (start + text).encode()
        start = separator
    yield 0, (("\n]\n" if start == separator else "[]\n") if is_list else "\n" if start else "").encode()


def _own_records(batch: pa.RecordBatch) -> Iterator[Record]:
    names = SAMPLE_SCHEMA.names
    values = [_python_values(batch[name]) for name in names]
    for row in zip(*values, strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}


def _provider_records(format: str) -> Callable[[pa.RecordBatch], Iterator[Record]]:
    record = PROVIDER_RECORDS[format]

    def records(batch: pa.RecordBatch) -> Iterator[Record]:
        for row in rows_of(batch):
            try:
                yield record(row)
            except NotExportableError as error:
                raise InputError(f"sample {row['id']} cannot be written as {format}: {error}") from error

    return records


def _python_values(column: pa.Array) -> Sequence[Any]:
    if pa.types.is_map(column.type):
        # Each sample's metadata as a dict; to_pylist takes several times as long. The keys are those of the whole
        # column also where this is a part of it.
        ends = column.offsets
        keys, items = (
            part.slice(ends[0].as_py(), ends[-1].as_py() - ends[0].as_py()).to_pylist()
            for part in (column.keys, column.items)
        )
        ends = pc.subtract(ends, ends[0]).to_pylist()
        return [dict(zip(keys[a:b], items[a:b], strict=True)) for a, b in itertools.pairwise(ends)]
    if pa.types.is_floating(column.type):
        # The shortest text that gives the 32-bit number back, which is 0.1 and not 0.10000000149011612.
        return [None if text is None else float(text) for text in column.cast(pa.string()).to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def _csv_chunks(batches: pa.Table | Iterable[pa.Table | pa.RecordBatch], delimiter: str) -> Iterator[tuple[int, bytes]]:
    """Every text is between quotes, so that it may hold line ends and blanks; a null is an empty field without."""
    names = [name for name in SAMPLE_SCHEMA.names if name != "metadata"]
    header = True
    for batch in record_batches(batches):
        columns = {name: batch[name].cast(pa.string()) for name in names}
        columns["metadata"] = pa.array(list(map(_encode, _python_values(batch["metadata"]))), pa.string())
        sink = pa.BufferOutputStream()
        options = pa_csv.WriteOptions(include_header=header, delimiter=delimiter, quoting_style="needed")
        pa_csv.write_csv(pa.table(columns).select(SAMPLE_SCHEMA.names), sink, options)
        yield len(batch), sink.getvalue().to_pybytes()
        header = False
    if header:
        yield 0, (delimiter.join(SAMPLE_SCHEMA.names) + "\n").encode()
