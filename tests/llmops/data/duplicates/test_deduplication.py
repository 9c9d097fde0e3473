import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmops.data.duplicates.deduplication import (
    content_keys,
    distinct,
    exact_repeats,
    input_keys,
    preference,
    prompt_texts,
    question_keys,
    question_texts,
    text_keys,
)
from llmops.data.duplicates.near_duplicates import SimilarPairs
from llmops.data.samples import normalised, sample_table
from llmops.data.splits.assignment import SplitKeys, assign, places


def column(*values: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)], pa.string())


def dropped_of(table: pa.Table) -> dict[int, int]:
    dropped = exact_repeats(content_keys(table))
    return dict(zip(dropped.rows.tolist(), dropped.kept.tolist(), strict=True))


def test_repeats_are_dropped_for_the_first(samples: Callable[..., pa.Table]) -> None:
    rows = [("b", "1"), ("a", "1"), ("b", "1"), ("b", "2"), ("caf\u00e9", "x"), ("  cafe\u0301\n", "x ")]
    assert dropped_of(samples(rows)) == {2: 0, 5: 4}


def test_text_does_not_run_from_one_column_into_the_next(samples: Callable[..., pa.Table]) -> None:
    assert dropped_of(samples([("ab", "c"), ("a", "bc"), ("a b", "c"), ("a", "b c")])) == {}


def test_context_and_messages_make_another_example_and_metadata_does_not() -> None:
    table = sample_table(
        input=column("q", "q", "q", "q", "q"),
        expected=column("a", "a", "a", "a", "a"),
        context=column("one", "two", "one", None, None),
        messages=column(None, None, None, None, '{"messages":[]}'),
        metadata={"source": column("v", "w", "x", "y", "z")},
    )
    assert dropped_of(table) == {2: 0}


def test_input_keys_ignore_spacing_and_composition(samples: Callable[..., pa.Table]) -> None:
    keys = input_keys(samples([("a b", "1"), (" a \n b", "2"), ("A b", "3"), ("e\u0301", "4"), ("\u00e9", "5")]))
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == keys[4]


SYSTEM = '{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"q"}]}'
DEVELOPER = '{"messages":[{"role":"developer","content":"Be long."},{"role":"user","content":"q"}]}'
QUOTED = '{"messages":[{"role":"user","content":"the \\"system\\" and \\"tools\\""}]}'
TOOLS = '{"messages":[{"role":"user","content":"q"}],"tools":[{"name":"clock"},{"name":"été"}]}'


def test_what_a_question_is_made_of() -> None:
    table = sample_table(
        input=column("q", " q ", "q", "q", "q one"),
        expected=column(*"abcde"),
        context=column(None, "  ", "one", " one\n", None),
    )
    assert question_texts(table).to_pylist() == ["q", " q ", "q\none", "q\n one\n", "q one"]
    keys = question_keys(table).tolist()
    assert keys[0] == keys[1] != keys[2] == keys[3] != keys[4]
    assert len(set(keys)) == 3


def test_the_prompt_of_a_conversation_belongs_to_its_question() -> None:
    messages = [None, SYSTEM, SYSTEM.replace("brief", " brief"), DEVELOPER, TOOLS, QUOTED, QUOTED.replace("the", "an")]
    table = sample_table(
        input=column(*["q"] * len(messages)), expected=column(*["a"] * len(messages)), messages=column(*messages)
    )
    assert prompt_texts(table).to_pylist() == [
        "", "Be brief.", "Be  brief.", "Be long.", '[{"name":"clock"},{"name":"été"}]', "", "",
    ]  # fmt: skip
    keys = question_keys(table).tolist()
    assert keys[1] == keys[2]
    assert keys[0] == keys[5] == keys[6]
    assert len(set(keys)) == 4


def test_question_keys_do_not_depend_on_the_batch_nor_on_who_computes_the_parts() -> None:
    table = sample_table(
        input=column("q", "q", "q", "q"),
        expected=column(*"abcd"),
        context=column("one", None, None, "one"),
        messages=column(None, None, SYSTEM, TOOLS),
    )
    keys = question_keys(table)
    assert len(set(keys.tolist())) == 4
    assert [question_keys(table.slice(row, 1))[0] for row in range(4)] == keys.tolist()
    parts = (text_keys(normalised(texts)) for texts in (table["input"], table["context"], prompt_texts(table)))
    assert question_keys(table, *parts).tolist() == keys.tolist()
    assert question_keys(table.slice(0, 0)).tolist() == []


def test_one_instruction_over_many_contexts_can_be_split() -> None:
    table = sample_table(
        input=column(*["Is this review a good one?"] * 200),
        expected=column(*["yes", "no"] * 100),
        context=column(*[f"It was number {number} that I liked." for number in range(200)]),
    )
    keys = SplitKeys(
        group=text_keys(table["group"]), place=places(table["group"], 0), input=question_keys(table), stratum=None,
        time=None, pinned=None,
    )  # fmt: skip
    nobody = SimilarPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    codes = assign(keys, nobody, {"train": 0.5, "validation": 0.25, "test": 0.25}).codes
    assert np.bincount(codes, minlength=3).tolist() == pytest.approx([100, 50, 50], abs=30)


def test_text_keys_are_those_of_xxh3() -> None:
    # XXH3_64bits of no bytes with seed 0, from the specification's reference implementation.
    assert text_keys(pa.array([""])).tolist() == [0x2D06800538D394C2]
    texts = ["", "é", "a" * 5000, "b"]
    chunks = pa.chunked_array([pa.array(texts[:2]), pa.array(["x", *texts[2:]]).slice(1)])
    assert text_keys(pa.array([None, "", None])).tolist() == [0x2D06800538D394C2] * 3
    assert text_keys(pa.array(["x", None])).tolist()[1] == 0x2D06800538D394C2
    assert text_keys(chunks).tolist() == text_keys(pa.array(texts, pa.large_string())).tolist()


def test_which_repeat_stays() -> None:
    keys = np.array([1, 2, 1, 1], np.uint64)
    lengths, quality = np.array([3, 9, 5, 5]), np.array([0.1, 0.9, 0.2, 0.8])
    kept = {
        keep: exact_repeats(keys, preference(4, keep, lengths=lengths, quality=quality)).kept.tolist()
        for keep in ("first", "last", "longest", "best")
    }
    assert kept == {"first": [0, 0], "last": [3, 3], "longest": [2, 2], "best": [3, 3]}


def test_rows_of_the_parent_version_are_never_replaced() -> None:
    pinned = np.array([-1, 1, -1, 0])
    assert np.argsort(preference(4, "last", pinned=pinned)).tolist() == [3, 1, 2, 0]
    assert np.argsort(preference(4, "first", pinned=pinned)).tolist() == [1, 3, 0, 2]
    with pytest.raises(ValueError, match="keep=best needs the quality"):
        preference(4, "best")


def test_distinct_rows() -> None:
    keys = np.array([5, 6, 5, 7, 6], np.uint64)
    assert distinct(keys).tolist() == [0, 1, 3]
    assert distinct(keys, np.array([2, 3, 4])).tolist() == [2, 3, 4]
    assert distinct(keys, np.arange(5), np.array([4, 3, 2, 1, 0])).tolist() == [2, 3, 4]
    assert distinct(np.zeros(0, np.uint64)).tolist() == []


def test_the_repeats_of_the_e2e_challenge(real_data: Callable[[str], Path]) -> None:
    table = pq.read_table(real_data("e2e_train.parquet"))
    samples = sample_table(input=table["mr"].cast(pa.string()), expected=table["ref"].cast(pa.string()))
    dropped = exact_repeats(content_keys(samples))
    assert (len(samples), len(dropped)) == (42_061, 1_202)
    frame = table.select(["mr", "ref"]).to_pandas().apply(lambda texts: texts.str.split().str.join(" "))
    assert dropped.rows.tolist() == np.flatnonzero(frame.duplicated()).tolist()


def test_importing_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, llmops.data.splits.assignment\n"
        "print([name for name in ('duckdb', 'nltk', 'torch', 'mlflow', 'scipy.sparse') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
