"""Which rows are still in, and of each that is not, why it was dropped and in favour of which row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.preparation.spill import Spill

REASONS = ("faulty", "exact repeat", "near duplicate", "leaked", "left out", "bridging")
SHOWN_CHARACTERS = 200

DROPPED_SCHEMA = pa.schema(
    [
        ("reason", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("input", pa.string()),
        ("kept_file", pa.string()),
        ("kept_line", pa.int64()),
        ("kept_id", pa.string()),
        ("similarity", pa.float32()),
    ]
)
"""`kept_…` names the row it was dropped for (or clashed with), and `similarity` is the Jaccard index of the two."""


@dataclass(frozen=True)
class _Drop:
    reason: str
    rows: np.ndarray
    kept: np.ndarray
    similarity: np.ndarray


class RowsLeft:
    """The rows of a preparation that have not been dropped yet."""

    def __init__(self, rows: int) -> None:
        self.mask = np.ones(rows, dtype=bool)
        self._drops: list[_Drop] = []

    @property
    def numbers(self) -> np.ndarray:
        """The numbers of the rows that are left, ascending."""
        return np.flatnonzero(self.mask)

    def drop(
        self, reason: str, rows: np.ndarray, kept: np.ndarray | None = None, similarity: np.ndarray | None = None
    ) -> None:
        """Drop rows for a reason, each in favour of a row of `kept` (−1: none)."""
        self.mask[rows] = False
        nobody = np.full(len(rows), -1, dtype=np.int64)
        unknown = np.full(len(rows), np.nan, dtype=np.float32)
        drop = _Drop(reason, rows, nobody if kept is None else kept, unknown if similarity is None else similarity)
        self._drops.append(drop)

    def counts(self) -> dict[str, int]:
        """How many rows were dropped for each reason."""
        counts = dict.fromkeys(REASONS, 0)
        for drop in self._drops:
            counts[drop.reason] += len(drop.rows)
        return counts

    def table(self, spill: Spill, files: Sequence[str], file: np.ndarray, line: np.ndarray) -> pa.Table:
        """All dropped rows in `DROPPED_SCHEMA`, by row, given the samples and the file and line of every row."""
        if not self._drops:
            return DROPPED_SCHEMA.empty_table()
        rows = np.concatenate([drop.rows for drop in self._drops])
        kept = np.concatenate([drop.kept for drop in self._drops])
        similarity = np.concatenate([drop.similarity for drop in self._drops])
        reasons = [drop.reason for drop in self._drops for _ in range(len(drop.rows))]
        order = np.argsort(rows, kind="stable")
        rows, kept, similarity = rows[order], kept[order], similarity[order]
        names = pa.array(files, pa.string())
        dropped = spill.take(rows, ["id", "input"], _shortened)
        somebody = kept >= 0
        favoured = np.where(somebody, kept, 0)
        columns = [
            pa.array(reasons).take(pa.array(order)),
            names.take(pa.array(file[rows])),
            pa.array(line[rows]),
            dropped["id"],
            dropped["input"],
            names.take(pa.array(file[favoured], mask=~somebody)),
            pa.array(line[favoured], mask=~somebody),
            spill.take(favoured, ["id"])["id"].take(pa.array(np.arange(len(rows)), mask=~somebody)),
            pa.array(similarity, mask=np.isnan(similarity)),
        ]
        return pa.table(columns, schema=DROPPED_SCHEMA)


def _shortened(batch: pa.RecordBatch) -> pa.RecordBatch:
    place = batch.schema.get_field_index("input")
    return batch.set_column(
        place, batch.schema.field(place), pc.utf8_slice_codeunits(batch["input"], 0, SHOWN_CHARACTERS)
    )
