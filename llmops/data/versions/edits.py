"""Edits: a version's samples without some of them and with others.

What stays is not moved, and a corrected sample (the faulty one retired, the right one added) stays where it was; what
is there already, exactly or nearly, is not added again. See `placement`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.duplicates.near_duplicates import DuplicateConfig
from llmops.data.samples import SAMPLE_SCHEMA
from llmops.data.versions.placement import Placed, place
from llmops.data.versions.store import Samples
from llmops.errors import InputError

SHOWN = 5


@dataclass(frozen=True)
class EditedSamples:
    """The samples after an edit, read anew by every iteration: those that stay, then those that are new."""

    existing: Samples
    retired: frozenset[str]
    placed: Placed

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from _without(self.existing, self.retired)
        yield from self.placed.samples.to_batches()


def edit_samples(
    existing: Samples,
    *,
    added: pa.Table | None = None,
    retired: Collection[str] = (),
    shares: Mapping[str, float],
    seed: int = 0,
    duplicates: DuplicateConfig | None = None,
) -> EditedSamples:
    """Retire samples and add others.

    Args:
        existing: the samples of a version; gone through twice, one batch at a time.
        added: samples, as readers return them.
        retired: ids of samples that go.
        shares: of the splits (in proportion to their sum), for added groups that nothing ties to a split.
        seed: of the hash that shares groups out.
        duplicates: what counts as similar, and which of several similar added samples stays.

    Raises:
        InputError: an id is not in the version, or no sample would be left.

    >>> from llmops.data.samples import sample_table
    >>> column = lambda *texts: pa.chunked_array([list(texts)])
    >>> new = sample_table(input=column("a", "b", "a "), expected=column("x", "y", "x"))
    >>> edited = edit_samples([], added=new, shares={"test": 1.0})
    >>> edited.placed.samples["input"].to_pylist(), edited.placed.repeats
    (['a', 'b'], 1)
    """
    retired = frozenset(retired)
    _require_known(existing, retired)
    added = SAMPLE_SCHEMA.empty_table() if added is None else added
    ids = pa.array(sorted(retired), pa.string())
    placed = place(added, _batches(existing), ids, shares=shares, seed=seed, duplicates=duplicates or DuplicateConfig())
    edited = EditedSamples(existing, retired, placed)
    if next(iter(edited), None) is None:
        raise InputError("no sample would be left; keep or add one")
    return edited


def _without(samples: Samples, retired: Collection[str]) -> Iterator[pa.RecordBatch]:
    ids = pa.array(sorted(retired), pa.string())
    for batch in _batches(samples):
        kept = batch.filter(pc.invert(pc.is_in(batch["id"], value_set=ids))) if retired else batch
        if len(kept):
            yield kept


def _require_known(existing: Samples, retired: Collection[str]) -> None:
    if not retired:
        return
    unknown, wanted = set(retired), pa.array(sorted(retired), pa.string())
    for batch in _batches(existing.select(["id"]) if hasattr(existing, "select") else existing):
        unknown.difference_update(batch["id"].filter(pc.is_in(batch["id"], value_set=wanted)).to_pylist())
    if unknown:
        named = ", ".join(sorted(unknown)[:SHOWN])
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise InputError(f"cannot retire {named}{more}: the version has no sample with such an id")


def _batches(samples: Samples) -> Iterable[pa.RecordBatch]:
    return samples.to_batches() if isinstance(samples, pa.Table) else samples
