"""Evaluations of before, to be compared with: their statistics are read, nothing is asked or scored again."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.evaluation.comparison.measured_tables import from_table
from llmops.evaluation.metrics.metric import Measured, Metric
from tasks.evaluated_samples import STATISTICS_FILE

RUN = "run:"
LAST = "last"
VOCABULARY_TAG = "evaluation.vocabulary"
KEY_TAG = "evaluation.of"


@dataclass(frozen=True)
class EarlierRun:
    """A finished evaluation: who it evaluated, and what it measured by the metrics that are known now."""

    run_id: str
    label: str
    measured: Mapping[str, Measured]
    vocabulary: str | None


def is_earlier(baseline: str) -> bool:
    """Whether a baseline is an evaluation of before rather than a model that is asked."""
    return baseline == LAST or baseline.startswith(RUN)


def evaluation_key(dataset: str, split: str, model: str) -> str:
    """What two evaluations have in common of which the later is compared with the ``last``."""
    return content_digest([dataset, split, model])


def find_earlier(baseline: str, key: str, experiment: str, metrics: Mapping[str, Metric]) -> EarlierRun | None:
    """The evaluation that ``run:ID`` or ``last`` names; None where there is no last one yet.

    Args:
        baseline: ``run:ID``, or ``last`` for the newest finished evaluation of the same model on the same dataset.
        key: see `evaluation_key`.
        experiment: where the last one is looked for.
        metrics: those that are measured now.

    Raises:
        InputError: there is no such run, or it is no finished evaluation by any of these metrics.
    """
    run = _last(key, experiment) if baseline == LAST else _named(baseline.removeprefix(RUN))
    if run is None:
        return None
    run_id = run.info.run_id
    client = MlflowClient()
    if STATISTICS_FILE not in {file.path for file in client.list_artifacts(run_id)}:
        raise InputError(f"baseline {baseline}: the run left no {STATISTICS_FILE}; name a finished run of evaluate")
    with tempfile.TemporaryDirectory() as folder:
        table = pq.read_table(Path(client.download_artifacts(run_id, STATISTICS_FILE, folder)))
    measured = from_table(table, metrics)
    if not measured:
        known = ", ".join(name for name in table.column_names if name not in ("id", "group"))
        raise InputError(f"baseline {baseline} was measured by {known}, and none of these is measured now")
    label = f"{run.data.tags.get('model', 'run')} ({LAST if baseline == LAST else run_id[:8]})"
    return EarlierRun(run_id, label, measured, run.data.tags.get(VOCABULARY_TAG))


def _named(run_id: str) -> Run:
    try:
        return MlflowClient().get_run(run_id)
    except MlflowException as error:
        raise InputError(f"there is no MLflow run {run_id!r}; `llmops list runs` shows the newest") from error


def _last(key: str, experiment: str) -> Run | None:
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    runs = client.search_runs(
        [found.experiment_id],
        f"tags.`{KEY_TAG}` = '{key}' and attributes.status = 'FINISHED'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return runs[0] if runs else None
