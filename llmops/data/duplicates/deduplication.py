"""Exact repeats, and keys of rows: what is the same, however it is spaced or composed.

Two rows with the same content (input, expected text, context and conversation) are repeats; two with the same question
(input, context, and what a conversation sets before it: system prompt and tools) are references of each other.

Rows are compared by 64-bit keys (XXH3): of a million different rows two share one with a probability of 3 in
a hundred million. The keys serve within one run; nothing that is stored depends on them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.conversations import canonical_json
from llmops.data.duplicates.shingles import scrambled
from llmops.data.samples import normalised

Keep = Literal["first", "last", "longest", "best"]


@dataclass(frozen=True)
class Dropped:
    """Rows that go (ascending), the row that each of them goes for (which stays), and how similar the two are."""

    rows: np.ndarray
    kept: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def text_keys(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A key (uint64) for each text as it is; a null has the key of the empty text.

    >>> keys = text_keys(pa.array(["a", "b", "a", None, ""]))
    >>> keys[0] == keys[2], keys[0] == keys[1], keys[3] == keys[4]
    (np.True_, np.False_, np.True_)
    """
    from xxhash import xxh3_64_intdigest

    if not pc.sum(pc.binary_length(texts)).as_py():
        return np.full(len(texts), xxh3_64_intdigest(b""), np.uint64)
    return np.fromiter(map(xxh3_64_intdigest, text_bytes(texts)), np.uint64, len(texts))


def input_keys(batch: pa.Table) -> np.ndarray:
    """A key (uint64) for each row's normalised input."""
    return text_keys(normalised(batch["input"]))


def question_texts(batch: pa.Table) -> pa.ChunkedArray:
    """What each row asks: its input and, where it has one, its context on a line of its own."""
    return pc.binary_join_element_wise(batch["input"], batch["context"], "\n", null_handling="skip")


def prompt_texts(batch: pa.Table) -> pa.ChunkedArray:
    """The system messages and the tools of each row that is a conversation, empty for every other row.

    >>> messages = '{"messages":[{"role":"system","content":"Be brief."}],"tools":[{"name":"clock"}]}'
    >>> prompt_texts(pa.table({"messages": [messages, None]})).to_pylist()
    ['Be brief.\\n[{"name":"clock"}]', '']
    """
    messages = batch["messages"]
    # Within a text the quotation marks are escaped: only what may hold a prompt is parsed.
    some = pc.fill_null(pc.match_substring_regex(messages, '"(?:system|developer|tools)"'), False)
    rows = np.flatnonzero(some.to_numpy())
    texts = np.full(len(messages), "", object)
    for row, conversation in zip(rows.tolist(), messages.take(pa.array(rows)).to_pylist(), strict=True):
        texts[row] = _prompt(conversation)
    return pa.chunked_array([pa.array(texts, pa.string())])


_BEFORE_FIRST = '{"messages":['
_DECODER = json.JSONDecoder()


def _prompt(conversation: str) -> str:
    if '"tools"' in conversation:
        parsed = json.loads(conversation)
        first, tools = parsed["messages"][0], parsed.get("tools")
    else:  # Only the first message is the system's: a long conversation need not be parsed for it.
        first, tools = _DECODER.raw_decode(conversation, len(_BEFORE_FIRST))[0], None
    texts = [first["content"]] if first["role"] in ("system", "developer") else []
    return "\n".join([*texts, canonical_json(tools)] if tools else texts)


def question_keys(
    batch: pa.Table,
    input: np.ndarray | None = None,
    context: np.ndarray | None = None,
    prompt: np.ndarray | None = None,
) -> np.ndarray:
    """A key (uint64) for what each row asks: normalised input, context, and the system messages and tools.

    Args:
        batch: the rows.
        input: keys of their normalised inputs, where they are known already.
        context: likewise of their normalised contexts.
        prompt: likewise of their normalised `prompt_texts`.
    """
    keys = input_keys(batch) if input is None else input
    for other in (
        text_keys(normalised(batch["context"])) if context is None else context,
        text_keys(normalised(prompt_texts(batch))) if prompt is None else prompt,
    ):
        keys = scrambled(scrambled(keys) + other)
    return keys


def content_keys(batch: pa.Table, input: np.ndarray | None = None, expected: np.ndarray | None = None) -> np.ndarray:
    """A key (uint64) for what makes a row: normalised input, expected, context and messages.

    Metadata and group do not matter. One input with two different expected texts is no repeat: it has two
    references.

    Args:
        batch: the rows.
        input: keys of their normalised inputs, where they are known already.
        expected: likewise of their normalised expected texts.
    """
    keys = input_keys(batch) if input is None else input
    others = [text_keys(normalised(batch["expected"])) if expected is None else expected]
    others += [text_keys(normalised(batch[name])) for name in ("context", "messages")]
    for other in others:
        keys = scrambled(scrambled(keys) + other)
    return keys


def text_bytes(texts: pa.Array | pa.ChunkedArray) -> Iterator[memoryview]:
    """The UTF-8 bytes of each text, a view each."""
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    for chunk in chunks:
        column = chunk.cast(pa.large_string()).fill_null("")
        _, starts, data = column.buffers()
        offsets = np.frombuffer(starts, np.int64)[column.offset : column.offset + len(column) + 1].tolist()
        view = memoryview(data if data else b"")
        for start, end in pairwise(offsets):
            yield view[start:end]


def preference(
    rows: int,
    keep: Keep,
    *,
    lengths: np.ndarray | None = None,
    quality: np.ndarray | None = None,
    pinned: np.ndarray | None = None,
) -> np.ndarray:
    """The rank (int64) of each row among its duplicates: of two, the one of lower rank is kept.

    Args:
        rows: how many there are.
        keep: the first or last of the file, the longest (`lengths`, needed for it) or the best (`quality`, needed
            for it). Ties go to the first.
        pinned: -1 where the row is new. Rows of the parent version go before new ones whatever `keep` says, so
            that new rows replace none of them.

    >>> preference(3, "longest", lengths=np.array([5, 9, 9])).tolist()
    [2, 0, 1]
    """
    numbers = np.arange(rows)
    scores = {"first": -numbers, "last": numbers, "longest": lengths, "best": quality}[keep]
    if scores is None:
        raise ValueError(f"keep={keep} needs the {'lengths' if keep == 'longest' else 'quality'} of the rows")
    new = np.zeros(rows, bool) if pinned is None else pinned < 0
    rank = np.empty(rows, np.int64)
    rank[np.lexsort((numbers, -scores, new))] = numbers
    return rank


def exact_repeats(keys: np.ndarray, rank: np.ndarray | None = None) -> Dropped:
    """The rows to drop so that every key occurs once; of equal rows the one of the lowest rank stays.

    >>> dropped = exact_repeats(np.array([7, 8, 7, 7], np.uint64))
    >>> dropped.rows.tolist(), dropped.kept.tolist()
    ([2, 3], [0, 0])
    """
    order = np.lexsort((np.arange(len(keys)) if rank is None else rank, keys))
    ordered = keys[order]
    begins = np.concatenate([np.ones(1, bool), ordered[1:] != ordered[:-1]])[: len(keys)]
    stays = order[begins][np.cumsum(begins) - 1]
    rows, kept = order[~begins], stays[~begins]
    ascending = np.argsort(rows)
    return Dropped(rows[ascending], kept[ascending], np.ones(len(rows), np.float32))


def distinct(keys: np.ndarray, rows: np.ndarray | None = None, rank: np.ndarray | None = None) -> np.ndarray:
    """One row of each key, ascending, among some rows (ascending) or all: the first, or the one of the lowest rank.

    >>> distinct(np.array([7, 8, 7], np.uint64), np.array([1, 2])).tolist()
    [1, 2]
    """
    rows = np.arange(len(keys)) if rows is None else rows
    ordered = rows if rank is None else rows[np.argsort(rank[rows])]
    return np.sort(ordered[np.unique(keys[ordered], return_index=True)[1]])
