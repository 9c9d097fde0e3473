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
from llmops.data.duplicates.deduplication import content_keys, question_texts, text_keys
from llmops.data.duplicates.near_duplicates import DuplicateConfig, band_keys, similar_pairs
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.spill import Spill
from llmops.data.samples import SAMPLE_SCHEMA, normalised
from llmops.data.validation.checks import ValidationConfig, row_hits, severity_of
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
    seen: set[int] = set()
    bands: list[np.ndarray] = []

    def is_known(texts: pa.ChunkedArray) -> np.ndarray:
        return np.isin(text_keys(normalised(texts)), known)

    for batch in samples:
        augmented = augmenter.augment(pa.Table.from_batches([batch]), is_known)
        rejected.update(augmented.rejected)
        table = _new(_sound(augmented.table, config.validation, rejected), seen, rejected)
        methods += pc.map_lookup(table["metadata"], METHOD_KEY, "first").to_pylist()
        bands.append(band_keys(question_texts(table), config.duplicates))
        spill.append(table)
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
    columns = ["input", "context"]

    def texts_of(rows: np.ndarray) -> pa.ChunkedArray:
        old, new = rows[rows < first_new], rows[rows >= first_new] - first_new
        parts = (held_out.spill.take(held_out.rows[old], columns), spill.take(new, columns))
        return question_texts(pa.concat_tables(parts))

    pairs = similar_pairs(np.concatenate([held_out.bands, bands]), texts_of, config)
    crossing = (pairs.left < first_new) & (pairs.right >= first_new)
    return np.unique(pairs.right[crossing]) - first_new


def _sound(table: pa.Table, config: ValidationConfig, rejected: Counter[str]) -> pa.Table:
    """The samples that no rule calls an error, with their quality; the others are counted by rule."""
    hits = row_hits(table.append_column("line", pa.array(np.arange(len(table)))), config)
    scores = pa.array(quality_scores(len(table), hits), pa.float32())
    scored = table.set_column(table.schema.get_field_index("quality"), SAMPLE_SCHEMA.field("quality"), scores)
    sound = np.ones(len(table), dtype=bool)
    for one in hits:
        # Shares of rows say nothing about samples that we made ourselves.
        if severity_of(one.rule, 0, 1, config) == "error":
            rejected[one.rule] += int(np.count_nonzero(sound[one.rows]))
            sound[one.rows] = False
    return scored.filter(pa.array(sound))


def _new(table: pa.Table, seen: set[int], rejected: Counter[str]) -> pa.Table:
    """The samples whose content was not made from another sample before."""
    new = np.zeros(len(table), dtype=bool)
    for row, key in enumerate(content_keys(table).tolist()):
        new[row] = key not in seen
        seen.add(key)
    rejected["repeat"] += int(np.count_nonzero(~new))
    return table.filter(pa.array(new))
