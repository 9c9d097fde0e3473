"""The digest of a version: named by its samples, whatever their order and the format of their file.

A row's digest is the first 16 bytes of the SHA-256 of ``id NUL split NUL group`` in UTF-8, where `id` names the content
(see `samples`) and is checked against it. The digest of a set of samples is the SHA-256 of its row digests, sorted as
bytes and put one after the other: 16 bytes a row are all that is kept of what is read, and the ids, to tell repeats.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.samples import SPLITS, content_ids
from llmops.errors import InputError

ROW_BYTES = 16


@dataclass(frozen=True)
class VersionDigest:
    """What identifies a set of samples.

    Attributes:
        samples: SHA-256 (hex) over ids, splits and groups: the digest of a version.
        rows: SHA-256 (hex) over the same and the quality scores: what lies in the table.
        counts: samples by split, in the order train, validation, test.
    """

    samples: str
    rows: str
    counts: dict[str, int]


def version_digest(batches: Iterable[pa.RecordBatch]) -> VersionDigest:
    """Digest samples, one batch at a time.

    Raises:
        InputError: there are none; one has no split or an unknown one; an id is not that of its content, or occurs
            twice.
    """
    digests: list[np.ndarray] = []
    quality: list[np.ndarray] = []
    ids: list[pa.Array] = []
    counts = dict.fromkeys(SPLITS, 0)
    for batch in batches:
        _count_splits(batch, counts)
        digests.append(_row_digests(batch))
        quality.append(_quality(batch))
        ids.append(_content_ids(batch))
    if not sum(counts.values()):
        raise InputError("there are no samples to publish")
    _require_distinct(pa.chunked_array(ids, pa.string()))
    rows = np.empty(sum(map(len, digests)), dtype=[("digest", f"S{ROW_BYTES}"), ("quality", "<f4")])
    rows["digest"], rows["quality"] = np.concatenate(digests), np.concatenate(quality)
    # NumPy pads short byte strings with NUL, so that equally long ones compare as bytes.
    ordered = np.sort(rows.view(f"S{rows.itemsize}")).view(rows.dtype)
    return VersionDigest(_sha256(ordered["digest"]), _sha256(ordered), counts)


def _count_splits(batch: pa.RecordBatch, counts: dict[str, int]) -> None:
    for row in pc.value_counts(batch["split"]).to_pylist():
        if row["values"] not in counts:
            raise InputError(
                f"{row['counts']} sample(s) have the split {row['values']!r}; the splits are {', '.join(SPLITS)}"
            )
        counts[row["values"]] += row["counts"]


def _content_ids(batch: pa.RecordBatch) -> pa.Array:
    # With an id of its own, changed content would be taken for the version that is there already.
    ids = content_ids(batch)
    if not ids.equals(batch["id"]):
        wrong = pc.index(pc.fill_null(pc.not_equal(ids, batch["id"]), True), True).as_py()
        raise InputError(
            f"the sample {batch['id'][wrong].as_py()!r} does not have the id of its content ({ids[wrong]}); "
            "make the ids with llmops.data.sample_table"
        )
    return ids


def _row_digests(batch: pa.RecordBatch) -> np.ndarray:
    rows = pc.binary_join_element_wise(batch["id"], batch["split"], batch["group"], "\0").cast(pa.binary())
    sha256 = hashlib.sha256
    return np.frombuffer(b"".join([sha256(row).digest()[:ROW_BYTES] for row in rows.to_pylist()]), f"S{ROW_BYTES}")


def _quality(batch: pa.RecordBatch) -> np.ndarray:
    # No score can be below 0, so -1 stands for none.
    return np.asarray(pc.fill_null(batch["quality"], -1.0).to_numpy(zero_copy_only=False))


def _require_distinct(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counted = pc.value_counts(ids)
    repeated = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
    raise InputError(
        f"{len(repeated)} sample id(s) occur more than once, the first is {repeated[0]}; drop the repeats first"
    )


def _sha256(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
