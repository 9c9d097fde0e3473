"""What was measured survives a table, to the last bit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmops.errors import InputError
from llmops.evaluation import METRICS, Measured, compare, measure
from llmops.evaluation.comparison.measured_tables import from_table, to_table
from llmops.evaluation.statistics.repeats import flakiness, pass_all, pass_at

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


def asked_often() -> Measured:
    """Three answers asked of each of a to d: all of a, one of b and none of c and d were measured."""
    ids = np.array(["b", "a"])
    return Measured(
        METRICS["exact_match"], np.array([[1.0, 1], [2, 3]]), ids, ids, np.array([1, 3]), 3, np.array(["d", "c"])
    )


def test_what_was_asked_comes_back(tmp_path: Path) -> None:
    loss = Measured(METRICS["loss"], np.ones((1, 2)), np.array(["c"]), np.array(["c"]))
    pq.write_table(to_table({"exact_match": asked_often(), "loss": loss}), tmp_path / "measured.parquet")
    table = pq.read_table(tmp_path / "measured.parquet")
    assert table["id"].to_pylist() == ["a", "b", "c", "d"]
    assert table["group"].to_pylist() == ["a", "b", "c", None]
    assert table["exact_match"].to_pylist() == [[2.0, 3.0], [1.0, 1.0], None, None]
    assert [row["exact_match"] for row in table["answers"].to_pylist()] == [3, 1, 0, 0]
    assert [row["loss"] for row in table["answers"].to_pylist()] == [None, None, 1, None]
    back = from_table(table, METRICS)
    one = back["exact_match"]
    assert (one.repeats, one.asked.tolist(), one.lacking.tolist()) == (3, ["a", "b", "c", "d"], [0, 2, 3, 3])
    assert one.groups.tolist() == ["a", "b"]
    assert (back["loss"].repeats, back["loss"].asked.tolist(), back["loss"].lacking.tolist()) == (1, ["c"], [0])


def test_a_table_of_an_earlier_version_still_reads() -> None:
    fixed = pa.array([[2.0, 3.0], None, [1.0, 1.0]], pa.list_(pa.float64(), 2))
    old = pa.table({"id": ["a", "b", "c"], "group": ["x", "x", "y"], "exact_match": fixed})
    one = from_table(old, METRICS)["exact_match"]
    assert (one.repeats, one.asked.tolist(), one.lacking.tolist()) == (1, ["a", "c"], [0, 0])
    assert one.rows.tolist() == [[2.0, 3.0], [1.0, 1.0]]
    assert one.groups.tolist() == ["x", "y"]


def test_what_repeats_tell_comes_back_with_its_metric() -> None:
    ids = np.array(["a", "b"])
    base = Measured(METRICS["exact_match"], np.array([[2.0, 3], [3, 3]]), ids, ids, np.array([3, 3]), 3)
    made = {one.metric.name: one for one in (base, pass_at(base, 2), pass_all(base, 3), flakiness(base))}
    back = from_table(to_table(made), {"exact_match": METRICS["exact_match"]})
    assert list(back) == ["exact_match", "exact_match.pass@2", "exact_match.pass^3", "exact_match.flaky"]
    assert [one.value for one in back.values()] == [5 / 6, 1.0, 0.5, 0.5]
    assert [one.metric.label for one in back.values()] == [one.metric.label for one in made.values()]
    assert back["exact_match.flaky"].metric.higher_is_better is False
    assert compare(back, made).differences["exact_match.pass^3"].value == 0.0


def test_tables_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="needs the column id; this one has loss"):
        from_table(pa.table({"loss": [[1.0, 2.0]]}), METRICS)
    with pytest.raises(InputError, match="nothing was measured"):
        to_table({})
    one = Measured(METRICS["loss"], np.ones((1, 2)), np.array(["x"]), np.array(["a"]))
    two = Measured(METRICS["exact_match"], np.ones((1, 2)), np.array(["y"]), np.array(["a"]))
    with pytest.raises(InputError, match="exact_match: question a is in another group than for other metrics"):
        to_table({"loss": one, "exact_match": two})
