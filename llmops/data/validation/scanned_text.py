"""What the rules over single rows read: all text of a row as one, and the few rows worth a second look."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Hits

TEXTS = ("input", "expected", "context", "messages")


def scanned_text(batch: pa.Table) -> pa.ChunkedArray:
    """Input, expected text, context and conversation of each row, joined by line feeds."""
    present = [batch[name] for name in TEXTS if batch[name].null_count < len(batch)]
    return pc.binary_join_element_wise(*present, "\n", null_handling="skip")


def matching(texts: pa.ChunkedArray, pattern: str) -> np.ndarray:
    """Numbers (ascending) of the texts in which an RE2 pattern occurs."""
    found: np.ndarray = np.flatnonzero(pc.fill_null(pc.match_substring_regex(texts, pattern), False).to_numpy())
    return found


def rows_of_batch(batch: pa.Table, rows: np.ndarray) -> Iterator[tuple[int, dict[str, str]]]:
    """Some rows, each with its texts by column."""
    chosen = batch.select(list(TEXTS)).take(pa.array(rows, pa.int64()))
    for row, texts in zip(rows.tolist(), chosen.to_pylist(), strict=True):
        yield row, {name: text for name, text in texts.items() if text}


def hits_of(
    rule: str, batch: pa.Table, rows: np.ndarray, message: Callable[[dict[str, str]], str | None]
) -> list[Hits]:
    """The hits among candidate rows: those for which `message` has something to say."""
    found = [(row, said) for row, texts in rows_of_batch(batch, rows) if (said := message(texts))]
    if not found:
        return []
    return [Hits(rule, np.array([row for row, _ in found], dtype=np.int64), [said for _, said in found])]
