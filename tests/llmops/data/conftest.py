"""Files and tables that the tests of this folder start from."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmops.data.samples import sample_table


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


@pytest.fixture(scope="session")
def write() -> Callable[[Path, Sequence[dict[str, Any]]], Path]:
    """Write rows in the format that the path's suffix names."""
    return _write


@pytest.fixture(scope="session")
def samples() -> Callable[..., pa.Table]:
    """A table of samples from (input, expected) or (input, expected, group) rows."""

    def build(rows: Sequence[Sequence[str]]) -> pa.Table:
        columns = [pa.chunked_array([list(texts)], pa.string()) for texts in zip(*rows, strict=True)]
        return sample_table(**dict(zip(("input", "expected", "group"), columns, strict=False)))

    return build
