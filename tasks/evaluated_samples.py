"""What an evaluation leaves of every single sample beside its MLflow run, and the failures among them."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.data.versions.manifest import DatasetVersion
from llmops.digests import file_digest
from llmops.errors import InputError
from llmops.evaluation.metrics.measurement import find_metric
from llmops.evaluation.questions import Questions
from tasks.datasets import dataset_store

SAMPLES_FILE = "samples.parquet"


def log_samples(run_id: str, questions: Questions, outputs: Sequence[str], scores: Mapping[str, np.ndarray]) -> None:
    """Leave ``samples.parquet`` beside a run: input, references, output, group, sample ids, and one column a metric.

    References and sample ids are lists of one length; the ids are those of the dataset version that the run logged.

    Args:
        run_id: the run.
        questions: the n questions.
        outputs: n answers.
        scores: each metric on each question by itself, (n,).
    """
    columns = {
        "input": questions.table["input"],
        "references": questions.table["references"],
        "output": pa.array(outputs, pa.string()),
        "group": questions.table["group"],
        "sample_ids": questions.table["sample_ids"],
        **{name: pa.array(values, pa.float64()) for name, values in scores.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / SAMPLES_FILE
        pq.write_table(pa.table(columns), file, compression="zstd")
        MlflowClient().log_artifact(run_id, str(file))


@dataclass(frozen=True)
class FailedSamples:
    """The samples that a model failed on, as a reader returns them, and the file they came from."""

    uri: str
    digest: str
    samples: pa.Table


def failed_samples(run_id: str, metric: str) -> FailedSamples:
    """The samples of an evaluation on which a metric that is a share is 0; one for each right answer.

    They are the very samples of the dataset version that was evaluated, context, conversation and metadata included;
    the metadata says in addition in which run they failed (``failed_in``).

    Raises:
        InputError: there is no such run, it is no evaluation, it has no such metric, or its dataset is gone.
    """
    if find_metric(metric).scale != "share":
        raise InputError(f"{metric} does not say right or wrong; choose a metric that is a share, such as exact_match")
    client = MlflowClient()
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise InputError(f"there is no MLflow run {run_id!r}; `llmops list runs` shows the newest") from error
    if SAMPLES_FILE not in {file.path for file in client.list_artifacts(run_id)}:
        raise InputError(f"the run {run_id} left no {SAMPLES_FILE}: name a run of the flow evaluate")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(client.download_artifacts(run_id, SAMPLES_FILE, folder))
        table, digest = pq.read_table(file), file_digest(file)
    if metric not in table.column_names:
        raise InputError(f"the run {run_id} did not measure {metric}")
    if "sample_ids" not in table.column_names:
        raise InputError(f"the run {run_id} is of another release, which did not note its samples: evaluate again")
    lines = {
        sample: row + 1
        for row, (ids, score) in enumerate(zip(table["sample_ids"].to_pylist(), table[metric].to_pylist(), strict=True))
        for sample in ids
        if score == 0
    }
    samples = _marked(_samples_of(_evaluated(run), list(lines)), run_id)
    samples = samples.append_column("line", pa.array(lines.values(), pa.int64()))
    return FailedSamples(f"runs:/{run_id}/{SAMPLES_FILE}", digest, samples)


def _evaluated(run: Run) -> DatasetVersion:
    """The version that a run logged, see `tasks.tracking.log_dataset`."""
    uri = run.data.tags.get("dataset", "")
    try:
        version = dataset_store().resolve(uri)
    except InputError as error:
        raise InputError(f"the samples that the run {run.info.run_id} evaluated are gone: {error}") from error
    if version.digest != run.data.tags.get("dataset.digest"):
        raise InputError(f"the run {run.info.run_id} evaluated another {uri} than there is now: evaluate again")
    return version


def _samples_of(version: DatasetVersion, ids: list[str]) -> pa.Table:
    """The samples with some ids, in the order of these."""
    wanted = pa.array(ids, pa.string())
    batches = (batch.filter(pc.is_in(batch["id"], value_set=wanted)) for batch in dataset_store().batches(version))
    found = pa.Table.from_batches(batches, SAMPLE_SCHEMA)
    return found.take(pc.index_in(wanted, value_set=found["id"].combine_chunks()))


def _marked(samples: pa.Table, run_id: str) -> pa.Table:
    """The samples, as a reader returns them, with the run in their metadata."""
    keys = {key for row in samples["metadata"].to_pylist() for key, _ in row or ()}
    metadata = {key: pc.map_lookup(samples["metadata"], key, "first") for key in keys}
    metadata["failed_in"] = pa.chunked_array([[run_id] * len(samples)], pa.string())
    names = ("input", "expected", "context", "messages", "group")
    return sample_table(**{name: samples[name] for name in names}, metadata=metadata)
