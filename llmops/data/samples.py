"""The sample, as columns: what every reader produces and every later step works on.

A data set in memory is one ``pyarrow.Table`` in `SAMPLE_SCHEMA`; there is no object per row, so that a
million samples cost what their text costs.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

SPLITS = ("train", "validation", "test")

SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("expected", pa.string(), nullable=False),
        pa.field("context", pa.string()),
        pa.field("messages", pa.string()),
        pa.field("metadata", pa.map_(pa.string(), pa.string())),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("quality", pa.float32()),
    ]
)
"""`id` names the content (input, expected, context, messages, metadata); samples of one `group` share a split.

`messages` is the JSON text of a conversation that is more than one question and its answer (see `conversations`);
`input` and `expected` are then derived from it. `quality`, 0 to 1, is what validation thinks of the sample.
"""


class ColumnMapping(BaseModel):
    """Which column of a file is which part of a sample; what is left unset is found by its usual name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str | None = Field(default=None, description="What a model is asked.")
    expected: str | None = Field(default=None, description="What it should answer.")
    context: str | None = Field(default=None, description="What it is given to answer from.")
    group: str | None = Field(default=None, description="Rows with the same value here never straddle two splits.")


def normalised(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as they are compared: Unicode NFC, each run of white space one blank, none at the ends.

    >>> normalised(pa.chunked_array([["  Cafe\\u0301\\n au  lait "]])).to_pylist()
    ['Café au lait']
    """
    # Most texts are in this form already, and looking is five times faster than bringing them into it.
    uneven = pc.or_(pc.match_substring_regex(texts, _UNEVEN), pc.invert(pc.string_is_ascii(texts)))
    if not pc.any(uneven).as_py():
        return texts
    uneven = pc.fill_null(uneven, False).combine_chunks()
    words = pc.utf8_split_whitespace(_composed(texts.filter(uneven)))
    even = pc.utf8_trim_whitespace(pc.binary_join(words, " "))
    return pa.chunked_array([pc.replace_with_mask(texts.combine_chunks(), uneven, even.combine_chunks())])


_UNEVEN = r"^ | $|  |[\t\n\v\f\r]"


def _composed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    # pyarrow's own utf8_normalize decomposes under every form name (apache/arrow#51225, seen in 25.0.1).
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
        return texts
    composed = [unicodedata.normalize("NFC", text) for text in texts.to_pylist()]
    return pa.chunked_array([pa.array(composed, pa.string())])


def sample_table(
    *,
    input: pa.ChunkedArray,
    expected: pa.ChunkedArray,
    context: pa.ChunkedArray | None = None,
    messages: pa.ChunkedArray | None = None,
    metadata: Mapping[str, pa.ChunkedArray] | None = None,
    group: pa.ChunkedArray | None = None,
) -> pa.Table:
    """Build a table in `SAMPLE_SCHEMA` from columns of text of one length; `split` and `quality` are left empty.

    A null `input` or `expected` becomes empty text (which validation then reports); a blank context, group or
    metadata value counts as none; a sample without a group has its normalised input as its group, with a context
    on a line of its own, so that one instruction over many contexts makes many groups.
    """
    input, expected = pc.fill_null(input, ""), pc.fill_null(expected, "")
    nothing = pa.chunked_array([pa.nulls(len(input), pa.string())])
    context = nothing if context is None else _null_if_blank(context)
    messages = nothing if messages is None else messages
    own_group = pc.binary_join_element_wise(normalised(input), normalised(context), "\n", null_handling="skip")
    group = own_group if group is None else pc.coalesce(_null_if_blank(group), own_group)
    kept = {name: _null_if_blank(metadata[name]) for name in sorted(metadata or {})} if metadata else {}
    columns = [
        _content_ids(input, expected, context, messages, [_pairs(name, texts) for name, texts in kept.items()]),
        input,
        expected,
        context,
        messages,
        _map_column(kept, len(input)),
        group,
        nothing,
        pa.chunked_array([pa.nulls(len(input), pa.float32())]),
    ]
    return pa.table(columns, schema=SAMPLE_SCHEMA)


def content_ids(samples: pa.RecordBatch) -> pa.Array:
    """The ids that `sample_table` gives to samples of this content.

    >>> table = sample_table(input=pa.chunked_array([["a"]]), expected=pa.chunked_array([["b"]]))
    >>> content_ids(table.to_batches()[0]).equals(table["id"].chunk(0))
    True
    """
    input, expected, context, messages = (
        pa.chunked_array([samples[name]]) for name in ("input", "expected", "context", "messages")
    )
    metadata = samples["metadata"]
    # A slice of a map column has its own offsets into keys and values of the whole.
    first, last = metadata.offsets[0].as_py(), metadata.offsets[-1].as_py()
    pairs = _pairs(metadata.keys[first:last], metadata.items[first:last])
    of_row = pa.ListArray.from_arrays(pc.subtract(metadata.offsets, first), pairs)
    joined = pc.if_else(pc.equal(pc.list_value_length(of_row), 0), None, pc.binary_join(of_row, "\0"))
    return _content_ids(input, expected, context, messages, [pa.chunked_array([joined])])


def _null_if_blank(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    return pc.if_else(blank, pa.scalar(None, pa.string()), texts)


def _content_ids(
    input: pa.ChunkedArray,
    expected: pa.ChunkedArray,
    context: pa.ChunkedArray,
    messages: pa.ChunkedArray,
    pairs: Sequence[pa.ChunkedArray],
) -> pa.Array:
    # NUL separates the parts without ambiguity: validation refuses text that holds one.
    content = pc.binary_join_element_wise(
        input, expected, pc.fill_null(context, ""), messages, *pairs, "\0", null_handling="skip"
    )
    digests = b"".join([digest for chunk in content.chunks for digest in _digests(chunk)])
    offsets = np.arange(len(content) + 1, dtype=np.int32) * (2 * _ID_BYTES)
    return pa.StringArray.from_buffers(len(content), pa.py_buffer(offsets), pa.py_buffer(digests.hex().encode()))


def _pairs(names: str | pa.Array, texts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    return pc.binary_join_element_wise(names, texts, "\0")


_ID_BYTES = 16


def _digests(texts: pa.StringArray) -> list[bytes]:
    """The first bytes of each text's SHA-256, taken where the text lies in Arrow's memory."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    content = memoryview(data or b"")
    return [hashlib.sha256(content[start:end]).digest()[:_ID_BYTES] for start, end in pairwise(ends)]


def _map_column(columns: Mapping[str, pa.ChunkedArray], length: int) -> pa.Array:
    """One map a row out of one column a key, null values left out, without a loop over the rows."""
    if not columns:
        offsets = pa.array(np.zeros(length + 1, dtype=np.int32))
        return pa.MapArray.from_arrays(offsets, pa.array([], pa.string()), pa.array([], pa.string()))
    present = np.column_stack([texts.is_valid().to_numpy() for texts in columns.values()])
    rows, keys = np.nonzero(present)
    values = pa.chunked_array([chunk for texts in columns.values() for chunk in texts.chunks], pa.string())
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int32)
    return pa.MapArray.from_arrays(
        pa.array(offsets),
        pa.array(list(columns), pa.string()).take(pa.array(keys)),
        values.take(pa.array(keys * length + rows)).combine_chunks(),
    )
