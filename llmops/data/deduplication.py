"""Exact repeats: the same input, expected text and context, however they are spaced or composed."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.samples import normalised


def drop_exact_repeats(table: pa.Table) -> tuple[pa.Table, int]:
    """Keep the first of each set of repeats and say how many rows were dropped.

    Two rows repeat each other when input, expected and context are equal after Unicode NFC and with white
    space normalised; their metadata and groups do not matter. One input with two different expected texts is
    no repeat: it has two references.

    >>> from llmops.data.samples import sample_table
    >>> texts, answers = pa.chunked_array([["a", "a ", "a"]]), pa.chunked_array([["x", "x", "y"]])
    >>> kept, dropped = drop_exact_repeats(sample_table(input=texts, expected=answers))
    >>> kept["expected"].to_pylist(), dropped
    (['x', 'y'], 1)
    """
    parts = [normalised(table[column]) for column in ("input", "expected")]
    content = pc.binary_join_element_wise(*parts, pc.fill_null(normalised(table["context"]), ""), "\0")
    first = np.sort(np.unique(codes_of(content), return_index=True)[1])
    return table.take(pa.array(first)), len(table) - len(first)


def codes_of(texts: pa.ChunkedArray) -> np.ndarray:
    """A number for each distinct text, 0, 1, … in the order in which they first appear."""
    encoded = texts.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False))
