"""Ranges of positions against rows laid out in every way a writer may leave them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops.data.versions import row_ranges as module
from llmops.data.versions.row_ranges import _bounds, _RowGroup, read_in_order


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1_000),
    shuffled=st.booleans(),
    rows_at_once=st.sampled_from([3, 16, 1_000]),
    bytes_at_once=st.sampled_from([1, 500, 3_000, 10**9]),
    dictionary=st.booleans(),
    statistics=st.booleans(),
)
def test_rows_come_in_order_and_within_the_limits(
    seed: int,
    shuffled: bool,
    rows_at_once: int,
    bytes_at_once: int,
    dictionary: bool,
    statistics: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RANGE_ROWS", rows_at_once)
    monkeypatch.setattr(module, "RANGE_BYTES", bytes_at_once)
    chance = np.random.default_rng(seed)
    count = int(chance.integers(1, 60))
    positions = chance.permutation(count) if shuffled else np.arange(count)
    texts = ["x" * int(length) for length in chance.choice([0, 10, 400], count)]
    table = pa.table({"text": [texts[place] for place in positions], "position": positions})
    border = int(chance.integers(0, count))
    for number, part in enumerate((table.slice(border), table.slice(0, border))):
        file = tmp_path / f"{number}.parquet"
        pq.write_table(part, file, row_group_size=7, use_dictionary=dictionary, write_statistics=statistics)
    rows = ds.dataset([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    found = list(read_in_order(rows, ["text"]))
    assert [text for part in found for text in part["text"].to_pylist()] == texts
    assert max(map(len, found)) <= rows_at_once
    assert all(part.nbytes <= 2 * bytes_at_once or len(part) == 1 for part in found)
    long = read_in_order(rows, ["text"], pc.equal(pc.utf8_length(pc.field("text")), 400))
    assert sum(map(len, long)) == texts.count("x" * 400)


def test_ranges_end_with_row_groups_where_these_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANGE_ROWS", 100)
    monkeypatch.setattr(module, "RANGE_BYTES", 1_000)
    by_rows = [_RowGroup(start, start + 40, 10) for start in range(0, 200, 40)]
    assert _bounds(by_rows) == [0, 80, 160, 200]
    by_bytes = [_RowGroup(start, start + 10, 300 if start < 60 else 900) for start in range(0, 80, 10)]
    assert _bounds(by_bytes) == [0, 30, 60, 70, 80]
    assert _bounds([_RowGroup(0, 8, 3_999)]) == [0, 2, 4, 6, 8]
    mixed_up = [_RowGroup(0, 80, 1_000), _RowGroup(1, 79, 1_000)]
    assert max(np.diff(_bounds(mixed_up))) <= 40
