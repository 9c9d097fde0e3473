"""What was measured survives a table, to the last bit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmops.errors import InputError
from llmops.evaluation import METRICS, Measured, compare, measure
from llmops.evaluation.comparison.measured_tables import from_table, to_table

REFERENCES = [["the cat"], ["a dog", "the dog"], ["on the mat"], ["yes"]]


def test_a_later_run_compares_with_the_table_as_with_the_run(tmp_path: Path) -> None:
    ours = measure(["the cat", "a dog", "mat", "yes"], REFERENCES)
    theirs = measure(["a cat", "the dog", "on a mat", "no"], REFERENCES)
    pq.write_table(to_table(theirs), tmp_path / "measured.parquet")
    back = from_table(pq.read_table(tmp_path / "measured.parquet"), METRICS)
    assert compare(ours, back) == compare(ours, theirs)
    for name, one in theirs.items():
        order = np.argsort(one.ids)
        assert np.array_equal(back[name].rows, one.rows[order])
        assert back[name].ids.tolist() == one.ids[order].tolist()


def test_metrics_that_were_measured_on_fewer_questions_keep_them() -> None:
    ids, groups = np.array(["c", "a", "b"]), np.array(["y", "x", "x"])
    full = Measured(METRICS["exact_match"], np.array([[1.0, 1], [0, 1], [1, 1]]), groups, ids)
    part = Measured(METRICS["loss"], np.array([[2.5, 3.0], [1.5, 2.0]]), groups[:2], ids[:2])
    table = to_table({"exact_match": full, "loss": part})
    assert table["loss"].to_pylist() == [[1.5, 2.0], None, [2.5, 3.0]]
    assert table["group"].to_pylist() == ["x", "x", "y"]
    back = from_table(table, METRICS)
    assert back["loss"].ids.tolist() == ["a", "c"]
    assert back["loss"].rows.tolist() == [[1.5, 2.0], [2.5, 3.0]]
    assert back["exact_match"].groups.tolist() == ["x", "x", "y"]
    assert list(from_table(table, {"loss": METRICS["loss"]})) == ["loss"]


def test_tables_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="needs the column id; this one has loss"):
        from_table(pa.table({"loss": [[1.0, 2.0]]}), METRICS)
    with pytest.raises(InputError, match="nothing was measured"):
        to_table({})
    one = Measured(METRICS["loss"], np.ones((1, 2)), np.array(["x"]), np.array(["a"]))
    two = Measured(METRICS["exact_match"], np.ones((1, 2)), np.array(["y"]), np.array(["a"]))
    with pytest.raises(InputError, match="exact_match: question a is in another group than for other metrics"):
        to_table({"loss": one, "exact_match": two})
