from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.splits import assign_splits, drop_leaked, subset
from llmops.errors import InputError

Samples = Callable[..., pa.Table]
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

# Few inputs and groups, so that groups share inputs and inputs share groups all the time.
ROWS = st.lists(
    st.tuples(st.integers(0, 60).map(str), st.integers(0, 9).map(str), st.integers(0, 25).map("g{}".format)),
    max_size=80,
    unique=True,
)
# Enough groups of their own that the hash leaves no split empty (checked below for the seed used).
FOUNDATION = [(f"own {number}", "x", f"own {number}") for number in range(60)]


def split_of(table: pa.Table, column: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key, split in zip(table[column].to_pylist(), table["split"].to_pylist(), strict=True):
        found.setdefault(key, set()).add(split)
    return found


@settings(deadline=None)
@given(rows=ROWS, seed=st.integers(0, 5))
def test_neither_groups_nor_inputs_straddle(samples: Samples, rows: list[tuple[str, str, str]], seed: int) -> None:
    table = samples([*FOUNDATION, *rows])
    assigned = assign_splits(table, SHARES, seed)
    assert all(len(splits) == 1 for splits in split_of(assigned.table, "group").values())
    assert all(len(splits) == 1 for splits in split_of(assigned.table, "input").values())
    assert set(assigned.table["split"].to_pylist()) == set(SHARES)
    assert len(assigned.table) + assigned.bridging == len(table)
    assert set(assigned.table["input"].to_pylist()) == set(table["input"].to_pylist())


@settings(deadline=None)
@given(old=ROWS, new=ROWS)
def test_appended_rows_move_and_remove_nothing(
    samples: Samples, old: list[tuple[str, str, str]], new: list[tuple[str, str, str]]
) -> None:
    before = assign_splits(samples([*FOUNDATION, *old]), SHARES, 0)
    after = assign_splits(samples([*FOUNDATION, *old, *new]), SHARES, 0)
    assert before.filled == ()
    columns = ["id", "group", "split"]
    assert after.table.slice(0, len(before.table)).select(columns).equals(before.table.select(columns))


@settings(deadline=None)
@given(order=st.permutations(range(60)))
def test_without_shared_inputs_the_order_of_rows_does_not_matter(samples: Samples, order: list[int]) -> None:
    table = samples(FOUNDATION)
    expected = dict(
        zip(*assign_splits(table, SHARES, 3).table.select(["id", "split"]).to_pydict().values(), strict=True)
    )
    shuffled = assign_splits(table.take(order), SHARES, 3).table
    assert dict(zip(shuffled["id"].to_pylist(), shuffled["split"].to_pylist(), strict=True)) == expected


def test_an_input_of_two_splits_stays_with_its_first_row(samples: Samples) -> None:
    groups = split_of(assign_splits(samples(FOUNDATION), SHARES, 0).table, "group")
    train, test = (next(group for group, splits in groups.items() if splits == {name}) for name in ("train", "test"))
    shared = [("shared", "1", test), ("shared", "2", train), ("shared", "3", test)]
    assigned = assign_splits(samples([*FOUNDATION, *shared]), SHARES, 0)
    assert assigned.bridging == 1
    assert assigned.table.slice(60).select(["expected", "split"]).to_pylist() == [
        {"expected": "1", "split": "test"},
        {"expected": "3", "split": "test"},
    ]


@pytest.mark.parametrize("shares", [SHARES, {"train": 0.8, "validation": 0.1}, {"train": 2, "test": 2}])
def test_shares_are_met_within_four_standard_errors(samples: Samples, shares: dict[str, float]) -> None:
    count = 20_000
    table = assign_splits(samples([(str(number), "x") for number in range(count)]), shares, 0).table
    splits = np.array(table["split"].to_pylist())
    for name, share in shares.items():
        share /= sum(shares.values())
        assert abs(np.mean(splits == name) - share) < 4 * (share * (1 - share) / count) ** 0.5


def test_another_seed_is_another_split(samples: Samples) -> None:
    table = samples(FOUNDATION)
    assert not assign_splits(table, SHARES, 0).table.equals(assign_splits(table, SHARES, 1).table)


@pytest.mark.parametrize("groups", [3, 4, 10, 12])
def test_few_groups_still_fill_every_split(samples: Samples, groups: int) -> None:
    table = samples([(str(number), "x") for number in range(groups)])
    filled = 0
    for seed in range(50):
        assigned = assign_splits(table, SHARES, seed)
        assert set(assigned.table["split"].to_pylist()) == set(SHARES)
        assert len(assigned.table) == groups
        filled += len(assigned.filled)
    # By hash alone a split of 10 % of 12 groups is empty in 0.9^12 = 28 % of the seeds.
    assert filled > 10


def test_fewer_groups_than_splits_are_refused(samples: Samples) -> None:
    table = samples([(str(number), "x", f"g{number % 2}") for number in range(20)])
    with pytest.raises(InputError, match=r"2 group\(s\) cannot fill the splits train, validation, test"):
        assign_splits(table, SHARES, 0)


def test_a_split_that_loses_all_its_rows_is_refused(samples: Samples) -> None:
    table = samples([("same", str(number), f"g{number}") for number in range(100)])
    with pytest.raises(InputError, match="is empty"):
        assign_splits(table, SHARES, 0)


def test_leaked_rows_go_by_input_and_by_group(samples: Samples) -> None:
    source = samples([("a  b", "1", "g1"), ("c", "2", "g2"), ("d", "3", "g3"), ("e", "4", "g3")])
    test = samples([("a b", "9", "other"), ("f", "9", "g3")])
    kept, leaked = drop_leaked(source, test)
    assert (kept["input"].to_pylist(), leaked) == (["c"], 3)


def test_subset_is_the_same_rows_in_any_order(samples: Samples) -> None:
    table = samples([(str(number), "x") for number in range(100)])
    chosen = subset(table, 30, 0)
    assert len(chosen) == 30
    assert set(subset(table.take(list(range(99, -1, -1))), 30, 0)["id"].to_pylist()) == set(chosen["id"].to_pylist())
    numbers = [int(text) for text in chosen["input"].to_pylist()]
    assert numbers == sorted(numbers)
    assert not subset(table, 30, 1).equals(chosen)
    assert subset(table, 100, 0).equals(table)
    assert set(chosen["id"].to_pylist()) <= set(subset(table, 31, 0)["id"].to_pylist())
