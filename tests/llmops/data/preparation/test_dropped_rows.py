from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from llmops.data.preparation.dropped_rows import DROPPED_SCHEMA, SHOWN_CHARACTERS, RowsLeft
from llmops.data.preparation.spill import Spill
from llmops.data.samples import SAMPLE_SCHEMA

Samples = Callable[..., pa.Table]
FILES = ["a.csv", "b.csv"]
FILE = np.array([0] * 6 + [1] * 6, dtype=np.int32)
LINE = np.array([*range(2, 8)] * 2)


def spilled(*tables: pa.Table) -> Spill:
    spill = Spill(SAMPLE_SCHEMA)
    for table in tables:
        spill.append(table)
    spill.finish()
    return spill


def test_each_dropped_row_says_why_and_for_whom(samples: Samples) -> None:
    table = samples([(f"question {row}", "x") for row in range(12)])
    left = RowsLeft(12)
    left.drop("near duplicate", np.array([9, 1]), np.array([2, 0]), np.array([0.9, 0.8], np.float32))
    left.drop("left out", np.array([4]))
    assert left.numbers.tolist() == [0, 2, 3, 5, 6, 7, 8, 10, 11]
    assert {reason: count for reason, count in left.counts().items() if count} == {"near duplicate": 2, "left out": 1}
    found = left.table(spilled(table.slice(0, 7), table.slice(7)), FILES, FILE, LINE)
    assert found.schema.equals(DROPPED_SCHEMA)
    ids = table["id"].to_pylist()
    assert [tuple(row.values()) for row in found.drop_columns("similarity").to_pylist()] == [
        ("near duplicate", "a.csv", 3, ids[1], "question 1", "a.csv", 2, ids[0]),
        ("left out", "a.csv", 6, ids[4], "question 4", None, None, None),
        ("near duplicate", "b.csv", 5, ids[9], "question 9", "a.csv", 4, ids[2]),
    ]
    assert found["similarity"].to_pylist() == [pytest.approx(0.8), None, pytest.approx(0.9)]


def test_nothing_dropped_is_an_empty_table() -> None:
    assert RowsLeft(3).table(spilled(), FILES, FILE, LINE).equals(DROPPED_SCHEMA.empty_table())


def test_long_inputs_are_shortened_before_they_are_gathered(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    table = samples([(f"{row} " + "ü" * 5_000, "x") for row in range(12)])
    gathered = []
    take = Spill.take

    def watched(spill: Spill, rows: np.ndarray, columns: list[str], *of: Callable[..., pa.RecordBatch]) -> pa.Table:
        before = pa.total_allocated_bytes()
        found = take(spill, rows, columns, *of)
        gathered.append(pa.total_allocated_bytes() - before)
        return found

    monkeypatch.setattr(Spill, "take", watched)
    left = RowsLeft(12)
    left.drop("left out", np.arange(12))
    found = left.table(spilled(table.slice(0, 6), table.slice(6)), FILES, FILE, LINE)
    assert found["input"].to_pylist() == [text[:SHOWN_CHARACTERS] for text in table["input"].to_pylist()]
    assert len(gathered) == 2
    assert max(gathered) < 12 * 1_000
