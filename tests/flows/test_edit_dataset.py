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
from llmops.evaluation.metrics.measurement import find_metric
from llmops.evaluation.metrics.metric import Measured
from llmops.evaluation.questions import distinct_questions
from tasks.evaluated_samples import log_samples
from tasks.tracking import log_dataset, tracked_run

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
    store.publish("support", into(sample_table(input=texts[0], expected=texts[1]), splits), **options)


def into(table: pa.Table, splits: Sequence[str]) -> pa.Table:
    column = SAMPLE_SCHEMA.get_field_index("split")
    return table.set_column(column, SAMPLE_SCHEMA.field(column), pa.array(splits, pa.string()))


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
        "reason": "a cat was missing", "added": 2, "retired": 1, "repeats": 1, "twins": 0, "bridging": 0,
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
    texts = {
        "input": ["q1", "q2", "q2", "q2"],
        "expected": ["r1", "r2", "R2", "r4"],
        "context": [None, "today", "today", "tomorrow"],
    }
    columns = {name: pa.chunked_array([pa.array(values, pa.string())]) for name, values in texts.items()}
    evaluated = store.publish("support", into(sample_table(**columns), ["test"] * 4))
    questions = distinct_questions(store.read(evaluated))
    with tracked_run("evaluate", experiment="support") as run:
        log_dataset(run.run_id, evaluated, "evaluation")
        rows = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
        measured = Measured(find_metric("exact_match"), rows, questions.groups, questions.ids)
        log_samples(run.run_id, questions, [], {"exact_match": measured})
    result = edit("regressions", add_failures=run.run_id, kind="regression")
    version = store.resolve("regressions")
    assert (version.kind, version.parent, version.counts) == (
        "regression",
        None,
        {"train": 0, "validation": 0, "test": 2},
    )
    rows = store.read(version).select(["input", "expected", "context", "metadata"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("q2", right, "today", [("failed_in", run.run_id)]) for right in ("R2", "r2")
    ]
    assert version.sources[0].path == f"runs:/{run.run_id}/samples.parquet"
    again = edit("regressions", add_failures=run.run_id, kind="regression")
    assert (again.dataset, again.reused, again.edit.repeats) == (result.dataset, True, 2)


LONG = "my parcel with the number {} should have come on monday but nobody rang and there was no card in the box"


def test_near_twins_of_what_is_there_are_not_added(edit: Edit, store: DatasetStore, tmp_path: Path) -> None:
    publish(store, [(LONG.format(17), "we look for it at once"), ("b", "2")], ["train", "test"])
    rows = [(f"{LONG.format(17)} {word}", "we look for it at once") for word in ("please", "today", "again")]
    result = edit("support", add=write(tmp_path / "more.jsonl", [*rows, ("c", "3")]))
    assert (result.edit.added, result.edit.twins) == (1, 3)
    assert store.read(store.resolve("support"))["input"].to_pylist()[2:] == ["c"]


def test_added_rows_must_not_repeat_what_the_dataset_was_prepared_without(
    edit: Edit, store: DatasetStore, tmp_path: Path
) -> None:
    benchmark = write(tmp_path / "benchmark.jsonl", [(LONG.format(17), "we look for it")])
    config = {"validation": {"contamination": [benchmark], "rules": {"test-contamination": {"action": "refuse"}}}}
    publish(store, [("a", "1"), ("b", "2")], ["train", "test"], config=config)
    more = write(tmp_path / "more.jsonl", [("c", "3"), (LONG.format(18), "we look for it")])
    with pytest.raises(InputError, match=r"more\.jsonl:2: 100% overlap with row 1 of .*benchmark\.jsonl"):
        edit("support", add=more)
    Path(benchmark).unlink()
    with pytest.raises(InputError, match=r"validation\.contamination\) cannot be read: .*benchmark\.jsonl"):
        edit("support", add=more)
    assert len(store.versions("support")) == 1


def test_shares_of_faulty_rows_are_those_of_all_added_rows(edit: Edit, store: DatasetStore, tmp_path: Path) -> None:
    config = {"validation": {"rules": {"personal-data": {"action": "warn", "refuse_above": 0.4}}}}
    publish(store, [("a", "1"), ("b", "2")], ["train", "test"], config=config)
    folder = tmp_path / "more"
    folder.mkdir()
    write(folder / "1.jsonl", [("write to ann@firm.com", "yes")])
    write(folder / "2.jsonl", [("c", "3"), ("d", "4")])
    assert edit("support", add=str(folder)).warnings == {"personal-data": 1}
    write(folder / "3.jsonl", [("write to bob@firm.com", "yes")])
    with pytest.raises(InputError, match=r"1\.jsonl:1: .*3\.jsonl:1: "):
        edit("support", add=str(folder))


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
    assert [found.name for found in store.root.iterdir() if found.is_dir()] == ["support"]
    assert len(store.versions("support")) == 1


def test_faulty_rows_are_named_by_file_and_line(edit: Edit, store: DatasetStore, tmp_path: Path) -> None:
    publish(store, [("a", "1"), ("b", "2")], ["train", "test"])
    bad = write(tmp_path / "bad.jsonl", [("fine", "1"), ("", "2"), ("c\0d", "3")])
    with pytest.raises(InputError, match=r"bad\.jsonl:2: input is empty.*bad\.jsonl:3: .*NUL"):
        edit("support", add=bad)
    assert len(store.versions("support")) == 1


def test_settings_that_this_release_does_not_know_are_named(edit: Edit, store: DatasetStore) -> None:
    config = {"validation": {"rules": {"wit": {"action": "refuse"}}}}
    publish(store, [("a", "1"), ("b", "2")], ["train", "test"], config=config)
    with pytest.raises(InputError, match=r"support@1 was prepared with .* \(validation\.rules: .*no such rule: wit"):
        edit("support", retire=[ids(store, "support")["b"]])
