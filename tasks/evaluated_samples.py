"""What an evaluation leaves of every single sample beside its MLflow run, and the failures among them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
from llmops.evaluation.answers.collected import table_of
from llmops.evaluation.comparison.measured_tables import to_table
from llmops.evaluation.metrics.measurement import METRICS
from llmops.evaluation.metrics.metric import Measured
from llmops.evaluation.questions import QUESTION_SCHEMA, Questions
from tasks.datasets import dataset_store

SAMPLES_FILE = "samples.parquet"
STATISTICS_FILE = "statistics.parquet"
NOT_A_SHARE = "{} does not say right or wrong; choose a metric that is a share, such as exact_match"


def log_samples(
    run_id: str, questions: Questions, batches: Sequence[Path], measured: Mapping[str, Measured], first_rows: int = 1000
) -> None:
    """Leave beside a run what was asked, answered and measured of every question.

    ``samples.parquet`` has a row a question: id, input, context, references, group, sample ids, the answers that came,
    in the order of the repeats (null where a request failed), with what went wrong, and one column a metric. References
    and sample ids are lists of one length; the ids are those of the dataset version that the run logged.
    ``statistics.parquet`` has what a later run needs to be compared with this one. ``predictions.json`` shows the first
    rows on MLflow's pages.

    Args:
        run_id: the run.
        questions: the n questions.
        batches: the files of their answers.
        measured: each metric.
        first_rows: rows of ``predictions.json``.
    """
    scores = {name: _by_question(one, questions) for name, one in measured.items()}
    schema = _schema(measured)
    client = MlflowClient()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / SAMPLES_FILE
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for place, outputs, errors in _answers(batches, len(questions)):
                columns = [questions.slice(place.start, place.stop).table[name] for name in _OF_THE_QUESTION]
                columns += [outputs, errors]
                # Null, not NaN: a metric that was not measured is missing.
                columns += [pa.array(values[place.start : place.stop], from_pandas=True) for values in scores.values()]
                writer.write_table(pa.table(columns, schema=schema))
        client.log_artifact(run_id, str(file))
        if measured:
            statistics = Path(folder) / STATISTICS_FILE
            pq.write_table(to_table(measured), statistics, compression="zstd")
            client.log_artifact(run_id, str(statistics))
        shown = pq.ParquetFile(file).iter_batches(first_rows, columns=["input", "references", "outputs", *scores])
        rows = pa.Table.from_batches([next(shown)]).to_pandas()
    rows["references"] = ["\n".join(texts) for texts in rows["references"]]
    rows["outputs"] = ["\n".join(text or "" for text in ([] if texts is None else texts)) for texts in rows["outputs"]]
    client.log_table(run_id, rows.rename(columns={"outputs": "output"}), "predictions.json")


def _by_question(measured: Measured, questions: Questions) -> np.ndarray:
    """(n,) a metric on each question by itself; NaN where it was not measured."""
    order = np.argsort(questions.ids)
    values = np.full(len(questions), np.nan)
    values[order[np.searchsorted(questions.ids[order], measured.ids)]] = measured.per_sample()
    return values


def _answers(batches: Sequence[Path], total: int) -> Iterator[tuple[range, pa.Array, pa.Array]]:
    """The answers and errors to the questions of each batch, as lists, and the places of these questions."""
    start = 0
    for file in batches:
        table = table_of(file)
        stop = int(table["question"][-1].as_py()) + 1 if len(table) else start
        offsets = pa.array(np.searchsorted(table["question"].to_numpy(), np.arange(start, stop + 1)), pa.int32())
        lists = (pa.ListArray.from_arrays(offsets, table[name].combine_chunks()) for name in ("text", "error"))
        yield range(start, stop), *lists
        start = stop
    none = pa.nulls(total - start, pa.list_(pa.string()))  # the last questions have no answer
    yield range(start, total), none, none


_OF_THE_QUESTION = ("id", "input", "context", "references", "group", "sample_ids")


def _schema(measured: Mapping[str, Measured]) -> pa.Schema:
    texts = pa.list_(pa.string())
    own = [QUESTION_SCHEMA.field(name) for name in _OF_THE_QUESTION]
    scores = [
        pa.field(name, pa.float64(), metadata={"scale": one.metric.scale, "label": one.metric.label})
        for name, one in measured.items()
    ]
    return pa.schema([*own, ("outputs", texts), ("errors", texts), *scores])


@dataclass(frozen=True)
class FailedSamples:
    """The samples that a model failed on, as a reader returns them, and the file they came from."""

    uri: str
    digest: str
    samples: pa.Table


def failed_samples(run_id: str, metric: str) -> FailedSamples:
    """The samples of an evaluation on which a metric that says right or wrong is 0; one for each right answer.

    They are the very samples of the dataset version that was evaluated, context, conversation and metadata included;
    the metadata says in addition in which run they failed (``failed_in``).

    Raises:
        InputError: there is no such run, it is no evaluation, it has no such metric, or its dataset is gone.
    """
    if metric in METRICS and METRICS[metric].scale != "share":
        raise InputError(NOT_A_SHARE.format(metric))
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
    if (table.field(metric).metadata or {}).get(b"scale") != b"share":
        raise InputError(NOT_A_SHARE.format(metric))
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
