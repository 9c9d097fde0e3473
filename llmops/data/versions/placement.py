"""Where added samples go: to what they are tied to among the samples that are there, or where the shares say.

A row that is there already (see `content_keys`) is dropped. It goes into the split of its group, of equal inputs and of
similar inputs; where it is tied to none, the shares decide by the hash of its group, as preparation does. A row
tied to two splits would bridge them and is dropped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.duplicates.deduplication import content_keys, input_keys, text_keys
from llmops.data.duplicates.near_duplicates import DuplicateConfig, band_keys, similar_pairs
from llmops.data.samples import SAMPLE_SCHEMA
from llmops.data.splits.assignment import places


@dataclass(frozen=True)
class Placed:
    """Samples with their split, and how many of those given were repeats, or would have bridged two splits."""

    samples: pa.Table
    repeats: int
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
    """Give added samples their split beside existing ones, of which one batch at a time is in memory.

    Args:
        added: samples in `SAMPLE_SCHEMA`; a split they have does not matter.
        existing: batches of the samples that are there, each with its split.
        retired: ids of those that go: what takes their place goes where they were.
        shares: of the splits, in proportion to their sum.
        seed: of the hash.
        duplicates: what counts as similar; where `near` is off, equal inputs only.
    """
    contents, ties = content_keys(added), _Ties()
    inputs, groups = input_keys(added), text_keys(added["group"])
    near = _SimilarInputs(added["input"], duplicates) if duplicates.near else None
    known = [np.zeros(0, np.uint64)]
    for batch in existing if len(added) else ():
        table = pa.Table.from_batches([batch])
        keys, splits = input_keys(table), np.asarray(table["split"].to_pylist(), dtype=object)
        stays = pc.invert(pc.is_in(table["id"], value_set=retired))
        known.append(np.intersect1d(content_keys(table.filter(stays)), contents))
        ties.note(ties.groups, text_keys(table["group"]), splits, groups)
        ties.note(ties.inputs, keys, splits, inputs)
        if near is not None:
            near.note(table["input"], splits)
    first = np.sort(np.unique(contents, return_index=True)[1])
    fresh = first[~np.isin(contents[first], np.concatenate(known))]
    wished = _by_hash(added["group"].take(pa.array(fresh)), shares, seed)
    similar = near.of(fresh) if near is not None else {}
    settled = ties.settle(groups[fresh].tolist(), inputs[fresh].tolist(), similar, wished)
    column = SAMPLE_SCHEMA.get_field_index("split")
    samples = added.select(SAMPLE_SCHEMA.names).take(pa.array(fresh))
    samples = samples.set_column(column, SAMPLE_SCHEMA.field(column), pa.array(settled, pa.string()))
    samples = samples.filter(samples["split"].is_valid())
    return Placed(samples, repeats=len(added) - len(fresh), bridging=len(fresh) - len(samples))


def _by_hash(groups: pa.ChunkedArray, shares: Mapping[str, float], seed: int) -> list[str]:
    names = list(shares)
    edges = np.cumsum(list(shares.values())) / sum(shares.values())
    codes = np.searchsorted(edges[:-1], places(groups, seed), side="right")
    return [names[code] for code in codes.tolist()]


@dataclass
class _Ties:
    """The split of each group and input that added samples share with existing ones or with one another."""

    groups: dict[int, str] = field(default_factory=dict)
    inputs: dict[int, str] = field(default_factory=dict)

    def note(self, held: dict[int, str], keys: np.ndarray, splits: np.ndarray, wanted: np.ndarray) -> None:
        """Keep the split of each key that is wanted."""
        rows = np.flatnonzero(np.isin(keys, wanted))
        for key, split in zip(keys[rows].tolist(), splits[rows].tolist(), strict=True):
            held.setdefault(key, split)

    def settle(
        self, groups: list[int], inputs: list[int], similar: Mapping[int, list[str | int]], wished: list[str]
    ) -> list[str | None]:
        """The split of each row in order, None for one that would bridge two; an int in `similar` is an earlier row."""
        settled: list[str | None] = []
        for row, (group, text) in enumerate(zip(groups, inputs, strict=True)):
            tied = {self.groups.get(group), self.inputs.get(text)}
            tied.update(settled[one] if isinstance(one, int) else one for one in similar.get(row, ()))
            tied.discard(None)
            if len(tied) > 1:
                settled.append(None)
                continue
            split = tied.pop() if tied else wished[row]
            settled.append(split)
            if split is not None:
                self.groups.setdefault(group, split)
                self.inputs.setdefault(text, split)
        return settled


class _SimilarInputs:
    """Which existing samples, and which added ones, have an input similar to that of an added one."""

    def __init__(self, added: pa.ChunkedArray, config: DuplicateConfig) -> None:
        self.config = config
        self.added = added
        self.bands = band_keys(added, config)
        self._texts = [pa.array([], pa.string())]
        self._bands = [self.bands[:0]]
        self._splits: list[str] = []

    def note(self, inputs: pa.ChunkedArray, splits: np.ndarray) -> None:
        """Keep the existing samples that share a band with an added one: the others cannot be found similar."""
        bands = band_keys(inputs, self.config)
        shared = [np.isin(bands[:, band], self.bands[:, band]) for band in range(bands.shape[1])]
        rows = np.flatnonzero(np.any(shared, axis=0))
        self._texts += inputs.take(pa.array(rows)).chunks
        self._bands.append(bands[rows])
        self._splits += splits[rows].tolist()

    def of(self, fresh: np.ndarray) -> dict[int, list[str | int]]:
        """For each fresh row the splits of similar existing samples, and the numbers of similar rows before it."""
        if not len(fresh):
            return {}
        texts = pa.chunked_array([*self._texts, *self.added.take(pa.array(fresh)).chunks], pa.string())
        bands = np.concatenate([*self._bands, self.bands[fresh]])
        pairs = similar_pairs(bands, lambda rows: texts.take(pa.array(rows)), self.config)
        found: dict[int, list[str | int]] = {}
        there = len(self._splits)
        for left, right in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True):
            if right >= there:
                found.setdefault(right - there, []).append(self._splits[left] if left < there else left - there)
        return found
