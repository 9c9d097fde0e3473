"""Characters that nobody can see: NUL, other control characters, zero-width and direction marks out of place."""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Hits
from llmops.data.validation.scanned_text import hits_of, matching

_ASCII = r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"
_OTHER = (
    r"[\x{80}-\x{9f}\x{ad}\x{200b}-\x{200d}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{feff}]|"
    r"[\x{e0001}-\x{e007f}]"
)
_ALWAYS = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2060-\u2064\ufeff]")
# Joiners belong into emoji and into Arabic and Indic scripts, not between letters of scripts without joining.
_JOINER = re.compile("(?<=[A-Za-z0-9 ])[\u200c\u200d]|[\u200c\u200d](?=[A-Za-z0-9 ])")
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# Tag characters spell text that only a model reads; the flags of England, Scotland and Wales begin with U+1F3F4.
_TAG = re.compile("[\U000e0001-\U000e007f]")


def control_character_hits(batch: pa.Table, texts: pa.ChunkedArray) -> list[Hits]:
    """`nul-character` (also in metadata and groups) and `control-character` of a batch and its `scanned_text`."""
    nul = _nul_hits(batch, texts)
    other = matching(texts, f"{_ASCII}|{_OTHER}")
    return [*nul, *hits_of("control-character", batch, other, _described)]


def _described(texts: dict[str, str]) -> str | None:
    for column, text in texts.items():
        found = _ALWAYS.search(text) or _JOINER.search(text)
        if not found and not _RIGHT_TO_LEFT.search(text):
            found = _DIRECTION.search(text)
        if not found and "\U0001f3f4" not in text:
            found = _TAG.search(text)
        if found:
            name = unicodedata.name(found[0], "control character").lower()
            return f"{column} holds U+{ord(found[0]):04X} ({name}) at character {found.start() + 1}; remove it"
    return None


def _nul_hits(batch: pa.Table, texts: pa.ChunkedArray) -> list[Hits]:
    found: dict[int, str] = {}
    named = [
        ("text", texts),
        ("messages", batch["messages"]),
        ("metadata", batch["metadata"]),
        ("group", batch["group"]),
    ]
    for column, values in named:
        for row in np.flatnonzero(_holds_nul(values, escaped=column == "messages")).tolist():
            found.setdefault(row, column)
    if not found:
        return []
    rows = np.array(sorted(found), dtype=np.int64)
    chosen = batch.select(["input", "expected", "context"]).take(pa.array(rows)).to_pylist()
    messages = []
    for row, columns in zip(rows.tolist(), chosen, strict=True):
        column = next((name for name, text in columns.items() if text and "\0" in text), found[row])
        messages.append(f"{column} holds a NUL character; remove it")
    return [Hits("nul-character", rows, messages)]


def _holds_nul(texts: pa.ChunkedArray, *, escaped: bool) -> np.ndarray:
    if not pa.types.is_map(texts.type):
        if texts.null_count == len(texts):
            return np.zeros(len(texts), np.bool_)
        # In JSON text a NUL is written as an escape.
        found: np.ndarray = pc.fill_null(pc.match_substring(texts, r"\u0000" if escaped else "\0"), False).to_numpy()
        return found
    masks = [np.zeros(0, np.bool_)]
    for chunk in texts.chunks:
        # The map is a list of entries: the row of each entry whose value holds one.
        entries = np.flatnonzero(pc.match_substring(chunk.items, "\0").to_numpy(zero_copy_only=False))
        rows = np.searchsorted(chunk.offsets.to_numpy(), entries, side="right") - 1
        masks.append(np.isin(np.arange(len(chunk)), rows))
    return np.concatenate(masks)
