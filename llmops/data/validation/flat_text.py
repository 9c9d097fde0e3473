"""A column of text as one run of bytes and where each row starts: what numpy needs to look at every byte at once."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class FlatText:
    """UTF-8 bytes (uint8) of all rows, one after the other; row i is ``data[offsets[i]:offsets[i + 1]]``."""

    data: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: pa.ChunkedArray | pa.Array) -> "FlatText":
        """The bytes of a column; a null row is an empty one.

        >>> FlatText.of(pa.array(["ab", None, "c"])).offsets.tolist()
        [0, 2, 2, 3]
        """
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        if isinstance(texts, pa.ChunkedArray):  # more than one array can hold
            texts = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in texts.chunks])
        if texts.null_count:
            texts = pc.fill_null(texts, "")
        width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
        _, starts, values = texts.buffers()
        if not len(texts):
            return cls(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        offsets = np.frombuffer(starts, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
        data = np.zeros(0, np.uint8) if values is None else np.frombuffer(values, np.uint8)
        return cls(data[offsets[0] : offsets[-1]], offsets - offsets[0])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def translated(self, table: bytes) -> np.ndarray:
        """Every byte replaced by that of a table of 256."""
        return np.frombuffer(self.data.tobytes().translate(table), np.uint8)

    def rows_of(self, positions: np.ndarray) -> np.ndarray:
        """The row that each position in `data` belongs to."""
        return np.searchsorted(self.offsets, positions, side="right") - 1

    def counts(self, positions: np.ndarray) -> np.ndarray:
        """How many of the (ascending) positions lie in each row."""
        return np.diff(np.searchsorted(positions, self.offsets))
