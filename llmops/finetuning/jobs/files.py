"""A dataset version as the files that a back end trains on: checked before anything is uploaded, named by content."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import numpy as np
import pyarrow as pa

from llmops.data.exports import FormatLimits, check_format, write_samples
from llmops.data.exports.provider_limits import LIMITS, sample_texts
from llmops.data.exports.writers import record_batches
from llmops.data.findings import Finding, errors_line
from llmops.data.token_counts import token_counts
from llmops.digests import file_digest
from llmops.errors import InputError
from llmops.finetuning.backends.backend import TrainingFiles

Samples: TypeAlias = pa.Table | Iterable[pa.Table | pa.RecordBatch]
"""In `SAMPLE_SCHEMA`; gone through more than once: a table, or what `DatasetStore.batches` gives."""

_log = logging.getLogger(__name__)


def _into_the_log(finding: Finding) -> None:
    _log.warning("%s: %s", finding.rule, finding.message)


def write_training_files(
    samples: Mapping[str, Samples],
    format: str,
    folder: Path,
    *,
    what: str,
    limits: FormatLimits | None = None,
    tokenizer: str | None = None,
    warn: Callable[[Finding], None] = _into_the_log,
) -> TrainingFiles:
    """Write the splits ``train`` and ``validation`` in the format of a back end.

    The same samples give files of the same names and bytes: ``<format>-<split>-<digest of the bytes>.jsonl``. Of a
    validation split that is larger than the provider takes, as many samples as it takes are written, evenly spread.

    Args:
        samples: by split; a split that is missing or empty is not written.
        format: one of `llmops.data.exports.FORMATS`.
        folder: created where it is missing; usually ``<home>/jobs/files/<the job's>``.
        what: the dataset version, for messages: ``support@3``.
        limits: other ones than the format has (`llmops.data.exports.provider_limits.LIMITS`).
        tokenizer: the base model's, as for `token_counts`; without one the tokens are estimated.
        warn: told each thing that the provider takes but not as it is.

    Raises:
        InputError: there is nothing to train on, the provider would refuse a file, or the folder cannot be written.
            Nothing is left behind then.
    """
    limits = limits or LIMITS.get(format, FormatLimits())
    train, validation = samples.get("train", ()), samples.get("validation", ())
    if not _rows(train):
        raise InputError(f"{what} has no samples in its split `train`: there is nothing to fine-tune on")
    validation = _at_most(validation, limits.maximum_validation_count, what, warn)
    for split, part in (("train", train), ("validation", validation)):
        if _rows(part):
            _check(part, split, format, limits, tokenizer, what, warn)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be created ({error.strerror}); set LLMOPS_HOME to another folder"
        ) from error
    counted = _Counted(train, tokenizer)
    training = _write(counted, folder, format, "train", limits)
    return TrainingFiles(
        training=training,
        validation=_write(validation, folder, format, "validation", limits) if _rows(validation) else None,
        examples=counted.rows,
        validation_examples=_rows(validation),
        tokens=counted.tokens,
        tokens_estimated=tokenizer is None,
    )


def remove_training_files(files: TrainingFiles) -> None:
    """Remove what `write_training_files` wrote, once the job has succeeded; it can be written again from the version.

    Their folder goes with them unless it holds something else.
    """
    for file in (files.training, files.validation):
        if file is not None:
            file.unlink(missing_ok=True)
    with suppress(OSError):  # not empty, or gone already
        files.training.parent.rmdir()


def _rows(samples: Samples) -> int:
    if isinstance(samples, Sized) and not isinstance(samples, Sequence):
        return len(samples)  # a table, or batches that know how many samples they hold
    return sum(map(len, samples))


def _at_most(samples: Samples, maximum: int | None, what: str, warn: Callable[[Finding], None]) -> Samples:
    rows = _rows(samples)
    if maximum is None or rows <= maximum:
        return samples
    kept = np.linspace(0, rows - 1, maximum).round().astype(np.int64)
    message = f"{maximum:,} of {rows:,} validation samples are used, the most that the provider takes"
    warn(Finding(severity="warning", rule="validation-cut", file=what, line=None, sample_id=None, message=message))
    return pa.Table.from_batches(record_batches(samples)).take(kept)


def _check(
    samples: Samples,
    split: str,
    format: str,
    limits: FormatLimits,
    tokenizer: str | None,
    what: str,
    warn: Callable[[Finding], None],
) -> None:
    findings = check_format(samples, format, limits, split=split, tokenizer=tokenizer, name=what)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise InputError(f"{what} ({split}) cannot be trained on as {format}: {errors_line(errors, _described)}")
    for finding in findings:
        warn(finding)


def _described(finding: Finding) -> str:
    return f"sample {finding.sample_id}: {finding.message}" if finding.sample_id else finding.message


class _Counted:
    """Batches of samples whose rows and tokens are counted as they pass."""

    def __init__(self, samples: Samples, tokenizer: str | None) -> None:
        self.samples = samples
        self.tokenizer = tokenizer
        self.rows = 0
        self.tokens = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in record_batches(self.samples):
            self.rows += len(batch)
            self.tokens += int(token_counts(sample_texts(batch), self.tokenizer).sum())
            yield batch


def _write(samples: Samples | _Counted, folder: Path, format: str, split: str, limits: FormatLimits) -> Path:
    suffix = ".parquet" if format == "parquet" else ".jsonl"
    draft = folder / f".{format}-{split}-{uuid4().hex}{suffix}"
    try:
        write_samples(samples, draft, format, maximum_bytes=limits.maximum_bytes)
        file = folder / f"{format}-{split}-{file_digest(draft)[:16]}{suffix}"
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return file
