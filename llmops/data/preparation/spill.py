"""A file of batches that lives as long as the object: what does not fit in memory waits here for its second reading.

The file has no name: nothing is left of it after the process, not even after kill -9.
"""

import mmap
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

Transformation: TypeAlias = Callable[[pa.RecordBatch], pa.RecordBatch]

CHUNK_BYTES = 2**29


def _unchanged(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


class Spill:
    """Tables of one schema, appended once and then read as often as needed, as a whole or by row number.

    Args:
        schema: of every table.
        folder: on whose disk the file lies; the system's folder for temporary files when left out.

    >>> spill = Spill(pa.schema([("text", pa.string())]))
    >>> spill.append(pa.table({"text": ["a", "b"]}))
    >>> spill.append(pa.table({"text": ["c"]}))
    >>> spill.finish()
    >>> spill.take(np.array([0, 2]), ["text"]).column("text").to_pylist()
    ['a', 'c']
    """

    def __init__(self, schema: pa.Schema, folder: Path | None = None) -> None:
        self.schema = schema
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  it lives as long as this object
        self._writer = pa.ipc.new_file(self._file, schema)
        self._ends: list[int] = []

    def append(self, table: pa.Table) -> None:
        """Add the rows of a table."""
        for batch in table.combine_chunks().to_batches():
            self._writer.write_batch(batch)
            self._ends.append(len(self) + len(batch))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def finish(self) -> None:
        """End writing; reading may begin."""
        self._writer.close()
        self._file.flush()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Every batch with the number of its first row."""
        for number, end in enumerate(self._ends):
            batch = self._reader.get_batch(number)
            yield end - len(batch), batch

    def take(self, rows: np.ndarray, columns: list[str], of: Transformation = _unchanged) -> pa.Table:
        """Some rows, in the order asked for, of which only the batches that hold them are read.

        Args:
            rows: their numbers.
            columns: which parts of them.
            of: what is taken of a batch: the same columns, one row each, say shortened. It is called batch by batch,
                so that what it leaves out is never in memory together.
        """
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        bounds = np.searchsorted(ordered, [0, *self._ends])
        parts = []
        for number in np.flatnonzero(np.diff(bounds)):
            batch = self._reader.get_batch(int(number))
            start = self._ends[number] - len(batch)
            wanted = pa.array(ordered[bounds[number] : bounds[number + 1]] - start)
            parts.append(of(batch.select(columns)).take(wanted))
        schema = pa.schema([self.schema.field(name) for name in columns])
        back = np.empty(len(rows), dtype=np.int64)
        back[order] = np.arange(len(rows))
        return _taken(pa.Table.from_batches(parts, schema), back)


def _taken(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """`table.take`, also of more text than the 2 GiB of one array: chunk by chunk."""
    if table.nbytes <= CHUNK_BYTES or len(rows) < 2:
        return table.take(pa.array(rows))
    # `rows` is a permutation, so each half of it needs only rows of its own.
    halves = []
    for half in np.array_split(rows, 2):
        mask = np.zeros(len(table), dtype=bool)
        mask[half] = True
        halves.append(_taken(table.filter(pa.array(mask)), np.searchsorted(np.flatnonzero(mask), half)))
    return pa.concat_tables(halves)
