"""From the files of a team to samples that can be published: read, check, de-duplicate, split, augment, report.

The source is read once, into a `Spill`; of each row only keys stay in memory, and on them all is decided. The samples
that are kept then come out of the spill a batch at a time, as often as they are asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from llmops.data.augmentation import Augmenter
from llmops.data.findings import errors_line
from llmops.data.preparation.augmented_samples import AugmentedSamples, HeldOutInputs, augment_samples
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.examination import OnProgress, Rows, examine
from llmops.data.preparation.judgement import Judgement, judge
from llmops.data.preparation.report import (
    LengthSummary,
    PreparationReport,
    RuleSummary,
    SourceFile,
    length_summary,
    quality_summary,
)
from llmops.data.preparation.selection import Selection, select
from llmops.data.preparation.spill import Spill
from llmops.data.reading.sources import find_sources
from llmops.data.samples import SAMPLE_SCHEMA, SPLITS
from llmops.data.splits.times import time_text
from llmops.data.validation.checks import label_counts, language_counts
from llmops.data.validation.contamination import reference_index
from llmops.data.validation.rules import RULES
from llmops.errors import InputError
from llmops.llm.text_generator import TextGenerator


class FaultyDataError(InputError):
    """The source has rows that must not be published; carries what was found in all of it."""

    def __init__(self, message: str, report: PreparationReport, findings: pa.Table) -> None:
        super().__init__(message)
        self.report = report
        self.findings = findings


@dataclass(frozen=True)
class KeptSamples:
    """The samples of a preparation, read anew from the disk by every iteration."""

    spill: Spill
    codes: np.ndarray
    quality: np.ndarray
    augmented: AugmentedSamples | None = None

    def __len__(self) -> int:
        return int(np.count_nonzero(self.codes >= 0)) + (len(self.augmented) if self.augmented else 0)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        names = pa.array(SPLITS, pa.string())
        for start, batch in self.spill.batches():
            codes = self.codes[start : start + len(batch)]
            kept = np.flatnonzero(codes >= 0)
            if len(kept):
                columns = {name: batch.column(name).take(pa.array(kept)) for name in SAMPLE_SCHEMA.names}
                columns["split"] = names.take(pa.array(codes[kept]))
                columns["quality"] = pa.array(self.quality[start + kept], pa.float32())
                yield pa.record_batch(list(columns.values()), schema=SAMPLE_SCHEMA)
        if self.augmented is not None:
            yield from self.augmented


@dataclass(frozen=True)
class Prepared:
    """What a preparation came to.

    Attributes:
        samples: batches in `SAMPLE_SCHEMA`, every sample with its split and quality.
        report: what became of the rows, in figures.
        findings: what was found, in `FINDINGS_SCHEMA`.
        dropped: each row left out, why and for whom, in `DROPPED_SCHEMA`.
    """

    samples: KeptSamples
    report: PreparationReport
    findings: pa.Table
    dropped: pa.Table

    @property
    def table(self) -> pa.Table:
        """All samples in memory."""
        return pa.Table.from_batches(list(self.samples), SAMPLE_SCHEMA)


def _silent(_rows: int, _file: str) -> None:
    pass


def prepare(
    source: str | Path,
    config: PreparationConfig | None = None,
    *,
    test_source: str | Path | None = None,
    on_error: Literal["refuse", "drop"] = "refuse",
    previous: Iterable[pa.RecordBatch] | None = None,
    references: Mapping[str, pa.Table] | None = None,
    generators: Mapping[str, TextGenerator] | None = None,
    folder: Path | None = None,
    on_progress: OnProgress = _silent,
) -> Prepared:
    """Prepare the samples of a file, a folder or a glob, on this machine or on s3://.

    With a separate test source all its rows are the test split, the source is split into train and validation in
    proportion to their ratios, and source rows that share a group, an input or a similar input with it are dropped.

    Args:
        source: what `find_sources` understands.
        config: how; the defaults when left out.
        test_source: the rows of the test split; without it a share of the source is.
        on_error: what to do when rows have errors: publish nothing, or all the others.
        previous: the samples of the version that this one follows; those of them that occur again keep their split.
        references: data sets by name that must not occur in the source (contamination).
        generators: models by name, for augmentation.
        folder: on whose disk the rows wait; the system's folder for temporary files when left out.
        on_progress: called with the rows read so far and the file.

    Raises:
        FaultyDataError: rows have errors and `on_error` is refuse; the message names the first five.
        InputError: nothing can be read; fewer than 10 distinct examples are left; a split would be empty.
    """
    config = config or PreparationConfig()
    sources, tests = find_sources(source), [] if test_source is None else find_sources(test_source)
    files = [file.uri for file in (*sources, *tests)]
    index = reference_index(references, config.validation.contamination_share) if references else None
    spill = Spill(SAMPLE_SCHEMA, folder)
    rows = examine(sources, tests, config, index, spill, on_progress)
    judgement = judge(rows, files, config.validation, spill)
    read = [
        SourceFile(path=file.uri, digest=file.digest(), rows=count)
        for file, count in zip((*sources, *tests), rows.read, strict=True)
    ]
    _refuse_faulty(rows, judgement, read, on_error)
    selection = select(
        rows,
        spill,
        config,
        faulty=judgement.faulty,
        quality=judgement.quality,
        held_out=rows.numbers["file"] >= len(sources),
        previous=previous,
        source=str(source),
    )
    samples = KeptSamples(spill, selection.codes, judgement.quality)
    report = _report_of(rows, judgement, selection, read)
    if config.augmentation.active:
        augmented = _augmented(samples, rows, config, generators, folder)
        samples = replace(samples, augmented=augmented)
        counts = report.counts | {"train": report.counts["train"] + len(augmented)}
        report = report.model_copy(
            update={"augmented": augmented.made, "rejected": augmented.rejected, "counts": counts}
        )
    numbers = rows.numbers
    dropped = selection.left.table(spill, files, numbers["file"], numbers["line"])
    return Prepared(samples, report, judgement.table(), dropped)


def _augmented(
    samples: KeptSamples,
    rows: Rows,
    config: PreparationConfig,
    generators: Mapping[str, TextGenerator] | None,
    folder: Path | None,
) -> AugmentedSamples:
    held_out = None
    if config.duplicates.near:
        numbers = np.flatnonzero(samples.codes > SPLITS.index("train"))
        held_out = HeldOutInputs(rows.numbers["question_bands"][numbers], numbers, samples.spill)
    augmenter = Augmenter(config.augmentation, generators)
    return augment_samples(samples, augmenter, rows.numbers["input"], held_out, config, folder)


def _refuse_faulty(rows: Rows, judgement: Judgement, sources: list[SourceFile], on_error: str) -> None:
    # What is wrong with the whole is not mended by dropping rows.
    found = judgement.findings if on_error == "refuse" else judgement.of_the_whole
    errors = [finding for finding in found if finding.severity == "error"]
    if not errors:
        return
    read = sum(rows.read)
    report = PreparationReport(
        read=read,
        dropped={"faulty": len(judgement.faulty) + read - len(rows)},
        counts=dict.fromkeys(SPLITS, 0),
        several_references=0,
        sources=sources,
        findings=judgement.summaries(read),
        quality=quality_summary(judgement.quality),
        lengths=_lengths(rows, np.arange(len(rows))),
    )
    raise FaultyDataError(errors_line(errors), report, judgement.table())


def _report_of(rows: Rows, judgement: Judgement, selection: Selection, sources: list[SourceFile]) -> PreparationReport:
    read, kept = sum(rows.read), selection.left.numbers
    dropped = selection.left.counts()
    dropped["faulty"] += read - len(rows)  # could not be made into samples
    facts = rows.facts.take(pa.array(kept))
    counted = np.bincount(selection.codes[kept], minlength=len(SPLITS))
    return PreparationReport(
        read=read,
        dropped=dropped,
        counts={split: int(count) for split, count in zip(SPLITS, counted, strict=True)},
        several_references=_several_references(rows, kept),
        sources=sources,
        findings=[*judgement.summaries(read), *_few_groups(selection)],
        quality=quality_summary(judgement.quality[kept]),
        lengths=_lengths(rows, kept),
        labels=label_counts(facts),
        languages=language_counts(facts),
        cutoffs=[time_text(moment) for moment in selection.cutoffs],
    )


def _several_references(rows: Rows, kept: np.ndarray) -> int:
    """Questions with more than one expected text."""
    pairs = np.unique(np.column_stack([rows.numbers["question"][kept], rows.numbers["expected"][kept]]), axis=0)
    return int(np.count_nonzero(np.unique(pairs[:, 0], return_counts=True)[1] > 1))


def _lengths(rows: Rows, kept: np.ndarray) -> dict[str, LengthSummary]:
    return {part: length_summary(rows.numbers[f"{part}_words"][kept]) for part in ("input", "expected")}


def _few_groups(selection: Selection) -> list[RuleSummary]:
    rule = RULES["few-groups"]
    return [
        RuleSummary(
            rule=rule.name,
            severity=rule.severity,
            rows=0,
            share=0.0,
            advice=f"The hash left {split} empty, and one group was moved there. {rule.advice}",
            examples=[],
        )
        for split in selection.filled
    ]
