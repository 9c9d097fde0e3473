"""Splits that never leak: a row's split follows from its group, its input and the rows before it, not from later ones.

Three things hold at once, and `straddling` proves them of every result:

- a group never straddles two splits;
- neither does an input (normalised), nor two similar inputs, whatever groups their rows are in;
- rows added later move no row that was there before.

So rows are taken in order, those of the parent version first. A row goes where its group is; a new group goes where
the first earlier row with an equal or similar input is; and where there is none, the hash of the group (or
the method's other rule) decides. A row that would thereby bridge two splits is dropped and reported. (Merging
what it bridges would move old rows, and chain data with common inputs, say "hello", into one huge group.)
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmops.data.duplicates.deduplication import text_bytes
from llmops.data.duplicates.near_duplicates import SimilarPairs
from llmops.data.splits.methods import fill_empty, hashed, stratified, timed
from llmops.data.splits.ties import Ties, key_codes, settle
from llmops.data.splits.times import time_text
from llmops.errors import InputError


class SplitConfig(BaseModel):
    """How new rows are shared out; groups and similar inputs stay together under every method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["hash", "stratified", "time"] = Field(
        default="hash", description="stratified meets the shares within each class; time puts the newest into test."
    )
    by: str | None = Field(
        default=None, description="The metadata key with the class (expected text when left out) or the time."
    )
    cutoffs: tuple[str, ...] | None = Field(
        default=None, description="The first moment of validation and of test, instead of one by the shares."
    )

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.method == "time" and self.by is None:
            raise ValueError("a split by time needs `by`, the metadata key that holds the time")
        if self.method != "time" and self.cutoffs is not None:
            raise ValueError("cutoffs belong to the method time")
        if self.method == "hash" and self.by is not None:
            raise ValueError("`by` belongs to the methods stratified and time")
        return self


@dataclass(frozen=True)
class SplitKeys:
    """What a split is decided by, one entry a row.

    Attributes:
        group: a key (uint64) for each group, see `text_keys`.
        place: the group's place in [0, 1), see `places`.
        input: a key (uint64) for each normalised input.
        stratum: the class (int32), for the method stratified; that of a group's first row counts for the group.
        time: seconds (float64, none NaN), for the method time, see `time_keys`.
        pinned: the split (int8) that the same row has in the parent version, -1 where it is new.
    """

    group: np.ndarray
    place: np.ndarray
    input: np.ndarray
    stratum: np.ndarray | None = None
    time: np.ndarray | None = None
    pinned: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.group)

    def take(self, rows: np.ndarray) -> "SplitKeys":
        """The keys of some rows."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: column[rows] for name, column in columns.items() if column is not None})


@dataclass(frozen=True)
class Assignment:
    """Which row is in which split.

    Attributes:
        codes: the number of each row's split in the order of the shares (int8); -1 for a bridging row, which goes.
        clash: for a bridging row the row of another split that it clashes with (int64), else -1.
        filled: the splits that were left empty, and into which one group (with what it is tied to) was moved.
        cutoffs: of a split by time, the first moment of each split but the first, in seconds.
    """

    codes: np.ndarray
    clash: np.ndarray
    filled: tuple[str, ...] = ()
    cutoffs: tuple[float, ...] = ()


@dataclass(frozen=True)
class Straddling:
    """Pairs of rows in different splits that should share one: of a group, of an input, of similar inputs."""

    groups: np.ndarray
    inputs: np.ndarray
    similar: np.ndarray

    def __len__(self) -> int:
        return len(self.groups) + len(self.inputs) + len(self.similar)


def assign(
    keys: SplitKeys, pairs: SimilarPairs, shares: Mapping[str, float], config: SplitConfig | None = None
) -> Assignment:
    """Give every row a split; the shares (in proportion to their sum) are met on average, or by class, or by time.

    With few groups a split may be left empty: then the group whose place lies nearest to that split's range is
    moved there with all that it is tied to, and `filled` names the split. This is the one case in which rows
    added later can move an old row (unless it is pinned); with 100 groups at 80/10/10 its chance is below 0.01 %.

    Args:
        keys: of the rows to be split.
        pairs: rows with similar inputs, by their numbers in `keys`; of equal inputs one row stands for all.
        shares: of each split, by name.
        config: the method; by hash when left out.

    Raises:
        InputError: there are fewer groups than splits, or a split stays empty; a cutoff is no time.
    """
    config = config or SplitConfig()
    rows, names = len(keys), list(shares)
    edges = np.concatenate([[0.0], np.cumsum(list(shares.values()))]) / sum(shares.values())
    groups, inputs = key_codes(keys.group), key_codes(keys.input)
    if groups.max(initial=-1) + 1 < len(names):
        raise InputError(
            f"{groups.max(initial=-1) + 1} group(s) cannot fill the splits {', '.join(names)}: "
            "a group never straddles two splits, so add rows of other groups or map another group column"
        )
    pinned = np.full(rows, -1, np.int8) if keys.pinned is None else keys.pinned
    cutoffs: tuple[float, ...] = ()
    if config.method == "time":
        wished, cutoffs = timed(keys.time, pinned, edges, config)
    elif config.method == "stratified":
        wished = stratified(keys.stratum, groups, keys.place, pinned, edges)
    else:
        wished = hashed(keys.place, edges)
    ties = Ties(groups, inputs, pairs)
    codes, clash = settle(wished, pinned, ties, keys.time if config.method == "time" else None)
    filled: list[int] = []
    if config.method != "time":
        filled = fill_empty(codes, ties, keys.place, pinned, edges)
    for number, name in enumerate(names):
        if not np.any(codes == number):
            raise InputError(
                f"the split {name} is empty: "
                + (
                    f"no row of its time is left (cutoffs {', '.join(map(time_text, cutoffs))}); choose other cutoffs"
                    if cutoffs
                    else "the inputs of its groups all occur, or nearly so, in another split too; "
                    "choose another seed or map another group column"
                )
            )
    return Assignment(codes, clash, tuple(names[number] for number in filled), cutoffs)


def straddling(codes: np.ndarray, keys: SplitKeys, pairs: SimilarPairs) -> Straddling:
    """The check that an assignment leaks nothing: of length 0, unless it does. Bridging rows (-1) do not count."""
    kept = np.flatnonzero(codes >= 0)
    groups, inputs = (_unlike_their_first(column, codes, kept) for column in (keys.group, keys.input))
    number = key_codes(keys.input)
    first = np.full(number.max(initial=-1) + 1, -1)
    first[number[kept[::-1]]] = kept[::-1]
    left, right = first[number[pairs.left]], first[number[pairs.right]]
    apart = (left >= 0) & (right >= 0) & (codes[left] != codes[right])
    return Straddling(groups, inputs, np.column_stack([left[apart], right[apart]]))


def _unlike_their_first(keys: np.ndarray, codes: np.ndarray, kept: np.ndarray) -> np.ndarray:
    _, first, number = np.unique(keys[kept], return_index=True, return_inverse=True)
    first_row = kept[first[number]]
    apart = codes[kept] != codes[first_row]
    return np.column_stack([first_row[apart], kept[apart]])


def leaked(keys: SplitKeys, pairs: SimilarPairs, held_out: np.ndarray) -> np.ndarray:
    """For each row that is not held out, a held-out row of its group, its input or a similar input (int64), else -1.

    Args:
        keys: of all rows, with or without those that are held out for testing.
        pairs: rows with similar inputs, as for `assign`.
        held_out: True for the test rows.
    """
    tests = np.flatnonzero(held_out)
    inputs = key_codes(keys.input)
    holder = np.full(inputs.max(initial=-1) + 1, -1)
    holder[inputs[tests[::-1]]] = tests[::-1]
    near = holder.copy()
    for one, other in ((pairs.right, pairs.left), (pairs.left, pairs.right)):
        tested = holder[inputs[other]] >= 0
        near[inputs[one][tested]] = holder[inputs[other]][tested]
    groups = key_codes(keys.group)
    group_holder = np.full(groups.max(initial=-1) + 1, -1)
    group_holder[groups[tests[::-1]]] = tests[::-1]
    found = np.where(holder[inputs] >= 0, holder[inputs], group_holder[groups])
    found = np.where(found >= 0, found, near[inputs])
    found[tests] = -1
    holders: np.ndarray = found
    return holders


def subset(place: np.ndarray, size: int) -> np.ndarray:
    """The numbers (ascending) of the `size` rows with the smallest `places` of their ids, whatever their order."""
    return np.sort(np.argsort(place, kind="stable")[:size])


def places(names: pa.Array | pa.ChunkedArray, seed: int) -> np.ndarray:
    """A place in [0, 1) for each name, even over the names and independent between seeds, the same for ever."""
    salt = f"{seed}\0".encode()
    digests = b"".join([hashlib.sha256(salt + name).digest()[:6] for name in text_bytes(names)])
    numbers = np.zeros((len(names), 8), np.uint8)
    numbers[:, 2:] = np.frombuffer(digests, np.uint8).reshape(len(names), 6)
    fractions: np.ndarray = numbers.view(">u8").ravel().astype(np.float64) / 2**48
    return fractions
