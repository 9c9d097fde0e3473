"""Which rows are kept, and in which split: every decision of a preparation, made on the keys of the rows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from llmops.data.duplicates.deduplication import (
    content_keys,
    distinct,
    exact_repeats,
    preference,
    prompt_texts,
    question_texts,
    text_keys,
)
from llmops.data.duplicates.near_duplicates import (
    Part,
    SimilarPairs,
    TextsOf,
    near_twins,
    similar_pairs,
    twin_pairs,
    whole_texts,
)
from llmops.data.duplicates.shingles import scrambled
from llmops.data.findings import raise_errors
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.dropped_rows import RowsLeft
from llmops.data.preparation.examination import Rows
from llmops.data.preparation.spill import Spill
from llmops.data.samples import SPLITS
from llmops.data.splits.assignment import SplitKeys, assign, leaked, straddling, subset
from llmops.data.validation.checks import too_few
from llmops.errors import InputError

NO_PAIRS = SimilarPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True)
class Selection:
    """The split of every row in the order of `SPLITS` (int8; −1: dropped), and how it came about.

    Attributes:
        codes: one a row.
        left: which rows were dropped, and why.
        filled: splits that the hash left empty, into which a group was moved.
        cutoffs: of a split by time, the first moment of validation and of test, in seconds.
    """

    codes: np.ndarray
    left: RowsLeft
    filled: tuple[str, ...]
    cutoffs: tuple[float, ...]


def select(
    rows: Rows,
    spill: Spill,
    config: PreparationConfig,
    *,
    faulty: np.ndarray,
    quality: np.ndarray,
    held_out: np.ndarray,
    previous: Iterable[pa.RecordBatch] | None,
    source: str,
) -> Selection:
    """Drop what must go and give every other row its split.

    Args:
        rows: the keys of all rows.
        spill: the rows themselves, to verify what the keys say is similar.
        config: how.
        faulty: numbers of the rows with errors.
        quality: of every row, for `keep="best"`.
        held_out: True for the rows of a separate test source, which are the test split.
        previous: the samples of the version before; such as occur again keep their split.
        source: what it is called in an error.

    Raises:
        InputError: fewer than 10 distinct examples are left; a split would be empty.
    """
    left = RowsLeft(len(rows))
    left.drop("faulty", faulty)
    _require_what_splits_need(rows, left, config, held_out, source)
    pinned = _pinned(rows, previous)
    rank = preference(
        len(rows),
        config.duplicates.keep,
        lengths=rows.numbers["input_words"] + rows.numbers["expected_words"],
        quality=quality,
        pinned=pinned,
    )
    _drop_repeats(left, rows, rank, held_out)
    if config.duplicates.near:
        _drop_twins(left, rows, spill, config, rank, held_out)
    _require_enough(np.count_nonzero(left.mask & ~held_out), source)

    keys = SplitKeys(
        group=rows.numbers["group"],
        place=rows.numbers["place"],
        input=rows.numbers["question"],
        stratum=_classes(rows.numbers.get("stratum")),
        time=rows.numbers.get("time"),
        pinned=pinned,
    )
    pairs = _similar_inputs(left, rows, spill, config, rank)
    if held_out.any():
        _drop_leaked(left, keys, pairs, held_out)
        _require_enough(
            np.count_nonzero(left.mask & ~held_out), f"{source} without the rows that are also in the test source"
        )
    if config.max_rows is not None:
        candidates = np.flatnonzero(left.mask & ~held_out)
        chosen = subset(rows.numbers["id_place"][candidates], config.max_rows)
        left.drop("left out", np.delete(candidates, chosen))
    return _split(left, keys, pairs, config, held_out)


def _split(
    left: RowsLeft, keys: SplitKeys, pairs: SimilarPairs, config: PreparationConfig, held_out: np.ndarray
) -> Selection:
    shares = dict(zip(SPLITS, config.ratios, strict=True))
    if held_out.any():
        del shares["test"]
    kept = np.flatnonzero(left.mask & ~held_out)
    own = keys.take(kept)
    if held_out.any() and own.pinned is not None:
        own = replace(own, pinned=np.where(own.pinned < len(shares), own.pinned, -1).astype(np.int8))
    assigned = assign(own, _among(pairs, keys, kept), shares, config.split)
    codes = np.full(len(keys), -1, dtype=np.int8)
    codes[kept] = assigned.codes
    bridging = np.flatnonzero(assigned.codes < 0)
    left.drop("bridging", kept[bridging], kept[assigned.clash[bridging]])
    codes[held_out & left.mask] = SPLITS.index("test")
    final = left.numbers
    leaks = straddling(codes[final], keys.take(final), _among(pairs, keys, final))
    if len(leaks):
        raise AssertionError(f"{len(leaks)} pairs of rows straddle two splits: {leaks}")
    return Selection(codes, left, assigned.filled, assigned.cutoffs)


def _pinned(rows: Rows, previous: Iterable[pa.RecordBatch] | None) -> np.ndarray | None:
    """The split that the same content in the same group has in the version before; −1 where it is new."""
    if previous is None:
        return None
    keys, codes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int8)]
    for batch in previous:
        table = pa.Table.from_batches([batch])
        keys.append(_content_in_group(content_keys(table), text_keys(table["group"])))
        codes.append(np.array([SPLITS.index(split) for split in table["split"].to_pylist()], dtype=np.int8))
    known, first = np.unique(np.concatenate(keys), return_index=True)
    if not len(known):
        return None
    content = _content_in_group(rows.numbers["content"], rows.numbers["group"])
    place = np.minimum(np.searchsorted(known, content), len(known) - 1)
    return np.where(known[place] == content, np.concatenate(codes)[first[place]], -1).astype(np.int8)


def _content_in_group(content: np.ndarray, group: np.ndarray) -> np.ndarray:
    # A row of an old content in another group is a new row: pinned, it would pull that whole group with it.
    return scrambled(content + scrambled(group))


def _classes(keys: np.ndarray | None) -> np.ndarray | None:
    return None if keys is None else np.unique(keys, return_inverse=True)[1].astype(np.int32)


def _drop_repeats(left: RowsLeft, rows: Rows, rank: np.ndarray, held_out: np.ndarray) -> None:
    # A repeat of a test row in the source is no repeat but a leak.
    for part in (~held_out, held_out):
        some = np.flatnonzero(left.mask & part)
        found = exact_repeats(rows.numbers["content"][some], rank[some])
        left.drop("exact repeat", some[found.rows], some[found.kept], found.similarity)


def _drop_twins(
    left: RowsLeft, rows: Rows, spill: Spill, config: PreparationConfig, rank: np.ndarray, held_out: np.ndarray
) -> None:
    def texts_of(name: str) -> TextsOf:
        return lambda some: spill.take(some, [name])[name]

    parts: list[Part] = [(rows.numbers[name], texts_of(name)) for name in ("input", "expected", "context")]
    parts.append((rows.numbers["prompt"], lambda some: prompt_texts(spill.take(some, ["messages"]))))
    pairs = twin_pairs(
        rows.numbers["whole_bands"],
        lambda some: whole_texts(spill.take(some, ["input", "expected", "context", "messages"])),
        parts,
        config.duplicates,
        np.flatnonzero(left.mask & ~held_out & ~rows.numbers["verbatim"]),
        rank,
    )
    found = near_twins(pairs, rank)
    left.drop("near duplicate", found.rows, found.kept, found.similarity)


def _similar_inputs(
    left: RowsLeft, rows: Rows, spill: Spill, config: PreparationConfig, rank: np.ndarray
) -> SimilarPairs:
    """Rows that ask something similar; of those that ask the same one stands for all."""
    if not config.duplicates.near:
        return NO_PAIRS
    return similar_pairs(
        rows.numbers["question_bands"],
        lambda some: question_texts(spill.take(some, ["input", "context"])),
        config.duplicates,
        distinct(rows.numbers["question"], left.numbers, rank),
        rank,
    )


def _among(pairs: SimilarPairs, keys: SplitKeys, some: np.ndarray) -> SimilarPairs:
    """The pairs as numbers within some rows, where any row of an input stands for it."""
    inputs, first = np.unique(keys.input[some], return_index=True)
    if not len(inputs):
        return NO_PAIRS
    wanted = keys.input[pairs.left], keys.input[pairs.right]
    places = [np.minimum(np.searchsorted(inputs, one), len(inputs) - 1) for one in wanted]
    there = np.logical_and(*(inputs[place] == one for place, one in zip(places, wanted, strict=True)))
    one, other = (first[place][there] for place in places)
    return SimilarPairs(np.minimum(one, other), np.maximum(one, other), pairs.similarity[there])


def _drop_leaked(left: RowsLeft, keys: SplitKeys, pairs: SimilarPairs, held_out: np.ndarray) -> None:
    some = left.numbers
    holder = leaked(keys.take(some), _among(pairs, keys, some), held_out[some])
    found = np.flatnonzero(holder >= 0)
    left.drop("leaked", some[found], some[holder[found]])


def _require_what_splits_need(
    rows: Rows, left: RowsLeft, config: PreparationConfig, held_out: np.ndarray, source: str
) -> None:
    known = rows.numbers.get("has_stratum")
    if known is not None and not known.any():
        raise InputError(f"{source}: no row has the metadata {config.split.by!r}; name another with split.by")
    if held_out.any() and not (left.mask & held_out).any():
        raise InputError("the test source has no row without errors; repair it")


def _require_enough(count: np.intp | int, source: str) -> None:
    raise_errors(too_few(int(count), source))
