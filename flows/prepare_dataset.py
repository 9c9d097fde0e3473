"""Prepare a dataset: read, validate, de-duplicate, split, publish a version."""

from pathlib import Path
from typing import Literal

from prefect import flow

from llmops.data import PreparationConfig
from llmops.names import require_name
from tasks.datasets import publish_dataset
from tasks.results import DatasetResult
from tasks.tracking import log_dataset, log_metrics, log_params, tracked_run


@flow(name="prepare-dataset")
def prepare_dataset(
    source: Path,
    name: str,
    kind: Literal["golden", "regression", "benchmark", "user"] = "user",
    test_source: Path | None = None,
    preparation: PreparationConfig = PreparationConfig(),
) -> DatasetResult:
    """Prepare a dataset: read, validate, de-duplicate, split, publish a version.

    Args:
        source: JSONL, CSV or Parquet file with the samples.
        name: what the dataset is called; versions of one name are numbered.
        kind: what the dataset is for.
        test_source: file whose rows are the test split; without it a tenth of the source is.
        preparation: columns, split ratios and seed.
    """
    require_name(name)
    with tracked_run("prepare-dataset", experiment=name) as run:
        log_params(run.run_id, {"source": source, "test_source": test_source, **preparation.model_dump()})
        version, report = publish_dataset(source, name, kind, preparation, test_source)
        log_dataset(run.run_id, version, "preparation")
        log_metrics(run.run_id, {f"rows.{split}": count for split, count in version.counts.items()})
    return DatasetResult(dataset=version.uri, version=version, report=report, run_id=run.run_id)


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("prepare-dataset")
