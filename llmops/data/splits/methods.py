"""Where each method of splitting would put a row, before groups and similar inputs have their say (see `splits`)."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from llmops.data.splits.ties import Ties
from llmops.data.splits.times import time_keys
from llmops.errors import InputError

if TYPE_CHECKING:
    from llmops.data.splits.assignment import SplitConfig


def hashed(place: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The split in whose range of [0, 1) each place lies."""
    return np.searchsorted(edges[1:-1], place, side="right")


def stratified(
    stratum: np.ndarray | None, groups: np.ndarray, place: np.ndarray, pinned: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """New groups, in the order of their hashes, each into the split that is farthest below its share.

    What is missing is counted in rows, within the stratum and over all strata together, so that classes of one or
    two rows do not all end in one split. Groups with a pinned row stay in its split and count from the start.
    """
    if stratum is None:
        raise ValueError("the method stratified needs the stratum of each row")
    count = groups.max(initial=-1) + 1
    first = np.full(count, 0)
    first[groups[::-1]] = np.arange(len(groups))[::-1]
    sizes = np.bincount(groups, minlength=count)
    of_group = np.full(count, -1)
    of_group[groups[pinned >= 0]] = pinned[pinned >= 0]
    shares = np.diff(edges).tolist()
    splits = range(len(shares))
    counts = np.zeros((int(stratum.max(initial=0)) + 1, len(shares)))
    old = np.flatnonzero(of_group >= 0)
    np.add.at(counts, (stratum[first[old]], of_group[old]), sizes[old])
    total, by_stratum = counts.sum(axis=0).tolist(), counts.tolist()
    new = np.flatnonzero(of_group < 0)
    new = new[np.argsort(place[first[new]], kind="stable")]
    chosen: list[int] = []
    for size, own in zip(sizes[new].tolist(), stratum[first[new]].tolist(), strict=True):
        here = by_stratum[own]
        rows, all_rows = sum(here) + size, sum(total) + size
        missing = [shares[split] * (rows + all_rows) - here[split] - total[split] for split in splits]
        split = missing.index(max(missing))
        here[split] += size
        total[split] += size
        chosen.append(split)
    of_group[new] = chosen
    of_row: np.ndarray = of_group[groups]
    return of_row


def timed(
    time: np.ndarray | None, pinned: np.ndarray, edges: np.ndarray, config: "SplitConfig"
) -> tuple[np.ndarray, tuple[float, ...]]:
    """The split of each row by its time, and the cutoffs.

    The cutoffs are those of the configuration, or those of the parent version (the first moment of each of its
    splits), or such that the shares are met; rows of one moment are never parted.
    """
    if time is None or np.isnan(time).any():
        raise ValueError("the method time needs the time of each row")
    wanted = len(edges) - 2
    if config.cutoffs is not None:
        cutoffs = time_keys(pa.array(config.cutoffs, pa.string()))
        if np.isnan(cutoffs).any():
            faulty = config.cutoffs[int(np.flatnonzero(np.isnan(cutoffs))[0])]
            raise InputError(f"split.cutoffs: {faulty!r:.60} is no time; write an ISO 8601 date or a number")
        if len(cutoffs) != wanted or np.any(np.diff(cutoffs) < 0):
            raise InputError(f"split.cutoffs: {wanted + 1} splits need {wanted} ascending cutoff(s)")
    elif all(np.any(pinned == split) for split in range(1, wanted + 1)):
        cutoffs = np.array([time[pinned == split].min() for split in range(1, wanted + 1)])
    else:
        ordered = np.sort(time)
        cutoffs = ordered[np.minimum((edges[1:-1] * len(time)).round().astype(int), len(time) - 1)]
    return np.searchsorted(cutoffs, time, side="right"), tuple(cutoffs.tolist())


def fill_empty(codes: np.ndarray, ties: Ties, place: np.ndarray, pinned: np.ndarray, edges: np.ndarray) -> list[int]:
    """Move one component (rows tied together) into each empty split, in place: the nearest that can be spared.

    It may hold no pinned row, nor leave its own split empty.
    """
    splits = len(edges) - 1
    empty = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=splits) == 0).tolist()
    if not empty:
        return []
    _, first, member = np.unique(ties.components(), return_index=True, return_inverse=True)
    kept = codes >= 0
    for split in empty:
        low, high = np.full(len(first), splits), np.full(len(first), -1)
        np.minimum.at(low, member[kept], codes[kept])
        np.maximum.at(high, member[kept], codes[kept])
        movable = low == high
        spare = np.bincount(low[movable], minlength=splits)
        movable[member[pinned >= 0]] = False
        movable &= spare[np.minimum(low, splits - 1)] > 1
        distance = np.maximum(edges[split] - place[first], place[first] - edges[split + 1])
        distance[~movable] = np.inf
        nearest = int(np.argmin(distance))
        if np.isfinite(distance[nearest]):
            codes[(member == nearest) & kept] = split
    return [split for split in empty if np.any(codes == split)]
