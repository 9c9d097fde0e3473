"""What an evaluation leaves of every single sample beside its MLflow run, and the failures among them."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llmops.data.samples import sample_table
from llmops.digests import file_digest
from llmops.errors import InputError
from llmops.evaluation.held_out import HeldOut
from llmops.evaluation.measurement import find_metric

SAMPLES_FILE = "samples.parquet"


def log_samples(run_id: str, held: HeldOut, outputs: Sequence[str], scores: Mapping[str, np.ndarray]) -> None:
    """Leave ``samples.parquet`` beside a run: input, references (a list), output, group, and one column a metric.

    Args:
        run_id: the run.
        held: the n inputs.
        outputs: n answers.
        scores: each metric on each input by itself, (n,).
    """
    columns = {
        "input": pa.array(held.inputs, pa.string()),
        "references": pa.array(held.references, pa.list_(pa.string())),
        "output": pa.array(outputs, pa.string()),
        "group": pa.array(held.groups, pa.string()),
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

    Their metadata says in which run they failed (``failed_in``).

    Raises:
        InputError: there is no such run, it is no evaluation, or it has no such metric.
    """
    if find_metric(metric).scale != "share":
        raise InputError(f"{metric} does not say right or wrong; choose a metric that is a share, such as exact_match")
    client = MlflowClient()
    try:
        client.get_run(run_id)
    except MlflowException as error:
        raise InputError(f"there is no MLflow run {run_id!r}; `llmops list runs` shows the newest") from error
    if SAMPLES_FILE not in {file.path for file in client.list_artifacts(run_id)}:
        raise InputError(f"the run {run_id} left no {SAMPLES_FILE}: name a run of the flow evaluate")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(client.download_artifacts(run_id, SAMPLES_FILE, folder))
        table, digest = pq.read_table(file), file_digest(file)
    if metric not in table.column_names:
        raise InputError(f"the run {run_id} did not measure {metric}")
    rows = np.flatnonzero(table[metric].to_numpy() == 0)
    failed = table.take(pa.array(rows))
    # One row a reference.
    times = np.array([len(references) for references in failed["references"].to_pylist()], dtype=np.int64)
    place = np.repeat(np.arange(len(rows)), times)
    inputs, groups = (failed[name].take(pa.array(place)) for name in ("input", "group"))
    expected = [text for references in failed["references"].to_pylist() for text in references]
    samples = sample_table(
        input=inputs,
        expected=pa.chunked_array([expected], pa.string()),
        group=groups,
        metadata={"failed_in": pa.chunked_array([[run_id] * len(place)], pa.string())},
    )
    samples = samples.append_column("line", pa.array(rows[place] + 1))
    return FailedSamples(f"runs:/{run_id}/{SAMPLES_FILE}", digest, samples)
