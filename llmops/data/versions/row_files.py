"""The files of the table of samples: written part by part, so that long texts take no more memory than short ones.

`write_deltalake` gathers thousands of rows before it writes any, whatever their size, so the Parquet files are written
here, and their names enter the table in one commit.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions

from llmops.data.samples import SAMPLE_SCHEMA

ROWS_SCHEMA = SAMPLE_SCHEMA.append(pa.field("position", pa.int64())).append(pa.field("rows_digest", pa.string()))
PARTITION = ["rows_digest"]
FILE_SCHEMA = pa.schema([field for field in ROWS_SCHEMA if field.name not in PARTITION])
BATCH_ROWS = 16_384
BATCH_BYTES = 2**25
FILE_BYTES = 2**27


def append_rows(location: str, rows_digest: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Add the rows of batches in `SAMPLE_SCHEMA`, all or none, with their positions and their digest.

    Memory holds one batch and up to `BATCH_BYTES` more, so the batches should be `slices`.
    """
    folder = Path(location) / f"rows_digest={rows_digest}"
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    try:
        groups = _row_groups(batches)
        while (first := next(groups, None)) is not None:
            files.append(folder / f"part-{len(files):05}-{uuid4()}.parquet")
            _write(files[-1], first, groups)
        _commit(location, rows_digest, files)
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in parts of at most `BATCH_BYTES`, or of one row."""
    if batch.nbytes <= BATCH_BYTES or len(batch) < 2:
        yield batch
        return
    half = len(batch) // 2
    yield from slices(batch.slice(0, half))
    yield from slices(batch.slice(half))


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Small ones, so that a range of positions is read without the rest."""
    start, rows, size = 0, 0, 0
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if waiting and (rows + len(batch) > BATCH_ROWS or size + batch.nbytes > BATCH_BYTES):
            yield _numbered(waiting, start)
            start, rows, size, waiting = start + rows, 0, 0, []
        waiting.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
    if rows:
        yield _numbered(waiting, start)


def _numbered(batches: list[pa.RecordBatch], start: int) -> pa.Table:
    table = pa.Table.from_batches(batches)
    positions = pa.array(np.arange(start, start + len(table)))
    return pa.table([*table.columns, positions], schema=FILE_SCHEMA)


def _write(file: Path, first: pa.Table, others: Iterator[pa.Table]) -> None:
    """A file of about `FILE_BYTES`."""
    # Texts hardly ever repeat, and looking for repeats takes a third of the time of writing.
    with pq.ParquetWriter(
        file, FILE_SCHEMA, compression="none", use_dictionary=False, write_statistics=["position", "split"]
    ) as writer:
        size, group = 0, first
        while group is not None:
            writer.write_table(group, row_group_size=BATCH_ROWS)
            size += group.nbytes
            group = next(others, None) if size < FILE_BYTES else None


def _commit(location: str, rows_digest: str, files: list[Path]) -> None:
    actions = [
        AddAction(
            path=f"{file.parent.name}/{file.name}",
            size=file.stat().st_size,
            partition_values={"rows_digest": rows_digest},
            modification_time=int(file.stat().st_mtime * 1000),
            data_change=True,
            stats=json.dumps({"numRecords": pq.read_metadata(file).num_rows}),
        )
        for file in files
    ]
    schema = Schema.from_arrow(ROWS_SCHEMA)
    if DeltaTable.is_deltatable(location):
        DeltaTable(location).create_write_transaction(actions, "append", schema, partition_by=PARTITION)
    else:
        create_table_with_add_actions(location, schema, actions, mode="error", partition_by=PARTITION)
