"""Degenerate loops: a text that says the same again and again, as models do that were stopped too late."""

import numpy as np
import pyarrow as pa

from llmops.data.findings import Hits
from llmops.data.validation.flat_text import FlatText

_ANCHOR = 8  # bytes
_COVERED = 32  # bytes, at least
_TURNS = 4
_WITHIN = 8  # how often the bytes looked at may occur within one turn
_LOOKED_AT = 20_000  # bytes at each end of a text


def repetition_hits(batch: pa.Table) -> list[Hits]:
    """`repetition`: four or more turns of the same characters, letters among them, that cover 32 bytes or more.

    Loops are found that run to the end of a text or through its middle; of a text of more than 40,000 bytes its first
    and its last 20,000 are looked at, each as a text of its own.
    """
    said: dict[int, str] = {}
    for column in ("input", "expected"):
        for row, (characters, turns) in loops(FlatText.of(batch[column])).items():
            unit = "one character" if characters == 1 else f"the same {characters} characters"
            said[row] = f"{column} repeats {unit} {turns:,} times in a row; cut the loop or drop the row"
    rows = sorted(said)
    return [Hits("repetition", np.array(rows, dtype=np.int64), [said[row] for row in rows])] if rows else []


def loops(texts: FlatText) -> dict[int, tuple[int, int]]:
    """Rows that hold a loop, with its length in characters and its number of turns.

    >>> loops(FlatText.of(pa.array(["no no no no no no no no no no no no", "no, really not more than this, is it?"])))
    {0: (3, 11)}
    """
    texts, rows = _ends(texts)
    found: dict[int, tuple[int, int]] = {}
    for part, start, period in _candidates(texts):
        data = texts.data[texts.offsets[part] : texts.offsets[part + 1]]
        different = np.flatnonzero(data[:-period] != data[period:])
        place = int(np.searchsorted(different, start))
        first = int(different[place - 1]) + 1 if place else 0
        last = int(different[place]) if place < len(different) else len(data) - period
        covered = last - first + period
        # Two turns, as the first may begin within a character.
        said = data[first : first + 2 * period].tobytes().decode(errors="ignore")
        if covered >= max(_COVERED, _TURNS * period) and any(map(str.isalpha, said)):
            # Every byte but those from 0x80 to 0xBF begins a character.
            characters = int(np.count_nonzero(data[first : first + period] & 0xC0 != 0x80))
            found.setdefault(int(rows[part]), (characters, covered // period))
    return found


def _ends(texts: FlatText) -> tuple[FlatText, np.ndarray]:
    """The texts with the long ones as two, their first and their last bytes; and the row that each is of."""
    lengths = np.diff(texts.offsets)
    long = lengths > 2 * _LOOKED_AT
    if not long.any():
        return texts, np.arange(len(texts))
    rows = np.repeat(np.arange(len(texts)), 1 + long)
    kept = np.where(long, _LOOKED_AT, lengths)[rows]
    is_end = np.append(False, rows[1:] == rows[:-1])
    starts = np.where(is_end, texts.offsets[rows + 1] - kept, texts.offsets[rows])
    data = np.concatenate([texts.data[start : start + size] for start, size in zip(starts, kept, strict=True)])
    return FlatText(data, np.append(0, np.cumsum(kept))), rows


def _candidates(texts: FlatText) -> list[tuple[int, int, int]]:
    """Where a row's last bytes, or those in its middle, occur four times at even distances: row, place, distance."""
    lengths = np.diff(texts.offsets)
    long = np.flatnonzero(lengths >= _COVERED)
    if not len(long):
        return []
    size = len(texts.data)
    padded = np.zeros(size + _ANCHOR, np.uint8)
    padded[:size] = texts.data
    eights = np.lib.stride_tricks.as_strided(padded, (size + 1, _ANCHOR), (1, 1)).view(np.uint64)[:, 0][:size]
    found = []
    for places in (texts.offsets[1:] - _ANCHOR, texts.offsets[:-1] + lengths // 2):
        anchors = np.zeros(len(texts), np.uint64)
        anchors[long] = eights[places[long]]
        same = np.flatnonzero(eights == np.repeat(anchors, lengths))
        for step in range(1, _WITHIN + 1):
            found += _even(texts, same, step)
    return found


def _even(texts: FlatText, places: np.ndarray, step: int) -> list[tuple[int, int, int]]:
    """Of each row the first place from which every `step`th one follows at the same distance, three times or more."""
    gaps = places[step:] - places[:-step]
    count = max(len(places) - 3 * step, 0)
    rows = texts.rows_of(places)
    same_row = rows[:count] == rows[3 * step : 3 * step + count]
    first, second, third = (gaps[turn * step : turn * step + count] for turn in range(3))
    even = np.flatnonzero(same_row & (first == second) & (second == third))
    found, at = np.unique(rows[even], return_index=True)
    even = even[at]
    starts = places[even] - texts.offsets[found]
    return list(zip(found.tolist(), starts.tolist(), gaps[even].tolist(), strict=True))
