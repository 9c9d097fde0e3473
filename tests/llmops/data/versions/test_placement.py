"""Added samples: what they are tied to decides their split, then the hash that preparation uses."""

from itertools import combinations
from random import Random

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.conversations import from_messages
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


def test_the_same_input_in_another_context_is_tied_to_nothing() -> None:
    texts = [["When?", "When?"], ["at nine", "at nine"], ["g1", "g2"], ["Open from nine.", "The post comes at nine."]]
    columns = [pa.chunked_array([part], pa.string()) for part in texts]
    rows = sample_table(input=columns[0], expected=columns[1], group=columns[2], context=columns[3])
    column = SAMPLE_SCHEMA.get_field_index("split")
    there = rows[:1].set_column(column, SAMPLE_SCHEMA.field(column), pa.array(["test"])).to_batches()
    options = {"shares": {"train": 1.0}, "seed": 0, "duplicates": DuplicateConfig()}
    nobody = pa.array([], pa.string())
    assert splits_of(place(rows[1:], there, nobody, **options)) == {"When?": "train"}
    assert place(rows, there, nobody, **options).repeats == 1


def test_tool_calls_that_differ_a_little_are_no_twins() -> None:
    def calls(number: int) -> pa.Table:
        call = {"id": "1", "type": "function", "function": {"name": "move", "arguments": f'{{"by": {number}}}'}}
        asked = {"role": "user", "content": LONG.format("fire")}
        sample = from_messages([asked, {"role": "assistant", "content": None, "tool_calls": [call]}])
        named = {name: pa.chunked_array([[text]], pa.string()) for name, text in sample._asdict().items()}
        return sample_table(**named)

    nobody = pa.array([], pa.string())
    both = pa.concat_tables([calls(17), calls(18)])
    placed = place(both, [], nobody, shares=SHARES, seed=0, duplicates=DuplicateConfig(threshold=0.5))
    assert (len(placed.samples), placed.twins) == (2, 0)


def test_a_row_between_two_splits_is_dropped() -> None:
    there = existing([("hello", "hi", "g1"), ("bye", "ciao", "g2")], ["train", "test"])
    placed = added_to(there, [("hello", "salut", "g2"), ("fine", "x", "g2")])
    assert (splits_of(placed), placed.bridging) == ({"fine": "test"}, 1)


def test_repeats_of_what_is_there_and_of_one_another_are_dropped() -> None:
    there = existing([("hello", "hi", "g1")], ["train"])
    placed = added_to(there, [(" hello", "hi", "g9"), ("hello", "other", "g1"), ("a", "b", "g"), ("a", "b", "h")])
    assert (len(placed.samples), placed.repeats) == (2, 2)
    assert placed.samples["expected"].to_pylist() == ["other", "b"]


LONG = "the quick brown fox jumps over the lazy dog while the old cat sleeps on the warm mat in front of the {}"
ANSWER = "it lies in front of the fire because the floor is cold in winter and nobody else wants the place {}"


def test_near_twins_of_what_is_there_and_of_one_another_are_dropped() -> None:
    there = existing([(LONG.format("fire"), ANSWER.format("today"), "g1")], ["train"])
    rows = [
        (LONG.format("hearth"), ANSWER.format("today"), "g1"),  # a twin of what is there
        ("an input of its own: " + LONG.format("fire"), "another answer", "g1"),  # another answer is no twin
        ("where does the tea come from, and who brings it at five o'clock", ANSWER.format("now"), "g2"),
        ("where does the tea come from, and who brings it at five o'clock?", ANSWER.format("now, again"), "g3"),
    ]
    placed = added_to(there, rows, near=True)
    assert placed.samples["input"].to_pylist() == [rows[1][0], rows[2][0]]
    assert (placed.repeats, placed.twins, placed.bridging) == (0, 2, 0)
    assert added_to(there, rows).twins == 0


def test_a_correction_is_no_twin_of_the_sample_whose_place_it_takes() -> None:
    there = existing([(LONG.format("fire"), ANSWER.format("today"), "g1")], ["validation"])
    right = table([(LONG.format("fire"), ANSWER.format("tomorrow"), "g9")])
    options = {"shares": SHARES, "seed": 0, "duplicates": DuplicateConfig()}
    placed = place(right, there, there[0]["id"], **options)
    assert (splits_of(placed), placed.twins) == ({LONG.format("fire"): "validation"}, 0)
    assert place(right, there, pa.array([], pa.string()), **options).twins == 1


def test_of_added_twins_the_one_is_kept_that_the_configuration_prefers() -> None:
    rows = table([(LONG.format("fire"), ANSWER.format("now"), f"g{number}") for number in range(2)])
    longer = table([(LONG.format("fire and more"), ANSWER.format("now"), "g2")])
    both = pa.concat_tables([rows, longer])
    nobody = pa.array([], pa.string())
    for keep, kept in (("first", LONG.format("fire")), ("longest", LONG.format("fire and more"))):
        placed = place(both, [], nobody, shares=SHARES, seed=0, duplicates=DuplicateConfig(keep=keep))
        assert placed.samples["input"].to_pylist() == [kept]
        assert (placed.repeats, placed.twins) == (1, 1)


def test_similar_inputs_stay_together() -> None:
    text = "the quick brown fox jumps over the lazy dog while the cat sleeps on the warm mat {}"
    there = existing([(text.format("today"), "x", "g1")], ["test"])
    rows = [(text.format("now"), "y", f"g{number}") for number in range(2, 6)]
    rows += [(f"{text.format('now')} {word}", "y", f"h{word}") for word in ("one", "two")]
    assert set(splits_of(added_to(there, rows, near=True)).values()) == {"test"}


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_added_input_is_similar_to_one_of_another_split(random: Random) -> None:
    def some(number: int) -> Rows:
        words = LONG.split()
        texts = [random.choice((words[:12], words[8:])).copy() for _ in range(number)]
        for text in texts:
            text[random.randrange(len(text))] = random.choice("xyz")
        return [(" ".join(text), random.choice("abc"), f"g{random.randrange(40)}") for text in texts]

    before = added_to([], some(30), near=True).samples
    after = added_to(before.to_batches(), some(30), near=True).samples
    rows = pa.concat_tables([before, after])
    found = [set(zip(words, words[1:], words[2:], strict=False)) for words in map(str.split, rows["input"].to_pylist())]
    splits = rows["split"].to_pylist()
    for one, other in combinations(range(len(rows)), 2):
        if len(found[one] & found[other]) >= 0.9 * len(found[one] | found[other]):
            assert splits[one] == splits[other]


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
