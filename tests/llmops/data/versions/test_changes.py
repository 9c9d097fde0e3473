"""The difference of two versions against a straightforward count, and what it says in words."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from llmops.data.samples import SAMPLE_SCHEMA, content_ids
from llmops.data.versions.changes import difference
from llmops.data.versions.store import DatasetStore

Row = tuple[str, str, str, str]


def table(rows: list[Row]) -> pa.Table:
    """Samples of (input, expected, group, split); the id is the content."""
    return pa.Table.from_pylist(
        [
            {"id": f"{text}|{expected}", "input": text, "expected": expected, "group": group, "split": split}
            for text, expected, group, split in rows
        ],
        SAMPLE_SCHEMA,
    )


def with_content_ids(table: pa.Table) -> pa.Table:
    """The same samples as a store takes them."""
    batch = table.combine_chunks().to_batches()[0]
    return table.set_column(0, SAMPLE_SCHEMA.field("id"), content_ids(batch))


def test_each_sort_of_difference_is_named() -> None:
    old = table(
        [
            ("stays", "x", "g", "train"),
            ("goes", "x", "g", "train"),
            ("answer", "old", "g", "train"),
            ("walks", "x", "g", "train"),
            ("regrouped", "x", "g", "train"),
        ]
    )
    new = table(
        [
            ("walks", "x", "g", "test"),
            ("regrouped", "x", "h", "train"),
            ("comes", "y", "g", "validation"),
            ("answer ", "new", "g", "test"),
            ("stays", "x", "g", "train"),
        ]
    )
    found = difference(old, new, names=("a@1", "a@2"))
    assert (found.added, found.removed, found.changed, found.moved, found.unchanged) == (1, 1, 2, 1, 1)
    assert [(one.input, one.split) for one in found.added_samples] == [("comes", "validation")]
    assert [one.id for one in found.removed_samples] == ["goes|x"]
    assert [(one.input, one.before, one.after) for one in found.moved_samples] == [("walks", "train", "test")]
    regrouped, answer = found.changed_samples
    assert [(one.field, one.before, one.after) for one in regrouped.fields] == [("group", "g", "h")]
    assert (answer.before_id, answer.id) == ("answer|old", "answer |new")
    assert [(one.field, one.before, one.after) for one in answer.fields] == [
        ("input", "answer", "answer "),
        ("expected", "old", "new"),
        ("split", "train", "test"),
    ]


def test_several_references_of_one_input_pair_up_in_order() -> None:
    old = table([("q", answer, "g", "train") for answer in ("a", "b", "c")])
    new = table([("q", answer, "g", "train") for answer in ("b", "A", "C")])
    found = difference(old, new)
    assert (found.added, found.removed, found.changed, found.unchanged) == (0, 0, 2, 1)
    pairs = [(one.before_id, one.id) for one in found.changed_samples]
    assert pairs == [("q|a", "q|A"), ("q|c", "q|C")]


def test_what_is_shown_is_bounded_and_counts_are_not() -> None:
    many = table([(f"q{number}", "a", "g", "train") for number in range(100)])
    found = difference(table([]), many, shown=3)
    assert (found.added, [one.input for one in found.added_samples]) == (100, ["q0", "q1", "q2"])
    assert difference(many, table([]), shown=0).removed == 100


def test_batches_of_any_size_and_a_store_give_the_same(tmp_path: Path, samples: Callable[..., pa.Table]) -> None:
    rows = [(f"q{number}", f"a{number % 7}", f"g{number % 5}", "train") for number in range(50)]
    old, new = (
        with_content_ids(table(some)) for some in (rows[:40], [*rows[10:30], ("q3", "other", "g", "test"), *rows[35:]])
    )
    expected = difference(old, new)
    assert difference(old.to_batches(max_chunksize=7), new.to_batches(max_chunksize=3)) == expected
    store = DatasetStore(tmp_path)
    versions = [store.publish("a", one) for one in (old, new)]
    assert difference(*(store.batches(version) for version in versions)) == expected


def test_a_person_reads_every_sort(samples: Callable[..., pa.Table]) -> None:
    old = table([("walks", "x", "g", "train"), ("goes [red]away", "x\ny", "g", "train"), ("same", "old", "g", "test")])
    new = table([("walks", "x", "g", "test"), ("comes", "z" * 500, "g", "train"), ("same", "new", "g", "test")])
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(difference(old, new, names=("a@1", "a@2")))
    text = console.export_text()
    for part in ("a@1 → a@2: 1 added, 1 removed, 1 changed, 1 moved, 0 unchanged", "goes [red]away", "x y", "zz…"):
        assert part in text


words = st.sampled_from(["a", "b", "c"])
rows = st.lists(
    st.tuples(words, words, words, st.sampled_from(["train", "test"])), max_size=12, unique_by=lambda r: r[:2]
)


@settings(max_examples=50, deadline=None)
@given(rows, rows)
def test_counts_agree_with_a_count_by_hand(before: list[Row], after: list[Row]) -> None:
    found = difference(table(before), table(after), shown=100)
    old, new = ({row[:2]: row[2:] for row in one} for one in (before, after))
    both = old.keys() & new.keys()
    gone = Counter(key[0] for key in old.keys() - both)
    come = Counter(key[0] for key in new.keys() - both)
    pairs = sum((gone & come).values())
    moved = sum(old[key][1] != new[key][1] for key in both)
    regrouped = sum(old[key][0] != new[key][0] and old[key][1] == new[key][1] for key in both)
    assert (found.added, found.removed) == (come.total() - pairs, gone.total() - pairs)
    assert (found.changed, found.moved) == (pairs + regrouped, moved)
    assert found.unchanged == len(both) - moved - regrouped
    assert len(found.changed_samples) == found.changed
    assert all(one.fields for one in found.changed_samples)
