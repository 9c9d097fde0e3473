"""What an evaluation leaves of every sample, and the failures read back from it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from llmops.data import DatasetStore, DatasetVersion
from llmops.data.conversations import from_messages
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.errors import InputError
from llmops.evaluation.answers import BATCH_SCHEMA
from llmops.evaluation.metrics.measurement import build_metrics, find_metric, gather
from llmops.evaluation.metrics.metric import Answers
from llmops.evaluation.metrics.scoring import score
from llmops.evaluation.questions import distinct_questions
from tasks.evaluated_samples import failed_samples, log_samples
from tasks.tracking import log_dataset, tracked_run

CHAT = from_messages(
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "q3"},
        {"role": "assistant", "content": "three"},
    ]
).messages
ROWS = [
    {"input": "q1", "expected": "one", "group": "g1"},
    {"input": "q2", "expected": "two", "context": "in English", "group": "g2", "source": "wiki"},
    {"input": "q2", "expected": "deux", "context": "in French", "group": "g2"},
    {"input": "q2", "expected": "zwo", "context": "in German", "group": "g2"},
    {"input": "q2", "expected": "zwei", "context": "in German", "group": "g2"},
    {"input": "q3", "expected": "three", "messages": CHAT, "group": "g3"},
]
ANSWERS = {"q1": "one", "q2": "deux", "q3": "three cats"}


def table(rows: list[dict[str, Any]]) -> pa.Table:
    names = ("input", "expected", "context", "messages", "group", "source")
    columns = {name: pa.chunked_array([[row.get(name) for row in rows]], pa.string()) for name in names}
    made = sample_table(**{name: columns[name] for name in names[:-1]}, metadata={"source": columns["source"]})
    split = SAMPLE_SCHEMA.get_field_index("split")
    return made.set_column(split, SAMPLE_SCHEMA.field(split), pa.array(["test"] * len(rows), pa.string()))


@pytest.fixture
def version(home: Path) -> DatasetVersion:
    """What was evaluated."""
    return DatasetStore(home / "datasets").publish("support", table(ROWS))


@pytest.fixture
def run_id(version: DatasetVersion, tmp_path: Path) -> str:
    """An evaluation of a model that gives one answer to a question, whatever its context: wrong in most."""
    questions = distinct_questions(table(ROWS))
    outputs = [ANSWERS[text] for text in questions.inputs]
    rows = score(build_metrics(["exact_match", "rougeL"]), Answers(outputs, questions.references))
    place = np.arange(len(questions))
    measured = {
        name: gather(find_metric(name), values, place, questions.ids, questions.groups) for name, values in rows.items()
    }
    with tracked_run("evaluate", experiment="support") as run:
        log_dataset(run.run_id, version, "evaluation")
        log_samples(run.run_id, questions, batches(tmp_path, outputs), measured)
    return run.run_id


def batches(folder: Path, outputs: list[str]) -> list[Path]:
    """The answers in two files, as a collection leaves them."""
    files = []
    for number, part in enumerate((range(3), range(3, len(outputs)))):
        known = {"text": [outputs[place] for place in part], "question": list(part)}
        columns = [pa.array(known.get(one.name, [None] * len(part)), one.type) for one in BATCH_SCHEMA]
        files.append(folder / f"{number}.arrow")
        with pa.OSFile(str(files[-1]), "wb") as file, pa.ipc.new_file(file, BATCH_SCHEMA) as writer:
            writer.write_table(pa.table(columns, schema=BATCH_SCHEMA))
    return files


def test_every_question_has_its_answer_its_scores_and_its_samples(run_id: str, tmp_path: Path) -> None:
    found = pq.read_table(MlflowClient().download_artifacts(run_id, "samples.parquet", str(tmp_path)))
    assert found.column_names[:6] == ["id", "input", "context", "references", "group", "sample_ids"]
    assert found["references"].to_pylist() == [["one"], ["two"], ["deux"], ["zwei", "zwo"], ["three"]]
    assert found["outputs"].to_pylist() == [["one"], ["deux"], ["deux"], ["deux"], ["three cats"]]
    assert found["exact_match"].to_pylist() == [1.0, 0.0, 1.0, 0.0, 0.0]
    assert found["rougeL"].to_pylist()[0] == pytest.approx(100)
    assert 0 < found["rougeL"].to_pylist()[4] < 100
    ids = table(ROWS)["id"].to_pylist()
    assert found["sample_ids"].to_pylist() == [[ids[0]], [ids[1]], [ids[2]], [ids[4], ids[3]], [ids[5]]]


def test_failures_are_the_samples_that_failed_with_the_run_in_their_metadata(run_id: str) -> None:
    failed = failed_samples(run_id, "exact_match")
    there = [ROWS[number] for number in (1, 4, 3, 5)]
    names = ("input", "expected", "context", "messages", "group")
    rows = failed.samples.select([*names, "line", "metadata"]).to_pylist()
    assert [{name: row[name] for name in names} for row in rows] == [
        {name: row.get(name) for name in names} for row in there
    ]
    assert [row["line"] for row in rows] == [2, 4, 4, 5]
    assert [dict(row["metadata"]) for row in rows] == [
        {"failed_in": run_id, **({"source": row["source"]} if "source" in row else {})} for row in there
    ]
    assert failed.uri == f"runs:/{run_id}/samples.parquet"


def test_a_sample_named_by_what_it_holds_is_another_with_the_run_in_its_metadata(run_id: str) -> None:
    failed = failed_samples(run_id, "exact_match").samples
    assert not set(failed["id"].to_pylist()) & set(table(ROWS)["id"].to_pylist())
    assert len(set(failed["id"].to_pylist())) == 4


def test_a_dataset_that_is_gone_or_another_under_its_name_is_refused(
    run_id: str, home: Path, version: DatasetVersion
) -> None:
    shutil.rmtree(home / "datasets" / "support")
    with pytest.raises(InputError, match=f"that the run {run_id} evaluated are gone: no dataset 'support'"):
        failed_samples(run_id, "exact_match")
    DatasetStore(home / "datasets").publish("support", table(ROWS[:3]))
    with pytest.raises(InputError, match=f"the run {run_id} evaluated another support@1 than there is now"):
        failed_samples(run_id, "exact_match")


def test_runs_and_metrics_without_failures_to_read_are_refused(run_id: str) -> None:
    with pytest.raises(InputError, match="did not measure token_accuracy"):
        failed_samples(run_id, "token_accuracy")
    with pytest.raises(InputError, match="did not measure wit"):
        failed_samples(run_id, "wit")
    with tracked_run("tune", experiment="support") as run, pytest.raises(InputError, match="name a run of the flow"):
        failed_samples(run.run_id, "exact_match")
