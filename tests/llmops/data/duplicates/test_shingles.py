import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.duplicates import shingles as module
from llmops.data.duplicates.shingles import ShingleKind, scrambled, shingles

ALPHABET = "abAB  ,.é ß中あ😀😡?!\n0\0`-+#€"


def plain_units(text: str) -> list[str]:
    """The words of a text, letter by letter."""
    found: list[str] = []
    word = ""
    for letter in text:
        point = ord(letter)
        alone = point > 0xFFFF or 0x3040 <= point < 0x3100 or 0x3400 <= point < 0xA000 or 0xF900 <= point < 0xFB00
        category = unicodedata.category(letter)
        alone |= category in ("Sm", "Sc") or letter in "#%&@"
        inside = alone or letter.isalnum() or category.startswith("M")
        if inside and not alone:
            word += letter.casefold() if len(letter.casefold()) == 1 else letter
            continue
        found += [word, letter if inside else ""]
        word = ""
    found = [unit for unit in [*found, word] if unit]
    # Without a word the text itself is one, and unlike any that is made of letters.
    return found if found or not text else ["".join(chr(0xF0000 + ord(letter) % 0xFFFF) for letter in text)]


def plain_shingles(text: str, kind: ShingleKind, size: int) -> list[tuple[str, ...]]:
    units = plain_units(text)
    if kind == "character":
        units = list(" ".join(units))
    return [tuple(units[start : start + size]) for start in range(max(1, len(units) - size + 1))] if units else []


@settings(deadline=None, max_examples=50)
@given(
    texts=st.lists(st.one_of(st.text(ALPHABET, max_size=14), st.text("ab ,A", max_size=14)), max_size=8),
    kind=st.sampled_from(["word", "character"]),
    size=st.integers(1, 4),
    chunk=st.sampled_from([1, 5, 30, module.CHUNK]),
)
def test_equal_numbers_are_equal_shingles(texts: list[str], kind: ShingleKind, size: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        found = shingles(pa.array(texts, pa.string()), kind, size)
    expected = [plain_shingles(text, kind, size) for text in texts]
    assert np.diff(found.offsets).tolist() == [len(row) for row in expected]
    units = [plain_units(text) for text in texts]
    assert found.units.tolist() == [len(" ".join(row) if kind == "character" else row) for row in units]
    flat = [shingle for row in expected for shingle in row]
    pairs = set(zip(flat, found.hashes.tolist(), strict=True))
    assert len(pairs) == len(set(flat)) == len(set(found.hashes.tolist()))


@pytest.mark.parametrize("kind", ["word", "character"])
@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        ("it costs €1", "it costs £1", False),
        ("written in C++", "written in C#", False),
        ("where x > 5", "where x < 5", False),
        ("up by 5 %", "up by 5", False),
        ("write to @ann", "write to #ann", False),
        ("Well, it's “done” (now)!", "well it s done - now", True),
    ],
)
def test_signs_are_words_and_punctuation_is_not(kind: ShingleKind, left: str, right: str, alike: bool) -> None:
    found = shingles(pa.array([left, right]), kind, 3)
    one, other = np.split(found.hashes, found.offsets[1:2])
    assert (set(one.tolist()) == set(other.tolist())) == alike
    # The same among other scripts, where the characters are looked up in another table.
    mixed = shingles(pa.array([left, "é", right]), kind, 3)
    assert mixed.hashes[: len(one)].tolist() == one.tolist()


def test_slices_chunks_and_nulls() -> None:
    texts = ["left out", "one two three four", None, "", "five six seven"]
    whole = shingles(pa.array(texts), "word", 3)
    column = pa.chunked_array([pa.array(texts[:2]), pa.array(texts[2:])])
    sliced = shingles(column.slice(1), "word", 3)
    assert sliced.offsets.tolist() == [0, 2, 2, 2, 3]
    assert sliced.hashes.tolist() == whole.hashes[1:].tolist()
    assert shingles(pa.chunked_array([], pa.string()), "word", 3).offsets.tolist() == [0]


def test_a_text_longer_than_a_chunk_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"w{number}" for number in range(500))
    long = shingles(pa.array([text + " é"]), "word", 3).hashes[:-1]
    monkeypatch.setattr(module, "CHUNK", 100)
    assert shingles(pa.array([text]), "word", 3).hashes.tolist() == long.tolist()


def test_scrambling_is_that_of_splitmix64() -> None:
    # The first outputs of SplitMix64 from seed 1234567, as Rosetta Code lists them.
    seeds = np.uint64(1234567) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, 4, dtype=np.uint64)
    assert scrambled(seeds).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
