"""Near duplicates: texts whose shingles overlap, found by MinHash and locality-sensitive hashing.

Every text gets a few band keys (`band_keys`); texts with a band key in common are candidates, and a candidate
counts only when the Jaccard index of the two sets of shingles, computed exactly, reaches the threshold. The
method: Broder 1997 (MinHash); Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3 (bands).

What may be missed: of pairs exactly at the threshold the bands find at least 98 % (see `rows_per_band`), of pairs
above it more. In a bucket of more than `COMPARED_IN_FULL` texts a text is compared with the first and the
preceding few only, so that the work stays in proportion to the rows however alike they are. A pair missed in a
large bucket has its other bands to be found in: where 60 % of every text is one template nothing more is lost, where
85 % is, 1 to 6 % of the pairs; and texts that are all twins of each other still all go but one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from llmops.data.duplicates.deduplication import Dropped, Keep
from llmops.data.duplicates.shingles import Shingles, scrambled, shingle_chunks, shingles

BANDS = 16
RECALL_AT_THRESHOLD = 0.98
COMPARED_IN_FULL = 32  # texts of a bucket that are compared with all before them
FIRST, PRECEDING = 3, 3  # what the others of the bucket are compared with
PAIRS_AT_ONCE = 1 << 13  # pairs whose texts are in memory at a time
CANDIDATES_AT_ONCE = 1 << 21

TextsOf = Callable[[np.ndarray], pa.ChunkedArray]
"""The texts of some rows, given by their numbers, ascending."""

Part = tuple[np.ndarray, TextsOf]
"""One part of all rows: keys that are equal where two rows have it in common (see `text_keys`), and its texts."""


class DuplicateConfig(BaseModel):
    """What counts as a near duplicate and which of two is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    near: bool = Field(default=True, description="Also drop near duplicates, not only exact repeats.")
    threshold: float = Field(default=0.8, ge=0.5, le=1.0, description="Jaccard index from which texts are similar.")
    shingles: Literal["word", "character"] = Field(
        default="word", description="Characters suit languages without blanks; short structured text they chain."
    )
    shingle_size: int = Field(default=3, ge=1, le=20, description="Words or characters in a shingle.")
    keep: Keep = Field(default="first", description="Which of two duplicates stays; best is by quality.")


@dataclass(frozen=True)
class SimilarPairs:
    """Pairs of rows (``left < right``) with the Jaccard index of their shingles, ordered by right, then left."""

    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        return len(self.left)


def whole_texts(table: pa.Table | pa.RecordBatch) -> pa.ChunkedArray:
    """All that each row says: input and expected, or the whole conversation with its tools, and the context."""
    plain = pc.binary_join_element_wise(table["input"], table["expected"], "\n")
    said = pc.coalesce(table["messages"], plain)
    return pc.binary_join_element_wise(said, table["context"], "\n", null_handling="skip")


def taken_verbatim(table: pa.Table) -> np.ndarray:
    """Which rows (bool) have no near duplicates.

    A call with another argument is another answer, however alike the rest; and so are other weights, by which a
    conversation says what of it is learnt.
    """
    small_but_real = pc.match_substring_regex(table["messages"], '"(?:tool_calls|weight)":')
    return np.asarray(pc.fill_null(small_but_real, False).to_numpy())


def rows_per_band(threshold: float) -> int:
    """MinHash values in a band: as many as leave a pair at the threshold its 98 % chance to share one of 16 bands.

    Two texts of similarity s share a band of r values with probability s^r, and any of b bands with probability
    1 - (1 - s^r)^b.

    >>> rows = rows_per_band(0.8)
    >>> rows, *(round(1 - (1 - s**rows) ** BANDS, 4) for s in (0.3, 0.5, 0.8, 0.9))
    (6, 0.0116, 0.2227, 0.9923, 1.0)
    """
    rows = 1
    while rows < 32 and 1 - (1 - threshold ** (rows + 1)) ** BANDS >= RECALL_AT_THRESHOLD:
        rows += 1
    return rows


def band_keys(texts: pa.Array | pa.ChunkedArray, config: DuplicateConfig) -> np.ndarray:
    """Keys (uint64, one row a text, 16 columns) such that similar texts share at least one in the same column.

    >>> texts = pa.array(["a fox jumps over the lazy dog", "A fox jumps over the lazy dog!", "no such thing"])
    >>> keys = band_keys(texts, DuplicateConfig())
    >>> keys.shape, bool((keys[0] == keys[1]).all()), bool((keys[0] == keys[2]).any())
    ((3, 16), True, False)
    """
    factors, shifts = _permutations(BANDS * rows_per_band(config.threshold))
    parts = [
        _bands(_signatures(chunk, factors, shifts))
        for chunk in shingle_chunks(texts, config.shingles, config.shingle_size)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, BANDS), np.uint64)


def _permutations(count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(20)
    return random.integers(0, 1 << 31, count, np.uint32) * 2 + 1, random.integers(0, 1 << 32, count, np.uint32)


def _signatures(chunk: Shingles, factors: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """The least of the permuted hashes of each row, one line a permutation; without shingles the greatest number.

    An odd factor and a shift permute the 32-bit numbers. (A signature of ours costs what one of rensa costs, which
    hands its own over as Python lists, at five times the price.)
    """
    starts, ends = chunk.offsets[:-1], chunk.offsets[1:]
    filled = starts < ends
    signatures = np.full((len(factors), len(starts)), 0xFFFFFFFF, np.uint32)
    if not filled.any():
        return signatures
    hashes = (chunk.hashes >> np.uint64(32)).astype(np.uint32)
    permuted = np.empty_like(hashes)
    for line, factor, shift in zip(signatures, factors, shifts, strict=True):
        np.multiply(hashes, factor, out=permuted)
        np.bitwise_xor(permuted, shift, out=permuted)
        line[filled] = np.minimum.reduceat(permuted, starts[filled])
    return signatures


def _bands(signatures: np.ndarray) -> np.ndarray:
    rows = len(signatures) // BANDS
    keys = np.zeros((BANDS, signatures.shape[1]), np.uint64)
    for place in range(rows):
        keys = scrambled(keys ^ signatures[place::rows]) if place else signatures[::rows].astype(np.uint64)
    return np.ascontiguousarray(scrambled(keys + np.uint64(1)).T)


def similar_pairs(
    bands: np.ndarray,
    texts_of: TextsOf,
    config: DuplicateConfig,
    rows: np.ndarray | None = None,
    rank: np.ndarray | None = None,
) -> SimilarPairs:
    """All pairs of similar texts, but for what the bands miss (see above).

    Args:
        bands: `band_keys` of every row.
        texts_of: the texts that the keys were made of.
        config: with the shingles and the threshold that the keys were made with.
        rows: consider only these, by number, ascending; all when left out.
        rank: of each row of `bands`, the order in which texts meet in a large bucket (see `preference`): those of
            low rank are compared with all others. The rows' own order when left out. Pairs among the rows up to
            any rank do not depend on the rows after it.
    """
    return _verified(bands, lambda left, right: _jaccard(texts_of, left, right, config), config, rows, rank)


def twin_pairs(
    bands: np.ndarray,
    texts_of: TextsOf,
    parts: Sequence[Part],
    config: DuplicateConfig,
    rows: np.ndarray | None = None,
    rank: np.ndarray | None = None,
) -> SimilarPairs:
    """Pairs of near twins: the whole texts are similar, and each part of them is equal or similar by itself.

    So a long part in common hides no difference in a short one: two questions about one passage are no twins, nor are
    two class labels of one input. A part with fewer words than a shingle has (and any of one word) must be equal:
    of a text so short, what a shingle leaves out is as much as what it holds ("1" and "-1").

    Args:
        bands: `band_keys` of `whole_texts` of every row.
        texts_of: the whole texts of rows.
        parts: what must be alike by itself: input, expected, context, and `prompt_texts`.
        config: as for `similar_pairs`, and likewise the other arguments.
    """

    def similarity(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found = _jaccard(texts_of, left, right, config)
        for keys, part_of in parts:
            other = np.flatnonzero((found >= _least(config)) & (keys[left] != keys[right]))
            if len(other):
                alike = _jaccard(part_of, left[other], right[other], config, shortest=max(config.shingle_size, 2))
                found[other[alike < _least(config)]] = 0
        return found

    return _verified(bands, similarity, config, rows, rank)


def near_twins(pairs: SimilarPairs, rank: np.ndarray) -> Dropped:
    """Which row of each pair goes, and for whom: in the order of `rank`, a row is dropped for the first kept twin.

    Every dropped row is similar to the very row it was dropped for; likeness is not passed on along a chain.

    >>> pairs = SimilarPairs(np.array([0, 1]), np.array([1, 2]), np.array([0.9, 0.8], np.float32))
    >>> dropped = near_twins(pairs, np.array([0, 1, 2]))
    >>> dropped.rows.tolist(), dropped.kept.tolist()
    ([1], [0])
    """
    swap = rank[pairs.left] > rank[pairs.right]
    better, worse = np.where(swap, pairs.right, pairs.left), np.where(swap, pairs.left, pairs.right)
    order = np.lexsort((rank[better], rank[worse]))
    kept_of: dict[int, int] = {}
    pair_of: dict[int, int] = {}
    for pair, keep, drop in zip(order.tolist(), better[order].tolist(), worse[order].tolist(), strict=True):
        if keep not in kept_of and drop not in kept_of:
            kept_of[drop], pair_of[drop] = keep, pair
    rows = np.array(sorted(kept_of), np.int64)
    kept = np.array([kept_of[row] for row in rows.tolist()], np.int64)
    return Dropped(rows, kept, pairs.similarity[[pair_of[row] for row in rows.tolist()]])


def _verified(
    bands: np.ndarray,
    similarity: Callable[[np.ndarray, np.ndarray], np.ndarray],
    config: DuplicateConfig,
    rows: np.ndarray | None,
    rank: np.ndarray | None,
) -> SimilarPairs:
    """The candidates that reach the threshold, verified a part at a time."""
    codes, values = [np.zeros(0, np.uint64)], [np.zeros(0, np.float32)]
    for part in _candidates(bands, rows, rank):
        for start in range(0, len(part), PAIRS_AT_ONCE):
            some = part[start : start + PAIRS_AT_ONCE]
            found = similarity(*_rows_of(some))
            similar = found >= _least(config)
            codes.append(some[similar])
            values.append(found[similar])
    code, first = np.unique(np.concatenate(codes), return_index=True)
    left, right = _rows_of(code)
    return SimilarPairs(left, right, np.concatenate(values)[first])


def _least(config: DuplicateConfig) -> float:
    return config.threshold - 1e-6  # a float32 at the threshold may lie below it


def _rows_of(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (codes & np.uint64(0xFFFFFFFF)).astype(np.int64), (codes >> np.uint64(32)).astype(np.int64)


def _candidates(bands: np.ndarray, rows: np.ndarray | None, rank: np.ndarray | None) -> Iterator[np.ndarray]:
    """Pairs of rows that share a band, as sorted codes (right row in the high half), some of them twice."""
    waiting: list[np.ndarray] = []
    for band in range(bands.shape[1]):
        members, place = _buckets(bands[:, band], rows, rank)
        for one, other in _meetings(members, place):
            left, right = np.minimum(one, other), np.maximum(one, other)
            waiting.append((right.astype(np.uint64) << np.uint64(32)) | left.astype(np.uint64))
            if sum(map(len, waiting)) >= CANDIDATES_AT_ONCE:
                yield np.unique(np.concatenate(waiting))
                waiting = []
    if waiting:
        yield np.unique(np.concatenate(waiting))


def _buckets(keys: np.ndarray, rows: np.ndarray | None, rank: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The rows that share their key with another, bucket by bucket and by rank within, and their place there."""
    keys = np.ascontiguousarray(keys) if rows is None else keys[rows]
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(keys)
    ordered = keys[order]
    same = np.zeros(len(keys) + 1, bool)
    same[1:-1] = ordered[1:] == ordered[:-1]
    shared = same[1:] | same[:-1]
    members, ordered = order[shared], ordered[shared]
    members = members if rows is None else rows[members]
    within = np.lexsort((members if rank is None else rank[members], ordered))
    members = members[within]
    begins = np.flatnonzero(~same[:-1][shared])
    sizes = np.diff(np.append(begins, len(members)))
    return members, np.arange(len(members)) - np.repeat(begins, sizes)


def _meetings(members: np.ndarray, place: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Whom each row of a bucket is compared with; depends on its place in the bucket, not on who comes after."""
    index = np.arange(len(members))
    for back in range(1, COMPARED_IN_FULL + 1):
        late = index[(place >= back) & ((place <= COMPARED_IN_FULL) | (back <= PRECEDING))]
        yield members[late], members[late - back]
    for number in range(FIRST):
        late = index[place > COMPARED_IN_FULL]
        yield members[late], members[late - place[late] + number]


def _jaccard(
    texts_of: TextsOf, left: np.ndarray, right: np.ndarray, config: DuplicateConfig, shortest: int = 1
) -> np.ndarray:
    """The exact Jaccard index of the shingles of each pair (float32); 0 where one has fewer than `shortest` units."""
    from scipy.sparse import csr_array

    rows = np.union1d(left, right)
    found = shingles(texts_of(rows), config.shingles, config.shingle_size)
    hashes = (found.hashes >> np.uint64(2)).astype(np.int64)
    sets = csr_array((np.ones(len(hashes), np.int32), hashes, found.offsets), shape=(len(rows), 1 << 62))
    sets.sum_duplicates()
    sets.data[:] = 1
    sizes = np.diff(sets.indptr)
    long = found.units >= shortest
    left, right = np.searchsorted(rows, left), np.searchsorted(rows, right)
    common = np.asarray(sets[left].multiply(sets[right]).sum(axis=1)).ravel()
    together = sizes[left] + sizes[right] - common
    index: np.ndarray = (long[left] & long[right]) * (common / np.maximum(together, 1)).astype(np.float32)
    return index
