import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llmops.data.duplicates.deduplication import text_keys
from llmops.data.duplicates.near_duplicates import SimilarPairs
from llmops.data.splits.assignment import (
    Assignment,
    SplitConfig,
    SplitKeys,
    assign,
    leaked,
    places,
    straddling,
    subset,
)
from llmops.errors import InputError

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
EDGES = (0.8, 0.9)
Row = tuple[str, str]  # input and group

# Few inputs and groups, so that groups share inputs and inputs share groups all the time; 0 and 1, 3 and 4, 6 and 7, …
# count as similar inputs.
ROWS = st.lists(st.tuples(st.integers(0, 60).map(str), st.integers(0, 25).map("g{}".format)), max_size=80, unique=True)
# Enough groups of their own that the hash leaves no split empty (checked below for the seed used).
FOUNDATION = [(f"own {number}", f"own {number}") for number in range(60)]


def keys_of(rows: Sequence[Row], seed: int = 0, pinned: Sequence[int] | None = None) -> SplitKeys:
    inputs, groups = (pa.array([row[column] for row in rows], pa.string()) for column in (0, 1))
    return SplitKeys(
        text_keys(groups),
        places(groups, seed),
        text_keys(inputs),
        pinned=None if pinned is None else np.array(pinned, np.int8),
    )


def alike(one: str, other: str) -> bool:
    if not (one.isdigit() and other.isdigit()) or one == other:
        return False
    low, high = sorted((int(one), int(other)))
    return high - low == 1 and low % 3 == 0


def pairs_of(rows: Sequence[Row]) -> SimilarPairs:
    first = {text: number for number, (text, _) in reversed(list(enumerate(rows)))}
    found = sorted(
        (min(first[one], first[other]), max(first[one], first[other]))
        for one, other in itertools.combinations(first, 2)
        if alike(one, other)
    )
    left, right = np.array(found, np.int64).reshape(-1, 2).T
    return SimilarPairs(left, right, np.ones(len(left), np.float32))


def assigned(rows: Sequence[Row], seed: int = 0, pinned: Sequence[int] | None = None) -> Assignment:
    return assign(keys_of(rows, seed, pinned), pairs_of(rows), SHARES, None)


def plainly(rows: Sequence[Row], seed: int = 0, pinned: Sequence[int] | None = None) -> list[int]:
    """The rule of the module's docstring, row by row and in quadratic time."""
    place = places(pa.array([group for _, group in rows], pa.string()), seed)
    codes = [-1] * len(rows)
    pins = list(pinned or [-1] * len(rows))
    done: list[int] = []
    for row in sorted(range(len(rows)), key=lambda one: (pins[one] < 0, one)):
        text, group = rows[row]
        same = [codes[one] for one in done if codes[one] >= 0 and rows[one][1] == group]
        near = [codes[one] for one in done if codes[one] >= 0 and (rows[one][0] == text or alike(rows[one][0], text))]
        hashed = sum(place[row] >= edge for edge in EDGES)
        code = pins[row] if pins[row] >= 0 else (same or near or [hashed])[0]
        if all(other == code for other in same + near):
            codes[row] = code
        done.append(row)
    return codes


def leaks(rows: Sequence[Row], codes: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of rows in two splits that share a group or an input, or whose inputs are similar."""
    return [
        (one, other)
        for one, other in itertools.combinations(range(len(rows)), 2)
        if -1 < codes[one] != codes[other] > -1
        and (rows[one][1] == rows[other][1] or rows[one][0] == rows[other][0] or alike(rows[one][0], rows[other][0]))
    ]


@settings(deadline=None, max_examples=50)
@given(rows=ROWS, seed=st.integers(0, 5))
def test_every_row_is_where_the_rule_says_and_nothing_leaks(rows: list[Row], seed: int) -> None:
    rows = [*FOUNDATION, *rows]
    found = assigned(rows, seed)
    codes = found.codes.tolist()
    assert codes == plainly(rows, seed)
    assert leaks(rows, codes) == []
    assert len(straddling(found.codes, keys_of(rows), pairs_of(rows))) == 0
    for row in np.flatnonzero(found.codes < 0).tolist():
        other = int(found.clash[row])
        assert codes[other] >= 0
        assert alike(rows[row][0], rows[other][0]) or rows[row][0] == rows[other][0] or rows[row][1] == rows[other][1]
    assert (found.clash[found.codes >= 0] == -1).all()


@settings(deadline=None, max_examples=50)
@given(rows=ROWS, codes=st.lists(st.integers(-1, 2), min_size=140, max_size=140))
def test_the_check_finds_every_leak(rows: list[Row], codes: list[int]) -> None:
    rows = [*FOUNDATION, *rows]
    found = straddling(np.array(codes[: len(rows)], np.int8), keys_of(rows), pairs_of(rows))
    assert bool(len(found)) == bool(leaks(rows, codes[: len(rows)]))
    pairs = {tuple(sorted(pair)) for part in (found.groups, found.inputs, found.similar) for pair in part.tolist()}
    assert pairs <= set(leaks(rows, codes[: len(rows)]))


@settings(deadline=None, max_examples=50)
@given(old=ROWS, new=ROWS)
def test_appended_rows_move_and_remove_nothing(old: list[Row], new: list[Row]) -> None:
    before, after = assigned([*FOUNDATION, *old]), assigned([*FOUNDATION, *old, *new])
    assert before.filled == ()
    assert after.codes[: len(before.codes)].tolist() == before.codes.tolist()


@settings(deadline=None, max_examples=50)
@given(old=ROWS, new=ROWS, random=st.randoms(use_true_random=False))
def test_rows_inserted_anywhere_move_nothing_that_is_pinned(old: list[Row], new: list[Row], random: object) -> None:
    before = [*FOUNDATION, *old]
    codes = assigned(before).codes.tolist()
    rows = [*zip(before, codes, strict=True), *((row, -1) for row in new)]
    random.shuffle(rows)  # type: ignore[attr-defined]
    texts, pinned = [row for row, _ in rows], [pin for _, pin in rows]
    after = assigned(texts, pinned=pinned).codes.tolist()
    assert after == plainly(texts, pinned=pinned)
    assert all(now == pin for now, pin in zip(after, pinned, strict=True) if pin >= 0)
    assert leaks(texts, after) == []


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(60)))
def test_without_shared_inputs_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    codes = assigned(FOUNDATION, 3).codes
    assert assigned([FOUNDATION[row] for row in order], 3).codes.tolist() == codes[order].tolist()


def test_an_input_of_two_splits_stays_with_its_first_row() -> None:
    codes = assigned(FOUNDATION).codes.tolist()
    train, test = (FOUNDATION[codes.index(split)][1] for split in (0, 2))
    found = assigned([*FOUNDATION, ("shared", test), ("shared", train), ("shared", test), ("shared", "new")])
    assert found.codes[60:].tolist() == [2, -1, 2, 2]
    assert found.clash[60:].tolist() == [-1, 60, -1, -1]


def test_a_new_group_joins_the_first_similar_input() -> None:
    codes = assigned(FOUNDATION).codes.tolist()
    train, test = (FOUNDATION[codes.index(split)][1] for split in (0, 2))
    # 3 and 4 are alike, and so are 6 and 7; a group with both 4 and 7 would bridge.
    found = assigned([*FOUNDATION, ("3", test), ("6", train), ("4", "new"), ("7", "new"), ("8", "new")])
    assert found.codes[60:].tolist() == [2, 0, 2, -1, 2]
    assert found.clash[63] == 61


@pytest.mark.parametrize("shares", [SHARES, {"train": 0.8, "validation": 0.1}, {"train": 2, "test": 2}])
def test_shares_are_met_within_four_standard_errors(shares: dict[str, float]) -> None:
    count = 20_000
    rows = [(str(number), str(number)) for number in range(count)]
    none = SimilarPairs(*(np.zeros(0, np.int64) for _ in range(3)))
    codes = assign(keys_of(rows), none, shares).codes
    for number, share in enumerate(shares.values()):
        share /= sum(shares.values())
        assert abs(np.mean(codes == number) - share) < 4 * (share * (1 - share) / count) ** 0.5


def test_places_stay_what_they_are() -> None:
    # sha256 of "0", a NUL and the name: its first six bytes over 2^48, worked out with sha256sum.
    assert places(pa.array(["a"]), 0).tolist() == [int("5f1aa0c8dad9", 16) / 2**48]
    names = pa.chunked_array([["a", "é"], ["b"]])
    assert places(names, 1).tolist() == [places(pa.array([name]), 1)[0] for name in ("a", "é", "b")]
    assert places(names, 1).tolist() != places(names, 0).tolist()


@pytest.mark.parametrize("groups", [3, 4, 10, 12])
def test_few_groups_still_fill_every_split(groups: int) -> None:
    rows = [(f"own {number}", str(number)) for number in range(groups)]
    filled = 0
    for seed in range(50):
        found = assigned(rows, seed)
        assert set(found.codes.tolist()) == {0, 1, 2}
        filled += len(found.filled)
    # By hash alone a split of 10 % of 12 groups is empty in 0.9^12 = 28 % of the seeds.
    assert filled > 10


def test_what_is_moved_into_an_empty_split_goes_with_all_it_is_tied_to() -> None:
    # Ten clusters of two similar inputs each.
    rows = [(str(number), f"g{number}") for start in range(0, 30, 3) for number in (start, start + 1)]
    filled = 0
    for seed in range(30):
        found = assigned(rows, seed)
        assert set(found.codes.tolist()) == {0, 1, 2}
        assert leaks(rows, found.codes.tolist()) == []
        filled += len(found.filled)
    assert filled > 5


def test_pinned_rows_are_not_moved_into_an_empty_split() -> None:
    rows = [(f"own {number}", str(number)) for number in range(10)]
    with pytest.raises(InputError, match="the split validation is empty"):
        assigned(rows, pinned=[0] * 9 + [2])
    found = assigned(rows, pinned=[0] * 8 + [2, -1])
    assert found.codes.tolist() == [0] * 8 + [2, 1]
    assert found.filled == ("validation",)


def test_fewer_groups_than_splits_are_refused() -> None:
    with pytest.raises(InputError, match=r"2 group\(s\) cannot fill the splits train, validation, test"):
        assigned([(str(number), f"g{number % 2}") for number in range(20)])


def test_a_split_that_loses_all_its_rows_is_refused() -> None:
    with pytest.raises(InputError, match="is empty"):
        assigned([("same", f"g{number}") for number in range(100)])


def stratified(classes: Sequence[int], pinned: Sequence[int] | None = None, seed: int = 0) -> np.ndarray:
    rows = [(f"own {number}", f"own {number}") for number in range(len(classes))]
    keys = dataclasses.replace(keys_of(rows, seed, pinned), stratum=np.array(classes, np.int32))
    return assign(keys, pairs_of(rows), SHARES, SplitConfig(method="stratified")).codes


def test_stratified_shares_are_met_within_every_class() -> None:
    classes = [0] * 500 + [1] * 100 + [2] * 20
    codes = stratified(classes)
    counts = [np.bincount(codes[np.array(classes) == one], minlength=3).tolist() for one in range(3)]
    for size, found in zip((500, 100, 20), counts, strict=True):
        assert np.abs(np.array(found) - size * np.array([0.8, 0.1, 0.1])).max() <= 2
    assert np.abs(np.bincount(codes) - np.array([496, 62, 62])).max() <= 2


def test_classes_of_one_row_still_fill_the_splits() -> None:
    assert np.abs(np.bincount(stratified(range(100)), minlength=3) - np.array([80, 10, 10])).max() <= 1


def test_stratified_rows_of_the_parent_stay_and_new_ones_make_up_for_them() -> None:
    old = stratified([0] * 60)
    codes = stratified([0] * 60 + [0] * 40, [*old.tolist(), *([-1] * 40)])
    assert codes[:60].tolist() == old.tolist()
    assert np.abs(np.bincount(codes) - np.array([80, 10, 10])).max() <= 1
    lopsided = stratified([0] * 100, [0] * 50 + [-1] * 50)
    assert np.abs(np.bincount(lopsided) - np.array([80, 10, 10])).max() <= 1


def by_time(
    times: Sequence[float], rows: Sequence[Row] | None = None, pinned: Sequence[int] | None = None, **options: object
) -> Assignment:
    rows = rows or [(f"own {number}", f"own {number}") for number in range(len(times))]
    keys = dataclasses.replace(keys_of(rows, 0, pinned), time=np.array(times, np.float64))
    return assign(keys, pairs_of(rows), SHARES, SplitConfig(method="time", by="day", **options))


def test_the_newest_rows_are_the_test() -> None:
    times = np.random.default_rng(0).permutation(100).astype(float)
    found = by_time(times.tolist())
    assert found.cutoffs == (80.0, 90.0)
    assert found.codes.tolist() == [0 if time < 80 else 1 if time < 90 else 2 for time in times]


def test_cutoffs_are_given_or_those_of_the_parent() -> None:
    times = [float(day) for day in range(10)]
    fixed = by_time(times, cutoffs=("1970-01-01T00:00:02", "5"))
    assert fixed.codes.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2, 2]
    later = by_time([*times, 1.5, 3.5, 99.0], pinned=[*fixed.codes.tolist(), -1, -1, -1])
    assert later.cutoffs == fixed.cutoffs
    assert later.codes.tolist() == [*fixed.codes.tolist(), 0, 1, 2]
    with pytest.raises(InputError, match="3 splits need 2 ascending"):
        by_time(times, cutoffs=("5", "2"))
    with pytest.raises(InputError, match="the split test is empty: no row of its time is left"):
        by_time(times, cutoffs=("5", "20"))


def test_the_older_row_wins_what_crosses_a_cutoff() -> None:
    rows = [("x", "g"), *FOUNDATION[:18], ("3", "h"), ("y", "g"), ("4", "i"), ("5", "i")]
    times = [25.0, *(float(day) for day in range(18)), 2.5, 1.5, 26.0, 27.0]
    found = by_time(times, rows, cutoffs=("16", "17"))
    assert found.codes[0] == -1  # its group is in train since day 1.5
    assert found.clash[0] == 20
    assert found.codes[[19, 20, 21, 22]].tolist() == [0, 0, -1, 2]  # 4 is like the 3 of day 2.5; 5 is like no one


def test_a_cutoff_that_is_no_time_is_named() -> None:
    with pytest.raises(InputError, match=r"split\.cutoffs: 'soon' is no time; write an ISO 8601 date or a number"):
        by_time([*range(10)], cutoffs=("5", "soon"))


@pytest.mark.parametrize("fields", [{"method": "time"}, {"by": "x"}, {"method": "stratified", "cutoffs": ("1",)}])
def test_options_that_do_not_fit_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SplitConfig.model_validate(fields)


@settings(deadline=None, max_examples=50)
@given(source=ROWS, test=ROWS)
def test_leaked_rows_go_by_input_group_and_similar_input(source: list[Row], test: list[Row]) -> None:
    rows = [*source, *test]
    held_out = np.arange(len(rows)) >= len(source)
    found = leaked(keys_of(rows), pairs_of(rows), held_out).tolist()
    for number, (text, group) in enumerate(source):
        ties = {
            len(source) + place
            for place, (one, other) in enumerate(test)
            if one == text or other == group or alike(one, text)
        }
        assert (found[number] in ties) if ties else (found[number] == -1)
    assert set(found[len(source) :]) <= {-1}


def test_subset_is_the_same_rows_in_any_order() -> None:
    names = pa.array([f"id {number}" for number in range(100)])
    place = places(names, 0)
    chosen = subset(place, 30)
    assert chosen.tolist() == sorted(chosen.tolist())
    assert len(chosen) == 30
    assert set((99 - subset(place[::-1], 30)).tolist()) == set(chosen.tolist())
    assert set(chosen.tolist()) <= set(subset(place, 31).tolist())
    assert subset(place, 200).tolist() == list(range(100))


def test_keys_of_some_rows() -> None:
    keys = keys_of(FOUNDATION, pinned=range(60)).take(np.array([5, 2]))
    assert len(keys) == 2
    assert keys.pinned is not None
    assert keys.pinned.tolist() == [5, 2]
    assert keys.stratum is None
