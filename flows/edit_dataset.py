"""Edit a dataset: add samples, failures among them, retire others, and publish the result as a new version."""

from typing import Literal

from prefect import flow

from llmops.data import ColumnMapping, DatasetKind
from tasks.dataset_edits import DatasetEdit, EditResult, publish_edit, require_editable
from tasks.datasets import dataset_store
from tasks.tracking import log_dataset, log_metrics, log_params, tracked_run


@flow(name="edit-dataset")
def edit_dataset(
    name: str,
    add: str | None = None,
    retire: list[str] | None = None,
    add_failures: str | None = None,
    metric: str = "exact_match",
    split: Literal["train", "validation", "test"] | None = None,
    kind: DatasetKind | None = None,
    columns: ColumnMapping = ColumnMapping(),
    reason: str | None = None,
) -> EditResult:
    """Edit a dataset: add samples, failures among them, retire others, and publish the result as a new version.

    Args:
        name: dataset to edit, name or name@version; with a kind it may be a new one.
        add: file, folder or pattern with the samples to add, here or on s3://.
        retire: ids of samples to leave out, or files with one id a line.
        add_failures: MLflow run of an evaluation whose failed samples are added.
        metric: share that is 0 for a failed sample.
        split: where added samples go; by default as preparation does it, and into test where the dataset measures.
        kind: what a new dataset is for.
        columns: of the file to add; what is left unset is as the dataset was prepared.
        reason: why, in a few words; the version keeps it.
    """
    edit = DatasetEdit(name, add, retire or [], add_failures, metric, split, kind, columns, reason)
    require_editable(edit)
    with tracked_run("edit-dataset", experiment=name.partition("@")[0]) as run:
        log_params(
            run.run_id, {"name": name, "add": add, "retire": retire, "add_failures": add_failures, "split": split}
        )
        log_params(run.run_id, {"kind": kind, "columns": columns.model_dump(), "reason": reason, "metric": metric})
        result = publish_edit(edit, run.run_id)
        if result.parent:
            log_dataset(run.run_id, dataset_store().resolve(result.parent), "parent")
        log_dataset(run.run_id, result.version, "edit")
        changes = result.difference
        log_metrics(run.run_id, {sort: getattr(changes, sort) for sort in ("added", "removed", "changed", "moved")})
    return result


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("edit-dataset")
