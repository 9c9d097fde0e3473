"""Truncated texts: those that end unlike nearly all others of their column, or leave open what they opened."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Hits
from llmops.data.validation.flat_text import FlatText

# How a text ends.
EMPTY, SENTENCE, CLOSED, DIGIT, LETTER, OPEN_END, FUNCTION_WORD, OTHER, UNCLOSED = range(9)
_SAID = {
    DIGIT: "ends in a number",
    LETTER: "ends without a full stop",
    OPEN_END: "ends in a comma, hyphen or opening sign",
    FUNCTION_WORD: "ends in a word that needs another after it",
    OTHER: "ends in an unusual character",
    UNCLOSED: "opens a bracket, quotation or code block and never closes it",
}

_TAIL = 24  # bytes
# Words that no sentence ends in.
_FUNCTION_WORDS = (
    "the an and or because whose my your our their its und oder ein eine et ou les los las gli het een uma"
)
_ENDINGS = (
    (SENTENCE, r"""[.!?…。！？｡।؟։]["'”’»›)\]】」』*_~`]*$"""),
    (CLOSED, r"""["'”’»›)\]}>|】」』`*]$"""),
    (DIGIT, r"\d ?[%°€$£]?$"),
    (OPEN_END, r"[,;\-–—&(\[{、，‘“«]$"),
    (FUNCTION_WORD, rf"(?i)[\s(](?:{'|'.join(_FUNCTION_WORDS.split())})$"),
    (LETTER, r"\pL$"),
)

NEARLY_ALL = 0.985
_MARKED = 0.97
_RARE = 0.003
_LEAST_ROWS = 50


def endings(texts: pa.ChunkedArray) -> np.ndarray:
    """How each text ends, uint8.

    >>> found = endings(pa.chunked_array([["It ends.", "It ends, and the", "see (below", ""]]))
    >>> found.tolist() == [SENTENCE, FUNCTION_WORD, UNCLOSED, EMPTY]
    True
    """
    stripped = pc.utf8_rtrim_whitespace(texts)
    lengths = pc.binary_length(stripped).to_numpy()
    tails = pc.utf8_slice_codeunits(stripped, start=-_TAIL, stop=None)
    kinds = np.where(lengths == 0, EMPTY, OTHER).astype(np.uint8)
    for kind, pattern in reversed(_ENDINGS):
        kinds[pc.match_substring_regex(tails, pattern).to_numpy()] = kind
    kinds[_unclosed(FlatText.of(texts))] = UNCLOSED
    return kinds


def _unclosed(texts: FlatText) -> np.ndarray:
    """Rows in which the last bracket was opened and not closed, or a code block was begun and not ended."""
    signs = np.flatnonzero(_IS_SIGN[texts.data]) if len(texts.data) else np.zeros(0, np.int64)
    rows = texts.rows_of(signs)
    last = np.flatnonzero(np.append(rows[1:] != rows[:-1], True)) if len(rows) else signs
    after = np.minimum(signs[last] + 1, len(texts.data) - 1)
    # ":((" is a face; of what stands at the very end OPEN_END speaks.
    face = np.isin(texts.data[np.maximum(signs[last] - 1, 0)], _EYES)
    ended = after >= texts.offsets[rows[last] + 1]
    unclosed = rows[last][np.isin(texts.data[signs[last]], _OPENING) & ~face & ~ended]
    ticks = np.flatnonzero(texts.data == ord("`"))
    fences = ticks[np.isin(ticks + 1, ticks) & np.isin(ticks + 2, ticks) & ~np.isin(ticks - 1, ticks)]
    return np.union1d(unclosed, np.flatnonzero(texts.counts(fences) % 2))


_OPENING = np.frombuffer(b"([{", np.uint8)
_EYES = np.frombuffer(b":;=-8(", np.uint8)
_IS_SIGN = np.isin(np.arange(256), np.frombuffer(b"()[]{}", np.uint8))


def last_line_markers(texts: pa.ChunkedArray) -> np.ndarray:
    """The first four bytes of the last line of each text of several lines (uint32), else 0.

    Where nearly all texts of a dataset end in one marked line ("#### 42"), those that do not were cut.
    """
    flat = FlatText.of(pc.utf8_rtrim_whitespace(texts))
    breaks = np.flatnonzero(flat.data == ord("\n"))
    markers = np.zeros(len(flat), np.uint32)
    if not len(breaks):
        return markers
    rows = flat.rows_of(breaks)
    last = np.append(rows[1:] != rows[:-1], True)
    padded = np.zeros(len(flat.data) + 5, np.uint8)
    padded[: len(flat.data)] = flat.data
    fours = np.lib.stride_tricks.as_strided(padded, (len(padded) - 3, 4), (1, 1)).view(np.uint32)[:, 0]
    markers[rows[last]] = fours[breaks[last] + 1]
    return markers


def truncated_text_hits(column: str, kinds: np.ndarray, markers: np.ndarray) -> list[Hits]:
    """`truncated-text` of one column, given how each text of the dataset ends."""
    filled = kinds != EMPTY
    total = int(filled.sum())
    if total < _LEAST_ROWS:
        return []
    shares = np.bincount(kinds[filled], minlength=9) / total
    suspect = [kind for kind in (OPEN_END, FUNCTION_WORD, UNCLOSED) if shares[kind] <= _RARE]
    if shares[SENTENCE] + shares[CLOSED] >= NEARLY_ALL:
        suspect = list(_SAID)
    said: dict[int, str] = {}
    for kind in suspect:
        said.update(dict.fromkeys(np.flatnonzero(kinds == kind).tolist(), _SAID[kind]))
    values, counts = np.unique(markers[filled & (markers != 0)], return_counts=True)
    if len(counts) and counts.max() / total >= _MARKED:
        unmarked = np.flatnonzero(filled & (markers != values[counts.argmax()]))
        said.update(dict.fromkeys(unmarked.tolist(), "lacks the last line that nearly all others end in"))
    return _hits(column, said)


def _hits(column: str, said: dict[int, str]) -> list[Hits]:
    rows = sorted(said)
    messages: Sequence[str] = [f"{column} {said[row]}; complete it or drop the row" for row in rows]
    return [Hits("truncated-text", np.array(rows, dtype=np.int64), messages)] if rows else []
