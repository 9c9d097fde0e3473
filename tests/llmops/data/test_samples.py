import hashlib
import unicodedata

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from llmops.data.samples import SAMPLE_SCHEMA, normalised, sample_table


def column(*values: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)], pa.string())


def test_columns_of_a_sample() -> None:
    table = sample_table(
        input=column(" a  b", "c"),
        expected=column("x", None),
        context=column("  ", "page"),
        metadata={"source": column("web", None), "author": column("", "Ann")},
        group=column(None, "g1"),
    )
    assert table.schema.equals(SAMPLE_SCHEMA)
    assert table["expected"].to_pylist() == ["x", ""]
    assert table["context"].to_pylist() == [None, "page"]
    assert table["metadata"].to_pylist() == [[("source", "web")], [("author", "Ann")]]
    assert table["group"].to_pylist() == ["a b", "g1"]
    assert table["split"].to_pylist() == [None, None]


def test_a_context_is_part_of_the_group_of_a_row_without_one() -> None:
    table = sample_table(
        input=column("q ", "q", " q", "q", "q"),
        expected=column(*"abcde"),
        context=column("one", " one ", "two", None, "three"),
        group=column(None, " ", None, None, "g"),
    )
    assert table["group"].to_pylist() == ["q\none", "q\none", "q\ntwo", "q", "g"]


def test_id_names_the_content_and_nothing_else() -> None:
    one = sample_table(input=column("a"), expected=column("b"), metadata={"k": column("v"), "j": column("w")})
    assert one["id"].to_pylist() == [hashlib.sha256(b"a\0b\0\0j\0w\0k\0v").hexdigest()[:32]]
    grouped = sample_table(
        input=column("a"),
        expected=column("b"),
        metadata={"j": column("w"), "k": column("v")},
        group=column("g"),
    )
    assert grouped["id"].equals(one["id"])


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3), min_size=6, max_size=6))
def test_different_content_has_different_ids(texts: list[str]) -> None:
    first, second = (
        sample_table(input=column(a), expected=column(b), context=column(c or None))
        for a, b, c in (texts[:3], texts[3:])
    )
    same = [*texts[:2], texts[2].strip()] == [*texts[3:5], texts[5].strip()]
    if not same:
        same = texts[:2] == texts[3:5] and first["context"].equals(second["context"])
    assert (first["id"][0] == second["id"][0]) == same


@given(st.text(st.sampled_from("aé́ä̈ﬁÅ \t\n\r  　‏😀")))
def test_normalised_agrees_with_unicodedata(text: str) -> None:
    expected = " ".join(unicodedata.normalize("NFC", text).split())
    assert normalised(column(text)).to_pylist() == [expected]
    assert normalised(normalised(column(text))).to_pylist() == [expected]


def test_metadata_of_many_chunks_stays_with_its_rows() -> None:
    chunked = pa.chunked_array([["a"], ["b", "c"]])
    other = pa.chunked_array([["1", None], ["3"]])
    table = sample_table(input=chunked, expected=chunked, metadata={"n": other, "m": chunked})
    assert table["metadata"].to_pylist() == [
        [("m", "a"), ("n", "1")],
        [("m", "b")],
        [("m", "c"), ("n", "3")],
    ]
