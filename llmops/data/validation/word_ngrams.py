"""Word n-grams of many texts as 64-bit hashes, by numpy over the bytes of the whole column."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.validation.flat_text import FlatText

# Classes of bytes: 0 between words, 1 part of a word, 2 digit, 3 between words except between two digits (1,000.5).
_CLASS = bytes(
    2 if 48 <= byte <= 57 else 1 if byte >= 128 or chr(byte).isalpha() else 3 if chr(byte) in ",." else 0
    for byte in range(256)
)
_LOWER = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in range(256))
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_WORD_BYTES = 24
_NUMBER = np.uint64(0x9E3779B97F4A7C15)
_NAME = np.uint64(0xC2B2AE3D27D4EB4F)
_ODD = np.array([0x9FB21C651E98DF25, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F], np.uint64)

# Typographic punctuation and its ASCII form; scripts without blanks, in which every character counts as a word.
_PUNCTUATION = (
    r"[\x{2010}-\x{201f}\x{2026}\x{2032}\x{2033}\x{a0}\x{ab}\x{bb}\x{a1}\x{bf}\x{3000}-\x{303f}\x{ff00}-\x{ff0f}]"
)
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Khmer}\p{Lao}\p{Myanmar}])"


@dataclass(frozen=True)
class Words:
    """The words of all rows: `hashes` (uint64), whether each starts with a capital, and the row each is in."""

    hashes: np.ndarray
    capital: np.ndarray
    rows: np.ndarray


def words_of(texts: pa.ChunkedArray | pa.Array) -> Words:
    """Split texts into words, without regard to case, punctuation and the value of numbers.

    >>> hashes = words_of(pa.array(["He has 12,000 ducks.", "he has 7 DUCKS"])).hashes
    >>> bool((hashes[:4] == hashes[4:]).all())
    True
    """
    flat = FlatText.of(_plain(texts))
    size = len(flat.data)
    padded = np.zeros(size + _WORD_BYTES + 8, np.uint8)
    padded[:size] = flat.translated(_LOWER)
    kind = flat.translated(_CLASS)
    inside = (kind == 1) | (kind == 2)
    points = np.flatnonzero(kind == 3)
    points = points[(points > 0) & (points < size - 1)]
    points = points[(kind[points - 1] == 2) & (kind[points + 1] == 2)]
    inside[points] = True

    edges = np.zeros(size + 1, np.bool_)
    edges[flat.offsets] = True
    starts = np.flatnonzero(inside & (edges[:size] | ~np.concatenate([[False], inside[:-1]]))) if size else _NONE
    ends = np.flatnonzero(inside & (edges[1:] | ~np.concatenate([inside[1:], [False]]))) + 1 if size else _NONE
    hashes = _hashed(padded, starts, ends - starts)
    hashes[kind[starts] == 2] = _NUMBER
    first = flat.data[starts]
    return Words(hashes, (first >= 65) & (first <= 90), flat.rows_of(starts))


_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Ngrams:
    """N-grams of many rows: the hash (uint64) and row (int64) of each."""

    hashes: np.ndarray
    rows: np.ndarray

    def of(self, rows: np.ndarray) -> "Ngrams":
        """Those of some rows, given as a flag a row."""
        chosen = rows[self.rows]
        return Ngrams(self.hashes[chosen], self.rows[chosen])

    def with_(self, other: "Ngrams") -> "Ngrams":
        """Those of both."""
        return Ngrams(np.concatenate([self.hashes, other.hashes]), np.concatenate([self.rows, other.rows]))

    def distinct(self) -> "Ngrams":
        """Each n-gram once a row, ascending by row."""
        order = np.lexsort((self.hashes, self.rows))
        hashes, rows = self.hashes[order], self.rows[order]
        first = np.append(True, (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1]))[: len(rows)]
        return Ngrams(hashes[first], rows[first])


def ngrams_of(words: Words) -> Ngrams:
    """Pairs of words as they stand, and triples in which each word with a capital stands for any name.

    The first survive a change of wording best, the second a change of names. Those of numbers only are left out.
    """
    names = np.where(words.capital, _NAME, words.hashes)
    parts = []
    for size, tokens in ((2, words.hashes), (3, names)):
        count = max(len(tokens) - size + 1, 0)
        whole = words.rows[:count] == words.rows[size - 1 : size - 1 + count]
        said = np.zeros(count, np.bool_)
        hashes = np.full(count, _ODD[size - 1])
        for place in range(size):
            shifted = tokens[place : place + count]
            said |= (shifted != _NUMBER) & (shifted != _NAME)
            hashes = _mixed(hashes * _ODD[0] + shifted)
        parts.append(Ngrams(hashes[whole & said], words.rows[:count][whole & said]))
    return parts[0].with_(parts[1])


def _plain(texts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Other scripts in lower case and one word a character where they have no blanks; ASCII as it is."""
    foreign = np.flatnonzero(~np.asarray(pc.fill_null(pc.string_is_ascii(texts), True)))
    if not len(foreign):
        return texts
    changed = pc.replace_substring_regex(texts.take(pa.array(foreign)), _PUNCTUATION, " ")
    changed = pc.if_else(pc.string_is_ascii(changed), changed, pc.utf8_lower(changed))
    changed = pc.replace_substring_regex(changed, _UNSPACED, r" \1 ")
    mask = np.zeros(len(texts), np.bool_)
    mask[foreign] = True
    combined = changed.combine_chunks() if isinstance(changed, pa.ChunkedArray) else changed
    return pc.replace_with_mask(texts, pa.array(mask), combined)


def _hashed(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    eights = np.lib.stride_tricks.as_strided(data.view(), (len(data) - 7, 8), (1, 1)).view(np.uint64)[:, 0]
    hashes = lengths.astype(np.uint64)
    for part in range(_WORD_BYTES // 8):
        long = np.flatnonzero(lengths > 8 * part) if part else slice(None)
        values = eights[starts[long] + 8 * part] & _FIRST_BYTES[np.clip(lengths[long] - 8 * part, 0, 8)]
        hashes[long] = _mixed(hashes[long] * _ODD[1] + values)
    return hashes


def _mixed(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(29))) * _ODD[2]
    mixed: np.ndarray = values ^ (values >> np.uint64(32))
    return mixed
