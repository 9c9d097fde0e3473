"""Texts as sets of shingles: runs of a few neighbouring words or characters, each as one 64-bit number.

What two texts have in common is then the Jaccard index of their sets. Case and punctuation do not count, signs do
(€1 is not £1, C++ not C#). All rows of a batch are hashed at once, out of the bytes that the column lies in; no text
becomes a Python string.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import pyarrow as pa

ShingleKind = Literal["word", "character"]

CHUNK = 1 << 18  # bytes hashed at a time: the arrays of one step fit into a core's cache
SEPARATOR = 0
SIGNS = "#%&@"  # words beside the mathematical signs and the currencies, which Unicode has categories for
BLANK = np.uint64(1 << 21)  # beyond all code points
OF_WORDLESS = np.uint32(1 << 22)  # set in the characters of texts without a word, which are no letters
BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
INVERSE = pow(BASE, -1, 1 << 64)


@dataclass(frozen=True)
class Shingles:
    """The shingles of row i are ``hashes[offsets[i] : offsets[i + 1]]``, in order and with repeats.

    `units` is how many words or characters each row has.
    """

    hashes: np.ndarray
    offsets: np.ndarray
    units: np.ndarray


def shingle_chunks(texts: pa.Array | pa.ChunkedArray, kind: ShingleKind, size: int) -> Iterator[Shingles]:
    """The shingles of the texts, some hundred rows at a time.

    A word is a run of letters, digits and marks; an ideograph, a kana, an emoji, a mathematical sign, a currency sign
    and each of # % & @ is a word of its own. Texts are folded to one case; for characters, whatever is between words
    counts as one blank. A text with fewer than `size` words or characters is one shingle, and one without any word is
    as if all of it were one word; the empty text has no shingle. A null counts as empty.
    """
    data, offsets = _bytes_of(texts)
    row = 0
    while row < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[row] + CHUNK, side="right")) - 1
        end = max(end, row + 1)
        yield _shingles(data[offsets[row] : offsets[end]], offsets[row : end + 1] - offsets[row], kind, size)
        row = end


def shingles(texts: pa.Array | pa.ChunkedArray, kind: ShingleKind, size: int) -> Shingles:
    """The shingles of all texts at once, see `shingle_chunks`.

    >>> found = shingles(pa.array(["one two three four", "Two, three: FOUR!", "short"]), "word", 3)
    >>> found.offsets.tolist(), bool(found.hashes[1] == found.hashes[2])
    ([0, 2, 3, 4], True)
    """
    chunks = list(shingle_chunks(texts, kind, size))
    counts = [np.diff(chunk.offsets) for chunk in chunks]
    offsets = np.concatenate([np.zeros(1, np.int64), *counts]).cumsum()
    hashes = np.concatenate([np.zeros(0, np.uint64), *(chunk.hashes for chunk in chunks)])
    return Shingles(hashes, offsets, np.concatenate([np.zeros(0, np.int64), *(chunk.units for chunk in chunks)]))


def scrambled(numbers: np.ndarray) -> np.ndarray:
    """Spread 64-bit numbers evenly: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = numbers ^ (numbers >> np.uint64(31))
    return mixed


def _bytes_of(texts: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of all texts and where each begins, without a copy where the column allows it."""
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    column = column.cast(pa.large_string()).fill_null("")
    _, starts, data = column.buffers()
    offsets = np.frombuffer(starts, np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8), offsets


def _shingles(data: np.ndarray, offsets: np.ndarray, kind: ShingleKind, size: int) -> Shingles:
    points, offsets = _code_points(data, offsets)
    letters, alone = _letters(points)
    start, end = _words(letters, alone, offsets)
    of_row = np.searchsorted(start, offsets)
    wordless = np.flatnonzero((of_row[1:] == of_row[:-1]) & (offsets[1:] > offsets[:-1]))
    if len(wordless):
        letters = letters.astype(np.uint32)
        for row in wordless:
            letters[offsets[row] : offsets[row + 1]] = points[offsets[row] : offsets[row + 1]] | OF_WORDLESS
        start, end = _words(letters, alone, offsets)
        of_row = np.searchsorted(start, offsets)
    if kind == "word":
        return _windows(_word_hashes(letters, start, end), of_row, size)
    return _windows(*_characters(letters, start, of_row), size)


def _code_points(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(data) or data.max() < 0x80:
        return data, offsets
    text = data.tobytes().decode("utf-8", "surrogatepass")
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum((data & 0xC0) != 0x80)])
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), before[offsets]


def _letters(points: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The folded characters, separators 0, and which of them are words of their own (None: no one is)."""
    ascii_letters, ascii_alone, folded, alone = _tables()
    if points.dtype == np.uint8:
        text = points.tobytes()
        signs = np.frombuffer(text.translate(ascii_alone), np.bool_)
        return np.frombuffer(text.translate(ascii_letters), np.uint8), signs if signs.any() else None
    return folded[points], alone[points]


@cache
def _tables() -> tuple[bytes, bytes, np.ndarray, np.ndarray]:
    """For every ASCII character, and for every code point, the two things that `_letters` says of it.

    Beyond the basic plane, where emoji and rare ideographs are, every character is a word of its own.
    """
    folded = np.arange(0x110000, dtype=np.uint32)
    alone = np.ones(0x110000, bool)
    for point in range(0x10000):
        letter = chr(point)
        category = unicodedata.category(letter)
        sign = letter in SIGNS or category in ("Sm", "Sc")
        alone[point] = sign or 0x3040 <= point < 0x3100 or 0x3400 <= point < 0xA000 or 0xF900 <= point < 0xFB00
        if not (letter.isalnum() or category.startswith("M") or sign):
            folded[point] = SEPARATOR
        elif len(letter.casefold()) == 1:
            folded[point] = ord(letter.casefold())
    ascii_letters, ascii_alone = (bytes(table[:0x80].tolist()) + bytes(0x80) for table in (folded, alone))
    return ascii_letters, ascii_alone, folded, alone


def _words(letters: np.ndarray, alone: np.ndarray | None, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each word begins and ends."""
    inside = np.empty(len(letters) + 2, bool)
    inside[0] = inside[-1] = False
    np.not_equal(letters, SEPARATOR, out=inside[1:-1])
    edge = inside[1:] != inside[:-1]
    edge[offsets[:-1]] = True
    if alone is not None:
        edge[:-1] |= alone
        edge[1:] |= alone
    begins = edge & inside[1:]
    ends = edge & inside[:-1]
    return np.flatnonzero(begins), np.flatnonzero(ends)


def _word_hashes(letters: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The polynomial of each word's letters in `BASE`: the difference of two running sums, brought down from the
    word's place to place 0 by the inverse power."""
    powers, inverses = _powers(len(letters))
    sums = np.empty(len(letters) + 1, np.uint64)
    sums[0] = 0
    np.multiply(powers, letters, out=sums[1:])
    np.cumsum(sums, out=sums)
    return scrambled((sums[end] - sums[start]) * inverses[start])


def _powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    """The powers 0, 1, … of `BASE` and of its inverse."""
    powers, inverses = _kept_powers(CHUNK) if length <= CHUNK else _kept_powers.__wrapped__(length)
    return powers[:length], inverses[:length]


@cache
def _kept_powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.array([[BASE], [INVERSE]], np.uint64).repeat(length, axis=1)
    steps[:, 0] = 1
    powers, inverses = np.multiply.accumulate(steps, axis=1)
    return powers, inverses


def _characters(letters: np.ndarray, start: np.ndarray, of_row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The characters of words with a blank before every word but a row's first, and where each row begins."""
    blanks = np.zeros(len(letters), np.int64)
    blanks[start] = 1
    blanks[start[of_row[:-1][of_row[1:] > of_row[:-1]]]] = 0
    kept = letters != SEPARATOR
    place = np.cumsum(kept + blanks)  # one past the character's own place
    units = np.full(place[-1] if len(place) else 0, BLANK)
    units[place[kept] - 1] = letters[kept]
    ends = np.append(place, 0)
    first = np.append(start, len(letters))[of_row]
    # A row begins where its first word does: one place before the end of that word's first character.
    begins = np.where(first < len(letters), ends[np.minimum(first, len(letters))] - 1, len(units))
    return units, begins


def _windows(units: np.ndarray, starts: np.ndarray, size: int) -> Shingles:
    """A hash of every `size` neighbours within a row, or of all units of a row that has fewer."""
    weights = scrambled(np.arange(1, size + 1, dtype=np.uint64)) | np.uint64(1)
    padded = np.concatenate([units, np.zeros(size, np.uint64)])
    sums = units * weights[0]
    for place in range(1, size):
        sums += padded[place : place + len(units)] * weights[place]
    begin, end = starts[:-1], starts[1:]
    kept = np.ones(len(units), bool)
    for place in range(1, size):
        beyond = begin[(end - begin <= place) & (end > begin)]
        sums[beyond] -= padded[beyond + place] * weights[place]
        last = end - place
        kept[last[last > begin]] = False
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    return Shingles(scrambled(sums[kept]), counts[starts], end - begin)
