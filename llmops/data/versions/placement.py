"""Where added samples go: beside what they are tied to among the samples that are there, or where the shares say.

A row that is there already, exactly or nearly, is dropped. The others take the split of their group, of equal
questions (see `question_keys`) and of similar ones; where there is none, the shares decide by the hash of the group. A
row tied to two splits would bridge them and is dropped. All this is as in a preparation (`splits.ties`) whose earlier
rows stay.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.duplicates.deduplication import (
    content_keys,
    distinct,
    exact_repeats,
    preference,
    prompt_texts,
    question_keys,
    question_texts,
    text_keys,
)
from llmops.data.duplicates.near_duplicates import (
    DuplicateConfig,
    Part,
    SimilarPairs,
    band_keys,
    near_twins,
    similar_pairs,
    taken_verbatim,
    twin_pairs,
    whole_texts,
)
from llmops.data.samples import SAMPLE_SCHEMA, SPLITS, normalised
from llmops.data.splits.assignment import places
from llmops.data.splits.methods import hashed
from llmops.data.splits.ties import Ties, key_codes, settle


@dataclass(frozen=True)
class Placed:
    """Samples with their split, and how many of those given are not among them.

    Attributes:
        samples: what is added.
        repeats: were there already, or were given before.
        twins: said nearly what another sample says.
        bridging: would have bridged two splits.
    """

    samples: pa.Table
    repeats: int
    twins: int
    bridging: int


def place(
    added: pa.Table,
    existing: Iterable[pa.RecordBatch],
    retired: pa.Array,
    *,
    shares: Mapping[str, float],
    seed: int,
    duplicates: DuplicateConfig,
) -> Placed:
    """Give added samples their split beside existing ones, of which those stay in memory that may be tied to them.

    Args:
        added: samples in `SAMPLE_SCHEMA`; a split they have does not matter.
        existing: batches of the samples that are there, each with its split.
        retired: ids of those that go: what takes their place goes where they were, and is no repeat of them.
        shares: of the splits, in proportion to their sum.
        seed: of the hash.
        duplicates: what counts as similar, and which of several added rows stays; where `near` is off, equal
            questions only.
    """
    added = added.select(SAMPLE_SCHEMA.names)
    if not len(added):
        return Placed(added, repeats=0, twins=0, bridging=0)
    new = _Rows.of(added, duplicates)
    rows = _Rows.joined([*_touching(new, existing, duplicates), new])
    known = len(rows) - len(new)
    repeats, twins = _said_already(rows, known, retired, duplicates)
    rows = rows.take(np.setdiff1d(np.arange(len(rows)), np.concatenate([repeats, twins])))
    codes = _splits(rows, known, shares, seed, duplicates)
    fits = np.flatnonzero(codes >= 0)
    column = SAMPLE_SCHEMA.get_field_index("split")
    splits = pa.array(SPLITS, pa.string()).take(pa.array(codes[fits]))
    samples = rows.table.take(pa.array(known + fits)).set_column(column, SAMPLE_SCHEMA.field(column), splits)
    return Placed(samples, repeats=len(repeats), twins=len(twins), bridging=len(codes) - len(fits))


@dataclass(frozen=True)
class _Rows:
    """Samples, and keys by name: `group`, `question`, `content`; where near duplicates count those of bands as well."""

    table: pa.Table
    keys: dict[str, np.ndarray]

    @classmethod
    def of(cls, table: pa.Table, config: DuplicateConfig) -> "_Rows":
        keys = _tying_keys(table, config)
        keys["content"] = content_keys(table)
        if config.near:
            keys["whole_bands"] = band_keys(whole_texts(table), config)
        return cls(table, keys)

    @classmethod
    def joined(cls, parts: list["_Rows"]) -> "_Rows":
        keys = {name: np.concatenate([part.keys[name] for part in parts]) for name in parts[0].keys}
        return cls(pa.concat_tables([part.table for part in parts]), keys)

    def take(self, rows: np.ndarray) -> "_Rows":
        return _Rows(self.table.take(pa.array(rows)), {name: keys[rows] for name, keys in self.keys.items()})

    def __len__(self) -> int:
        return len(self.table)


def _tying_keys(table: pa.Table, config: DuplicateConfig) -> dict[str, np.ndarray]:
    keys = {"group": text_keys(table["group"]), "question": question_keys(table)}
    return keys | {"question_bands": band_keys(question_texts(table), config)} if config.near else keys


def _touching(new: _Rows, existing: Iterable[pa.RecordBatch], config: DuplicateConfig) -> Iterator[_Rows]:
    """The existing samples that share a group, a question or a band of one with a new row.

    No other can hold a new row in its split, nor be its repeat or twin: the questions of twins are similar too.
    """
    for batch in existing:
        table = pa.Table.from_batches([batch]).select(SAMPLE_SCHEMA.names)
        shared = np.zeros(len(table), bool)
        for name, keys in _tying_keys(table, config).items():
            for column, wanted in zip(np.atleast_2d(keys.T), np.atleast_2d(new.keys[name].T), strict=True):
                shared |= np.isin(column, wanted)
        yield _Rows.of(table.filter(pa.array(shared)), config)


def _said_already(rows: _Rows, known: int, retired: pa.Array, config: DuplicateConfig) -> tuple[np.ndarray, np.ndarray]:
    """The new rows (numbered from `known`) that repeat a row that stays or one another: exactly, and nearly."""
    gone = pc.is_in(rows.table["id"], value_set=retired).to_numpy(zero_copy_only=False)
    gone[known:] = False
    left = np.flatnonzero(~gone)
    rank = _rank(rows.table, known, config)
    repeats = left[exact_repeats(rows.keys["content"][left], rank[left]).rows]
    repeats = repeats[repeats >= known]
    if not config.near:
        return repeats, repeats[:0]
    parts = [*map(rows.table.column, ("input", "expected", "context")), prompt_texts(rows.table)]
    pairs = twin_pairs(
        rows.keys["whole_bands"],
        lambda some: whole_texts(rows.table.take(pa.array(some))),
        [_part(texts) for texts in parts],
        config,
        np.setdiff1d(left, np.concatenate([repeats, np.flatnonzero(taken_verbatim(rows.table))])),
        rank,
    )
    return repeats, near_twins(_with_new(pairs, known), rank).rows


def _part(texts: pa.ChunkedArray) -> Part:
    return text_keys(normalised(texts)), lambda some: texts.take(pa.array(some))


def _rank(table: pa.Table, known: int, config: DuplicateConfig) -> np.ndarray:
    """Which of several duplicates stays, see `preference`: always the one that is there."""
    lengths = sum(pc.count_substring(normalised(table[name]), " ").to_numpy() for name in ("input", "expected"))
    quality = pc.fill_null(table["quality"], 0.0).to_numpy()
    pinned = np.where(np.arange(len(table)) < known, 0, -1)
    return preference(len(table), config.keep, lengths=lengths, quality=quality, pinned=pinned)


def _splits(rows: _Rows, known: int, shares: Mapping[str, float], seed: int, config: DuplicateConfig) -> np.ndarray:
    """The number of each new row's split in the order of `SPLITS`, −1 for one that is tied to two."""
    pinned = np.full(len(rows), -1, np.int8)
    pinned[:known] = pc.index_in(rows.table["split"].slice(0, known), value_set=pa.array(SPLITS)).to_numpy()
    edges = np.concatenate([[0.0], np.cumsum([shares.get(split, 0.0) for split in SPLITS])]) / sum(shares.values())
    wished = hashed(places(rows.table["group"], seed), edges)
    pairs = SimilarPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    if config.near:
        pairs = similar_pairs(
            rows.keys["question_bands"],
            lambda some: question_texts(rows.table.take(pa.array(some))),
            config,
            distinct(rows.keys["question"]),
        )
    ties = Ties(key_codes(rows.keys["group"]), key_codes(rows.keys["question"]), _with_new(pairs, known))
    return settle(wished, pinned, ties, None)[0][known:]


def _with_new(pairs: SimilarPairs, known: int) -> SimilarPairs:
    """The pairs that a new row is in: what is there stays as it is, whatever is found among it."""
    some = pairs.right >= known
    return SimilarPairs(pairs.left[some], pairs.right[some], pairs.similarity[some])
