"""The difference between two versions: samples added, removed, changed, and moved to another split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from llmops.data.duplicates.deduplication import text_keys
from llmops.data.samples import SAMPLE_SCHEMA, normalised
from llmops.data.versions.store import Samples

if TYPE_CHECKING:
    from rich.console import RenderableType

COMPARED = ("input", "expected", "context", "messages", "metadata", "group", "split")
SHOWN_ROWS = 20


class SampleOf(BaseModel):
    """A sample of one of the two versions."""

    model_config = ConfigDict(frozen=True)

    id: str
    split: str
    input: str
    expected: str


class FieldChange(BaseModel):
    """One field before and after."""

    model_config = ConfigDict(frozen=True)

    field: str
    before: str | None
    after: str | None


class ChangedSample(BaseModel):
    """A sample whose input both versions have and whose other content differs; its id differs with its content."""

    model_config = ConfigDict(frozen=True)

    before_id: str
    id: str
    input: str
    fields: list[FieldChange]


class MovedSample(BaseModel):
    """A sample that both versions have, in different splits."""

    model_config = ConfigDict(frozen=True)

    id: str
    input: str
    before: str
    after: str


class VersionDifference(BaseModel):
    """What has to be done to the samples of `old` to get those of `new`.

    Attributes:
        old, new: what was compared.
        added, removed, changed, moved, unchanged: numbers of samples. The old version has
            removed + changed + moved + unchanged of them, the new one added + changed + moved + unchanged.
        added_samples, removed_samples, changed_samples, moved_samples: the first of each, in their version's order.
    """

    model_config = ConfigDict(frozen=True)

    old: str
    new: str
    added: int
    removed: int
    changed: int
    moved: int
    unchanged: int
    added_samples: list[SampleOf] = []
    removed_samples: list[SampleOf] = []
    changed_samples: list[ChangedSample] = []
    moved_samples: list[MovedSample] = []

    @property
    def sentence(self) -> str:
        """The numbers in one line."""
        kinds = ("added", "removed", "changed", "moved", "unchanged")
        return ", ".join(f"{getattr(self, kind):,} {kind}" for kind in kinds)

    def __rich__(self) -> "RenderableType":
        from llmops.data.versions.changes_table import changes_table

        return changes_table(self)


def difference(
    old: Samples, new: Samples, *, names: tuple[str, str] = ("old", "new"), shown: int = SHOWN_ROWS
) -> VersionDifference:
    """Compare two sets of samples by their ids.

    A sample that was removed and one that was added are one changed sample where their normalised inputs are equal;
    of several with one input the first removed goes with the first added, and so on. A sample of the same id in
    another group has changed too. Quality scores are not compared: they are no part of a sample.

    Args:
        old, new: `StoredSamples`, a table, or anything that `DatasetStore.publish` takes; ids occur once in each.
        names: of the two, for people.
        shown: how many samples of each sort are named.

    >>> from llmops.data.samples import SAMPLE_SCHEMA
    >>> row = {"id": "1", "input": "a", "expected": "x", "group": "a", "split": "train"}
    >>> old = pa.Table.from_pylist([row, {**row, "id": "2", "input": "b"}], SAMPLE_SCHEMA)
    >>> new = pa.Table.from_pylist([{**row, "id": "3", "expected": "y"}], SAMPLE_SCHEMA)
    >>> difference(old, new).sentence
    '0 added, 1 removed, 1 changed, 0 moved, 0 unchanged'
    """
    before, after = _keys(old), _keys(new)
    match = pc.index_in(before.ids, value_set=after.ids)
    was = np.flatnonzero(match.is_valid().to_numpy(zero_copy_only=False))
    is_now = match.drop_null().to_numpy().astype(np.int64)
    removed = np.setdiff1d(np.arange(len(before.ids)), was, assume_unique=True)
    added = np.setdiff1d(np.arange(len(after.ids)), is_now, assume_unique=True)
    moves = before.splits[was] != after.splits[is_now]
    regroups = (before.groups[was] != after.groups[is_now]) & ~moves
    left, right = _same_inputs(_input_keys(old, removed), _input_keys(new, added))
    changed_was = np.concatenate([removed[left], was[regroups]])
    changed_is = np.concatenate([added[right], is_now[regroups]])
    removed, added = np.delete(removed, left), np.delete(added, right)

    in_new_order = np.argsort(changed_is)[:shown]
    changed_was, changed_is, changed = changed_was[in_new_order], changed_is[in_new_order], len(changed_is)
    moved_order = np.argsort(is_now[moves])[:shown]
    moved_was, moved_is = was[moves][moved_order], is_now[moves][moved_order]
    old_rows = _rows(old, [removed[:shown], changed_was, moved_was])
    new_rows = _rows(new, [added[:shown], changed_is, moved_is])
    return VersionDifference(
        old=names[0],
        new=names[1],
        added=len(added),
        removed=len(removed),
        changed=changed,
        moved=int(moves.sum()),
        unchanged=len(was) - int(moves.sum()) - int(regroups.sum()),
        added_samples=[SampleOf.model_validate(row) for row in new_rows[0]],
        removed_samples=[SampleOf.model_validate(row) for row in old_rows[0]],
        changed_samples=[_changed(one, other) for one, other in zip(old_rows[1], new_rows[1], strict=True)],
        moved_samples=[
            MovedSample(id=other["id"], input=other["input"], before=one["split"], after=other["split"])
            for one, other in zip(old_rows[2], new_rows[2], strict=True)
        ],
    )


@dataclass(frozen=True)
class _Keys:
    ids: pa.Array
    splits: np.ndarray
    groups: np.ndarray


def _keys(samples: Samples) -> _Keys:
    ids, splits, groups = [pa.array([], pa.string())], [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for batch in _batches(samples, ["id", "split", "group"]):
        ids.append(batch["id"])
        splits.append(text_keys(batch["split"]))
        groups.append(text_keys(batch["group"]))
    return _Keys(pa.concat_arrays(ids), np.concatenate(splits), np.concatenate(groups))


def _input_keys(samples: Samples, rows: np.ndarray) -> np.ndarray:
    """A key for the normalised input of each of some rows (ascending)."""
    keys = [np.zeros(0, np.uint64)]
    if len(rows):
        for batch, within in _with_rows(_batches(samples, ["input"]), rows):
            keys.append(text_keys(normalised(pa.chunked_array([batch["input"].take(within)]))))
    return np.concatenate(keys)


def _same_inputs(removed: np.ndarray, added: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in both of what goes together: the n-th of a key here with the n-th of that key there."""
    codes = np.unique(np.concatenate([removed, added]), return_inverse=True)[1]
    here, there = codes[: len(removed)], codes[len(removed) :]
    pairs = np.intersect1d(
        here * len(codes) + _earlier(here),
        there * len(codes) + _earlier(there),
        assume_unique=True,
        return_indices=True,
    )
    return pairs[1], pairs[2]


def _earlier(codes: np.ndarray) -> np.ndarray:
    """How many equal codes there are before each."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    counts = np.empty(len(codes), np.int64)
    counts[order] = np.arange(len(codes)) - np.searchsorted(ordered, ordered)
    return counts


def _rows(samples: Samples, wanted: Sequence[np.ndarray]) -> list[list[dict[str, str | None]]]:
    """The content of some rows, by their numbers, in the order in which each list names them."""
    numbers = np.unique(np.concatenate(wanted))
    found: dict[int, dict[str, str | None]] = {}
    if len(numbers):
        for batch, within in _with_rows(_batches(samples, SAMPLE_SCHEMA.names), numbers):
            found |= zip(numbers[len(found) :], batch.take(within).to_pylist(), strict=False)
    return [[found[number] for number in rows] for rows in wanted]


def _with_rows(batches: Iterator[pa.RecordBatch], rows: np.ndarray) -> Iterator[tuple[pa.RecordBatch, pa.Array]]:
    """The batches that hold some of the rows (ascending), and where in the batch these are."""
    start = 0
    for batch in batches:
        first, last = np.searchsorted(rows, [start, start + len(batch)])
        if last > first:
            yield batch, pa.array(rows[first:last] - start)
        start += len(batch)
        if last == len(rows):
            return


def _batches(samples: Samples, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if hasattr(samples, "select"):
        samples = samples.select(list(columns))
    for batch in samples.to_batches() if isinstance(samples, pa.Table) else samples:
        yield batch.select(list(columns))


def _changed(before: dict[str, str | None], after: dict[str, str | None]) -> ChangedSample:
    fields = [
        FieldChange(field=name, before=_text(before[name]), after=_text(after[name]))
        for name in COMPARED
        if before[name] != after[name]
    ]
    return ChangedSample.model_validate(
        {"before_id": before["id"], "id": after["id"], "input": after["input"], "fields": fields}
    )


def _text(value: object) -> str | None:
    """A field as text; metadata as ``key=value`` pairs."""
    if isinstance(value, list):
        return ", ".join(f"{key}={one}" for key, one in value)
    return None if value is None else str(value)
