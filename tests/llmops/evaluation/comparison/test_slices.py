"""Differences within slices, and their correction."""

import numpy as np
import pytest

from llmops.errors import InputError
from llmops.evaluation import METRICS, GateConfig, Measured, compare
from llmops.evaluation.comparison.slices import compare_slices, slice_table

IDS = np.array([f"q{place:03d}" for place in range(300)])
METADATA = [{"level": "easy" if place < 200 else "hard"} if place < 290 else {} for place in range(300)]


def right(answers: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Measured]:
    rows = np.column_stack([answers, np.ones(300)]).astype(float)
    return {"exact_match": Measured(METRICS["exact_match"], rows, IDS if groups is None else groups, IDS)}


PLACE = np.arange(300)
OURS, THEIRS = right(PLACE < 200), right(PLACE % 2 == 0)  # all easy ones and no hard one, against every other
GATE = GateConfig(margins={"exact_match": 0.02})


def test_a_gain_that_hides_a_loss_is_seen() -> None:
    assert compare(OURS, THEIRS, GATE).verdict == "better"
    found = compare_slices(OURS, THEIRS, IDS, METADATA, ["level"], GATE)
    assert [(one.value, one.n, one.verdict) for one in found] == [
        ("easy", 200, "better"),
        ("hard", 90, "worse"),
        ("(none)", 10, "too small"),
    ]
    easy = found[0]
    assert (easy.candidate, easy.baseline) == (1.0, 0.5)


def test_a_slice_is_compared_as_if_it_were_alone() -> None:
    part = PLACE < 200
    alone = [
        {"exact_match": Measured(side["exact_match"].metric, side["exact_match"].rows[part], IDS[part], IDS[part])}
        for side in (OURS, THEIRS)
    ]
    expected = compare(*alone, GATE).differences["exact_match"]
    found = compare_slices(OURS, THEIRS, IDS, METADATA, ["level"], GATE)[0].difference
    assert found == expected


def test_holm_counts_all_slices() -> None:
    """Seven more right of 100, p = 0.016: enough for one slice, not for ten of which nine do not differ."""
    baseline = np.zeros(300)
    candidate = np.where(PLACE < 7, 1.0, 0.0)
    two = [{"part": "a" if place < 100 else "b"} for place in range(300)]
    ten = [{"part": "a" if place < 100 else f"b{place % 9}"} for place in range(300)]
    few = compare_slices(right(candidate), right(baseline), IDS, two, ["part"], GATE)
    many = compare_slices(right(candidate), right(baseline), IDS, ten, ["part"], GATE)
    verdicts = [next(one.verdict for one in found if one.value == "a") for found in (few, many)]
    assert verdicts == ["better", "not worse"]


def test_the_size_of_a_slice_is_its_independent_groups() -> None:
    groups = np.array([f"g{place // 30}" for place in range(300)])
    sides = [right(PLACE < 200, groups), right(PLACE % 2 == 0, groups)]
    found = compare_slices(*sides, IDS, METADATA, ["level"], GATE)
    assert {(one.value, one.groups, one.verdict) for one in found} == {
        ("easy", 7, "too small"), ("hard", 4, "too small"), ("(none)", 1, "too small"),
    }  # fmt: skip
    assert found[0].difference is not None  # shown, but not decided
    assert found[2].difference is None


def test_the_table_has_a_row_a_slice_and_metric() -> None:
    table = slice_table(compare_slices(OURS, THEIRS, IDS, METADATA, ["level"], GATE))
    assert table["verdict"].to_pylist() == ["better", "worse", "too small"]
    assert table["difference"].to_pylist()[:2] == [0.5, -0.5]


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(InputError, match="no question has the metadata 'topic'; known are level"):
        compare_slices(OURS, THEIRS, IDS, METADATA, ["topic"], GATE)


def test_a_column_of_names_is_no_slice() -> None:
    ids = np.array([str(place) for place in range(1001)])
    rows = np.column_stack([ids != "0", np.ones(1001)]).astype(float)
    side = {"exact_match": Measured(METRICS["exact_match"], rows, ids, ids)}
    metadata = [{"author": one} for one in ids]
    with pytest.raises(InputError, match="'author' has 1,001 different values; slice by what has at most 1,000"):
        compare_slices(side, side, ids, metadata, ["author"], GATE)
