"""Prepare a dataset: read, check, de-duplicate, split, augment, publish a version."""

from typing import Literal

from prefect import flow

from llmops.data import DatasetKind, PreparationConfig
from llmops.names import require_name
from tasks.dataset_preparation import DatasetSource, publish_dataset
from tasks.dataset_report import preparation_metrics, report_place
from tasks.results import DatasetResult
from tasks.tracking import log_dataset, log_metrics, log_params, tracked_run


@flow(name="prepare-dataset")
def prepare_dataset(
    source: str,
    name: str,
    kind: DatasetKind = "user",
    test_source: str | None = None,
    on_error: Literal["refuse", "drop"] = "refuse",
    preparation: PreparationConfig = PreparationConfig(),
) -> DatasetResult:
    """Prepare a dataset: read, check, de-duplicate, split, augment, publish a version.

    Args:
        source: file, folder or pattern, here or on s3://, of JSONL, JSON, CSV, TSV or Parquet.
        name: what the dataset is called; versions of one name are numbered.
        kind: what the dataset is for.
        test_source: the same for the rows of the test split; without it a tenth of the source is.
        on_error: what to do when rows have errors: publish nothing, or drop them and publish the others.
        preparation: columns, rules, duplicates, splits and augmentation.
    """
    require_name(name)
    given = DatasetSource(source, test_source, on_error, preparation)
    with tracked_run("prepare-dataset", experiment=name, tags={"dataset.kind": kind}) as run:
        log_params(run.run_id, {"source": source, "test_source": test_source, "kind": kind, **given.settings()})
        published = publish_dataset(given, name, kind, run.run_id)
        log_dataset(run.run_id, published.version, "preparation")
        log_metrics(run.run_id, preparation_metrics(published.report))
    return DatasetResult(
        dataset=published.version.uri,
        version=published.version,
        report=published.report,
        reused=published.reused,
        run_id=run.run_id,
        report_at=report_place(run.run_id),
    )


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("prepare-dataset")
