"""Augmentation over a whole preparation: batch by batch into a spill, and never a copy of what is there already."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.augmentation import Augmenter
from llmops.data.augmentation.augment import METHOD_KEY
from llmops.data.duplicates.deduplication import text_keys
from llmops.data.duplicates.near_duplicates import DuplicateConfig, band_keys, similar_pairs
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.spill import Spill
from llmops.data.samples import SAMPLE_SCHEMA, normalised
from llmops.data.validation.checks import ValidationConfig, row_hits
from llmops.data.validation.quality import quality_scores


@dataclass(frozen=True)
class HeldOutInputs:
    """The inputs of validation and test: their band keys, their row numbers, and where their texts are."""

    bands: np.ndarray
    rows: np.ndarray
    spill: Spill


@dataclass(frozen=True)
class AugmentedSamples:
    """The new samples, how many each method made, and why others were refused."""

    spill: Spill
    kept: np.ndarray
    made: dict[str, int]
    rejected: dict[str, int]

    def __len__(self) -> int:
        return int(np.count_nonzero(self.kept))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for start, batch in self.spill.batches():
            yield batch.filter(pa.array(self.kept[start : start + len(batch)]))


def augment_samples(
    samples: Iterable[pa.RecordBatch],
    augmenter: Augmenter,
    inputs: np.ndarray,
    held_out: HeldOutInputs | None,
    config: PreparationConfig,
    folder: Path | None,
) -> AugmentedSamples:
    """Augment the training samples of all batches.

    Args:
        samples: in `SAMPLE_SCHEMA`, with their splits.
        augmenter: the methods.
        inputs: keys of every input that was read, also of test rows and of rows that were dropped.
        held_out: what no new input may be similar to; None where near duplicates are not looked for.
        config: the rules by which new samples get their quality, and what similar means.
        folder: on whose disk the new samples wait.
    """
    known = np.unique(inputs)
    spill = Spill(SAMPLE_SCHEMA, folder)
    rejected: Counter[str] = Counter()
    methods: list[str] = []
    bands: list[np.ndarray] = []

    def is_known(texts: pa.ChunkedArray) -> np.ndarray:
        return np.isin(text_keys(normalised(texts)), known)

    for batch in samples:
        augmented = augmenter.augment(pa.Table.from_batches([batch]), is_known)
        rejected.update(augmented.rejected)
        methods += pc.map_lookup(augmented.table["metadata"], METHOD_KEY, "first").to_pylist()
        bands.append(band_keys(augmented.table["input"], config.duplicates))
        spill.append(_with_quality(augmented.table, config.validation))
    spill.finish()
    kept = np.ones(len(spill), dtype=bool)
    if held_out is not None and len(spill):
        kept[_near_held_out(np.concatenate(bands), spill, held_out, config.duplicates)] = False
        rejected["too close to a held-out input"] += int(np.count_nonzero(~kept))
    made = Counter(method for method, stays in zip(methods, kept.tolist(), strict=True) if stays)
    return AugmentedSamples(spill, kept, dict(made), dict(+rejected))


def _near_held_out(bands: np.ndarray, spill: Spill, held_out: HeldOutInputs, config: DuplicateConfig) -> np.ndarray:
    """The numbers of the new samples whose input is similar to one that is held out."""
    first_new = len(held_out.rows)

    def texts_of(rows: np.ndarray) -> pa.ChunkedArray:
        old, new = rows[rows < first_new], rows[rows >= first_new] - first_new
        held = held_out.spill.take(held_out.rows[old], ["input"])["input"]
        return pa.chunked_array([*held.chunks, *spill.take(new, ["input"])["input"].chunks], pa.string())

    pairs = similar_pairs(np.concatenate([held_out.bands, bands]), texts_of, config)
    crossing = (pairs.left < first_new) & (pairs.right >= first_new)
    return np.unique(pairs.right[crossing]) - first_new


def _with_quality(table: pa.Table, validation: ValidationConfig) -> pa.Table:
    numbered = table.append_column("line", pa.array(np.arange(len(table))))
    scores = quality_scores(len(table), row_hits(numbered, validation))
    place = table.schema.get_field_index("quality")
    return table.set_column(place, SAMPLE_SCHEMA.field("quality"), pa.array(scores, pa.float32()))
