"""Splits by hash: a row's split follows from its own group and the seed, never from the other rows.

Three things hold at once:

- a group never straddles two splits;
- an input (normalised) never straddles two splits, whatever groups its rows are in;
- rows appended to a file move no row that was there before.

For the second and third to hold together a row that would bridge two splits has to go: where an input occurs
in groups of different splits, it belongs to the split of its first row, and its later rows in other splits
are dropped and counted. (Merging such groups instead would move one of them whenever a new row joins two old
groups, and chains data with common inputs, say "hello", into one huge group.)
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.deduplication import codes_of
from llmops.data.samples import normalised
from llmops.errors import InputError


@dataclass(frozen=True)
class Assignment:
    """Rows with their split, the number of bridging rows dropped, and the splits that the hash left empty."""

    table: pa.Table
    bridging: int
    filled: tuple[str, ...]


def assign_splits(table: pa.Table, shares: Mapping[str, float], seed: int) -> Assignment:
    """Give every row a split; the shares (of groups, in proportion to their sum) are met on average.

    With few groups the hash may leave a split empty: then the group whose hash lies nearest to that split's
    range is put there, and `filled` names the split. This is the one case in which rows added later can move
    an old row (the group goes back once the split has groups of its own); with 100 groups at 80/10/10 its
    chance is below 0.01 %.

    Raises:
        InputError: there are fewer groups than splits, or a split is empty without its bridging rows.
    """
    groups = table["group"].combine_chunks().dictionary_encode()
    if len(groups.dictionary) < len(shares):
        raise InputError(
            f"{len(groups.dictionary)} group(s) cannot fill the splits {', '.join(shares)}: "
            "a group never straddles two splits, so add rows of other groups or map another group column"
        )
    places = _places(groups.dictionary, seed)
    edges = np.concatenate([[0.0], np.cumsum(list(shares.values()))]) / sum(shares.values())
    split_of_group = np.searchsorted(edges[1:-1], places, side="right")
    filled = _fill_empty(split_of_group, places, edges)
    split = split_of_group[groups.indices.to_numpy(zero_copy_only=False)]

    inputs = codes_of(normalised(table["input"]))
    first_row = np.unique(inputs, return_index=True)[1]
    kept = split == split[first_row][inputs]
    names = list(shares)
    for index, name in enumerate(names):
        if not np.any(split[kept] == index):
            raise InputError(
                f"the split {name} is empty: the inputs of its groups all occur in another split too; "
                "choose another seed or map another group column"
            )
    column = pa.array(names, pa.string()).take(pa.array(split[kept]))
    rows = table.filter(pa.array(kept))
    rows = rows.set_column(rows.schema.get_field_index("split"), "split", column)
    return Assignment(rows, int(len(kept) - kept.sum()), tuple(names[index] for index in filled))


def drop_leaked(source: pa.Table, test: pa.Table) -> tuple[pa.Table, int]:
    """Drop the source rows whose group or normalised input occurs among the test rows, and count them."""
    same_group = pc.is_in(source["group"], pc.unique(test["group"]))
    same_input = pc.is_in(normalised(source["input"]), pc.unique(normalised(test["input"])))
    kept = source.filter(pc.invert(pc.or_(same_group, same_input)))
    return kept, len(source) - len(kept)


def subset(table: pa.Table, size: int, seed: int) -> pa.Table:
    """The `size` rows with the smallest hash of seed and id, in their old order: the same rows in every
    run."""
    if len(table) <= size:
        return table
    chosen = np.argsort(_places(table["id"], seed), kind="stable")[:size]
    return table.take(pa.array(np.sort(chosen)))


def _places(names: pa.Array, seed: int) -> np.ndarray:
    """A place in [0, 1) for each name, even over the names and independent between seeds."""
    salt = f"{seed}\0".encode()
    hashes = [int.from_bytes(hashlib.sha256(salt + name.encode()).digest()[:6]) for name in names.to_pylist()]
    return np.array(hashes, dtype=np.float64) / 2**48


def _fill_empty(split_of_group: np.ndarray, places: np.ndarray, edges: np.ndarray) -> list[int]:
    """Move one group into each empty split, in place: the nearest of those that do not leave theirs empty."""
    count = len(edges) - 1
    empty = [index for index in range(count) if not np.any(split_of_group == index)]
    for index in empty:
        sizes = np.bincount(split_of_group, minlength=count)
        distance = np.maximum(edges[index] - places, places - edges[index + 1])
        distance[sizes[split_of_group] < 2] = np.inf
        split_of_group[int(np.argmin(distance))] = index
    return empty
