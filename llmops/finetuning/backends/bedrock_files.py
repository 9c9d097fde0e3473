"""A job's files in S3: training data brought there once, and what the job has left there, read."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from llmops.digests import file_digest
from llmops.finetuning.backends.aws_failures import aws_failures
from llmops.finetuning.backends.backend import BackendError, MetricPoint

# https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-analyze.html: the files' names and columns.
_METRICS = {
    "step_wise_training_metrics.csv": ("training_loss", "loss"),
    "validation_metrics.csv": ("validation_loss", "validation_loss"),
}
_FETCHED = (".csv", ".json", ".jsonl")


def upload_once(s3: Any, file: Path, uri: str) -> None:
    """Bring a file to S3, unless the very same is there.

    The object carries the file's SHA-256, which its ETag is not where a file is uploaded in parts; S3 checks what
    arrives by a checksum of its own.
    """
    bucket, key = _bucket_and_key(uri)
    digest = file_digest(file)
    try:
        with aws_failures(f"looking for {uri}", _where(s3)):
            there = s3.head_object(Bucket=bucket, Key=key)
    except BackendError as error:
        # S3 answers 403 for what is not there to those who may not list the bucket; the upload says which it is.
        if error.transient:
            raise
    else:
        if there["ContentLength"] == file.stat().st_size and there["Metadata"].get("sha256") == digest:
            return
    with aws_failures(f"uploading {file.name} to {uri}", _where(s3)):
        options = {"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": digest}}
        s3.upload_file(str(file), bucket, key, ExtraArgs=options)


def step_metrics(s3: Any, output_uri: str) -> tuple[MetricPoint, ...]:
    """The losses of each step, from the tables that a job leaves beside its model; none while it has left none."""
    steps: dict[int, dict[str, float]] = {}
    for key in _keys(s3, output_uri):
        name = key.rpartition("/")[2]
        if name in _METRICS:
            column, metric = _METRICS[name]
            for row in csv.DictReader(io.StringIO(_text(s3, output_uri, key))):
                step, value = _number(row.get("step_number")), _number(row.get(column))
                if step is not None and value is not None:
                    steps.setdefault(int(step), {})[metric] = value
    return tuple(MetricPoint(step=step, metrics=steps[step]) for step in sorted(steps))


def fetch_files(s3: Any, output_uri: str, folder: Path) -> Sequence[Path]:
    """Bring the tables and manifests that a job has left into a folder, under the names they have there."""
    bucket, prefix = _bucket_and_key(output_uri)
    written = []
    for key in _keys(s3, output_uri):
        name = key.removeprefix(prefix).lstrip("/")
        file = folder / name
        if not name.endswith(_FETCHED) or not file.resolve().is_relative_to(folder.resolve()):
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        with aws_failures(f"fetching {key}", _where(s3)):
            # Written under another name first: it is there as a whole or not at all.
            s3.download_file(bucket, key, str(file))
        written.append(file)
    return written


def _keys(s3: Any, uri: str) -> Iterable[str]:
    bucket, prefix = _bucket_and_key(uri)
    with aws_failures(f"listing {uri}", _where(s3)):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _text(s3: Any, uri: str, key: str) -> str:
    with aws_failures(f"reading {key}", _where(s3)):
        content: bytes = s3.get_object(Bucket=_bucket_and_key(uri)[0], Key=key)["Body"].read()
    return content.decode("utf-8-sig", errors="replace")


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _where(s3: Any) -> str:
    return f"S3 in {s3.meta.region_name}"


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
