"""The spill against a plain table, also where its chunks are as small as they come."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops.data.preparation import spill as module
from llmops.data.preparation.spill import Spill

SCHEMA = pa.schema([("text", pa.string()), ("pairs", pa.map_(pa.string(), pa.string())), ("number", pa.int64())])


def table(first: int, rows: int) -> pa.Table:
    numbers = range(first, first + rows)
    texts = [None if number % 7 == 3 else f"{number} " * (number % 5) for number in numbers]
    pairs = [[("key", str(number))] * (number % 3) for number in numbers]
    return pa.table([texts, pa.array(pairs, SCHEMA.field("pairs").type), list(numbers)], schema=SCHEMA)


@pytest.fixture
def spill() -> Spill:
    """40 rows in batches of 1, 15 and 24."""
    filled = Spill(SCHEMA)
    for first, rows in ((0, 1), (1, 15), (16, 24)):
        filled.append(table(first, rows))
    filled.finish()
    return filled


def test_batches_come_back_with_the_number_of_their_first_row(spill: Spill) -> None:
    assert len(spill) == 40
    found = list(spill.batches())
    assert [(start, len(batch)) for start, batch in found] == [(0, 1), (1, 15), (16, 24)]
    assert pa.Table.from_batches([batch for _, batch in found]).equals(table(0, 40))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, 39), max_size=60), chunk_bytes=st.sampled_from([1, 60, 500, 2**29]))
def test_rows_are_taken_in_the_order_asked_for(
    spill: Spill, monkeypatch: pytest.MonkeyPatch, rows: list[int], chunk_bytes: int
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    taken = spill.take(np.array(rows, dtype=np.int64), ["number", "text", "pairs"])
    whole = table(0, 40).select(["number", "text", "pairs"])
    assert taken.equals(whole.take(pa.array(rows, pa.int64())))
    taken.validate(full=True)


def test_no_chunk_is_larger_than_the_limit(spill: Spill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 200)
    taken = spill.take(np.arange(39, -1, -1), ["text", "number"])
    assert len(taken.to_batches()) > 1
    assert max(batch.nbytes for batch in taken.to_batches()) <= 200


def test_what_is_taken_of_a_batch_may_be_less(spill: Spill) -> None:
    seen = []

    def without_text(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(len(batch))
        return batch.set_column(0, "text", pa.nulls(len(batch), pa.string()))

    taken = spill.take(np.array([30, 17, 0]), ["text", "number"], without_text)
    assert taken.to_pydict() == {"text": [None] * 3, "number": [30, 17, 0]}
    assert seen == [1, 24]


def test_the_file_has_no_name(tmp_path: Path) -> None:
    spill = Spill(SCHEMA, tmp_path)
    spill.append(table(0, 3))
    spill.finish()
    assert list(tmp_path.iterdir()) == []
    assert len(spill.take(np.array([2]), ["text"])) == 1
