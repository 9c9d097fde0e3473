"""Added samples: what they are tied to decides their split, then the hash that preparation uses."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.duplicates.near_duplicates import DuplicateConfig
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.data.splits.assignment import places
from llmops.data.versions.placement import Placed, place

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
Rows = list[tuple[str, str, str]]


def table(rows: Rows) -> pa.Table:
    columns = [pa.chunked_array([[row[part] for row in rows]], pa.string()) for part in range(3)]
    return sample_table(input=columns[0], expected=columns[1], group=columns[2])


def existing(rows: Rows, splits: list[str]) -> list[pa.RecordBatch]:
    samples = table(rows)
    column = SAMPLE_SCHEMA.get_field_index("split")
    return samples.set_column(column, SAMPLE_SCHEMA.field(column), pa.array(splits, pa.string())).to_batches()


def added_to(there: list[pa.RecordBatch], rows: Rows, near: bool = False) -> Placed:
    nobody = pa.array([], pa.string())
    return place(table(rows), there, nobody, shares=SHARES, seed=0, duplicates=DuplicateConfig(near=near))


def splits_of(placed: Placed) -> dict[str, str]:
    return dict(zip(placed.samples["input"].to_pylist(), placed.samples["split"].to_pylist(), strict=True))


def test_a_row_goes_where_its_group_or_its_input_is() -> None:
    there = existing([("hello", "hi", "g1"), ("bye", "ciao", "g2")], ["validation", "test"])
    placed = added_to(there, [("new", "x", "g1"), ("bye ", "see you", "g3"), ("third", "x", "g3")])
    assert splits_of(placed) == {"new": "validation", "bye ": "test", "third": "test"}


def test_a_row_between_two_splits_is_dropped() -> None:
    there = existing([("hello", "hi", "g1"), ("bye", "ciao", "g2")], ["train", "test"])
    placed = added_to(there, [("hello", "salut", "g2"), ("fine", "x", "g2")])
    assert (splits_of(placed), placed.bridging) == ({"fine": "test"}, 1)


def test_repeats_of_what_is_there_and_of_one_another_are_dropped() -> None:
    there = existing([("hello", "hi", "g1")], ["train"])
    placed = added_to(there, [(" hello", "hi", "g9"), ("hello", "other", "g1"), ("a", "b", "g"), ("a", "b", "h")])
    assert (len(placed.samples), placed.repeats) == (2, 2)
    assert placed.samples["expected"].to_pylist() == ["other", "b"]


def test_similar_inputs_stay_together() -> None:
    text = "the quick brown fox jumps over the lazy dog while the cat sleeps on the warm mat {}"
    there = existing([(text.format("today"), "x", "g1")], ["test"])
    rows = [(text.format("now"), "y", f"g{number}") for number in range(2, 6)]
    rows += [(f"{text.format('now')} {word}", "y", f"h{word}") for word in ("one", "two")]
    assert set(splits_of(added_to(there, rows, near=True)).values()) == {"test"}


def test_untied_groups_are_shared_out_as_preparation_does() -> None:
    rows = [(f"question {number}", "x", f"group {number}") for number in range(300)]
    found = splits_of(added_to([], rows))
    for (text, _, _), at in zip(rows, places(pa.array([row[2] for row in rows]), 0).tolist(), strict=True):
        assert found[text] == ("train" if at < 0.8 else "validation" if at < 0.9 else "test")
    assert len(set(found.values())) == 3


few = st.sampled_from("abcdef")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(few, few, few), min_size=1, max_size=15), st.lists(st.tuples(few, few, few), max_size=15))
def test_nothing_ever_straddles_two_splits(first: Rows, second: Rows) -> None:
    before = added_to([], first)
    after = added_to(before.samples.to_batches(), second)
    rows = pa.concat_tables([before.samples, after.samples])
    for column in ("group", "input"):
        splits = rows.group_by(column).aggregate([("split", "count_distinct")])["split_count_distinct"].to_pylist()
        assert set(splits) <= {1}
    contents = list(zip(rows["input"].to_pylist(), rows["expected"].to_pylist(), strict=True))
    assert len(set(contents)) == len(contents)
    assert len(after.samples) + after.repeats + after.bridging == len(second)
