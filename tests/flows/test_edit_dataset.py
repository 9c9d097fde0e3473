"""Edits as a person makes them: production failures into a new regression set, more samples, some retired."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mlflow import MlflowClient

from llmops.data import ColumnMapping, DatasetStore
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.errors import InputError
from llmops.evaluation.held_out import HeldOut
from tasks.evaluated_samples import log_samples
from tasks.tracking import tracked_run

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("home", "prefect_server")]

Edit = Callable[..., Any]
Rows = Sequence[tuple[str, str]]


@pytest.fixture
def edit() -> Edit:
    """The flow."""
    from flows.edit_dataset import edit_dataset

    return edit_dataset


@pytest.fixture
def store(home: Path) -> DatasetStore:
    """The datasets of this home."""
    return DatasetStore(home / "datasets")


def write(file: Path, rows: Rows) -> str:
    file.write_text("".join(json.dumps({"input": text, "expected": right}) + "\n" for text, right in rows))
    return str(file)


def publish(store: DatasetStore, rows: Rows, splits: Sequence[str], **options: Any) -> None:
    texts = [pa.chunked_array([[row[part] for row in rows]], pa.string()) for part in (0, 1)]
    column = SAMPLE_SCHEMA.get_field_index("split")
    table = sample_table(input=texts[0], expected=texts[1])
    store.publish(
        "support", table.set_column(column, SAMPLE_SCHEMA.field(column), pa.array(splits, pa.string())), **options
    )


def ids(store: DatasetStore, reference: str) -> dict[str, str]:
    table = store.read(store.resolve(reference))
    return dict(zip(table["input"].to_pylist(), table["id"].to_pylist(), strict=True))


def test_add_and_retire_make_a_version_with_its_lineage(edit: Edit, store: DatasetStore, tmp_path: Path) -> None:
    publish(store, [("a", "1"), ("b", "2"), ("c", "3")], ["train", "validation", "test"], config={"seed": 3})
    more = write(tmp_path / "more.jsonl", [("c", "another"), ("a ", "1"), ("where is my cat", "there")])
    gone = tmp_path / "gone.txt"
    gone.write_text(ids(store, "support")["b"] + "\n")
    result = edit("support", add=more, retire=[str(gone)], split="train", reason="a cat was missing")

    version = store.resolve("support@2")
    assert (result.dataset, result.parent, result.reused) == ("support@2", "support@1", False)
    assert (version.parent, version.kind, version.config) == (1, "user", {"seed": 3})
    assert version.edit is not None
    assert version.edit.model_dump() == {
        "reason": "a cat was missing", "added": 2, "retired": 1, "repeats": 1, "bridging": 0,
    }  # fmt: skip
    rows = store.read(version).select(["input", "expected", "split"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a", "1", "train"),
        ("c", "3", "test"),
        ("c", "another", "test"),  # its input is there
        ("where is my cat", "there", "train"),
    ]
    assert [(Path(source.path).name, source.rows) for source in version.sources] == [("more.jsonl", 3), ("gone.txt", 1)]
    run = MlflowClient().get_run(result.run_id)
    inputs = {(one.dataset.name, one.tags[0].value) for one in run.inputs.dataset_inputs}
    assert inputs == {("support@1", "parent"), ("support@2", "edit")}
    assert run.data.tags["dataset.digest"] == version.digest
    assert {name: run.data.metrics[name] for name in ("added", "removed")} == {"added": 2, "removed": 1}
    assert "difference.json" in {file.path for file in MlflowClient().list_artifacts(result.run_id)}


def llmops(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    environment = {**os.environ, "LLMOPS_HOME": str(home), "COLUMNS": "120"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_difference_is_shown(edit: Edit, store: DatasetStore, home: Path, tmp_path: Path) -> None:
    publish(store, [("a", "1"), ("b", "2")], ["train", "test"])
    edit("support", add=write(tmp_path / "more.jsonl", [("b", "3")]), retire=[ids(store, "support")["b"]])
    shown = json.loads(llmops(home, "show", "dataset", "support", "--against", "support@1", "--json").stdout)
    assert (shown["old"], shown["new"], shown["changed"], shown["unchanged"]) == ("support@1", "support@2", 1, 1)
    assert shown["changed_samples"][0]["fields"] == [{"field": "expected", "before": "2", "after": "3"}]
    read = llmops(home, "show", "dataset", "support@1", "--against", "support@2").stdout
    assert "support@2 → support@1: 0 added, 0 removed, 1 changed, 0 moved, 1 unchanged" in read
    refused = llmops(home, "show", "run", "support", "--against", "support@1")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--against compares two datasets, not a run" in refused.stderr


def test_failures_become_a_regression_set_in_one_command(edit: Edit, store: DatasetStore) -> None:
    held = HeldOut(["q1", "q2", "q3"], [["r1"], ["r2", "R2"], ["r3"]], ["g1", "g2", "g3"])
    with tracked_run("evaluate", experiment="support") as run:
        log_samples(run.run_id, held, ["r1", "no", "never"], {"exact_match": np.array([1.0, 0.0, 0.0])})
    result = edit("regressions", add_failures=run.run_id, kind="regression")
    version = store.resolve("regressions")
    assert (version.kind, version.parent, version.counts) == (
        "regression",
        None,
        {"train": 0, "validation": 0, "test": 3},
    )
    rows = store.read(version).select(["input", "expected", "group", "metadata"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (text, right, group, [("failed_in", run.run_id)])
        for text, right, group in (("q2", "r2", "g2"), ("q2", "R2", "g2"), ("q3", "r3", "g3"))
    ]
    assert version.sources[0].path == f"runs:/{run.run_id}/samples.parquet"
    again = edit("regressions", add_failures=run.run_id, kind="regression")
    assert (again.dataset, again.reused, again.edit.repeats) == (result.dataset, True, 3)


def test_production_traffic_with_columns_of_its_own(edit: Edit, store: DatasetStore, tmp_path: Path) -> None:
    log = tmp_path / "traffic"
    log.mkdir()
    (log / "monday.csv").write_text("request,corrected,user\nhello,hi there,u1\n")
    (log / "tuesday.csv").write_text("request,corrected,user\nbye,see you,u2\nhello,hi there,u3\n")
    edit("golden", add=str(log), kind="golden", columns=ColumnMapping(input="request", expected="corrected"))
    version = store.resolve("golden")
    assert store.read(version)["input"].to_pylist() == ["hello", "bye"]
    assert [(Path(source.path).name, source.rows) for source in version.sources] == [
        ("monday.csv", 1),
        ("tuesday.csv", 2),
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "nothing to do: give --add, --retire or --add-failures"),
        ({"name": "nobody", "retire": ["x"]}, r"no dataset 'nobody' .*; to make it, say with --kind"),
        ({"name": "nobody", "kind": "golden", "retire": ["x"]}, "cannot retire x: the version has no sample"),
        ({"name": "support@7", "retire": ["x"]}, "has no version '7'"),
        ({"kind": "golden", "retire": ["x"]}, "support@1 is a user dataset: leave --kind out"),
        ({"retire": ["0123", "gone.txt"]}, "--retire gone.txt: no such file"),
        ({"retire": ["0123"]}, "cannot retire 0123: the version has no sample"),
        ({"add": "missing.jsonl"}, "missing.jsonl"),
        ({"add_failures": "0123"}, "there is no MLflow run '0123'"),
        ({"add_failures": "0123", "metric": "bleu"}, "bleu does not say right or wrong"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_publishes_nothing(
    edit: Edit, store: DatasetStore, options: dict[str, Any], complaint: str
) -> None:
    publish(store, [("a", "1"), ("b", "2")], ["train", "test"])
    with pytest.raises(InputError, match=complaint):
        edit(**{"name": "support", **options})
    assert store.names() == ["support"]
    assert len(store.versions("support")) == 1


def test_faulty_rows_are_named_by_file_and_line(edit: Edit, store: DatasetStore, tmp_path: Path) -> None:
    publish(store, [("a", "1"), ("b", "2")], ["train", "test"])
    bad = write(tmp_path / "bad.jsonl", [("fine", "1"), ("", "2"), ("c\0d", "3")])
    with pytest.raises(InputError, match=r"bad\.jsonl:2: input is empty.*bad\.jsonl:3: .*NUL"):
        edit("support", add=bad)
    assert len(store.versions("support")) == 1
