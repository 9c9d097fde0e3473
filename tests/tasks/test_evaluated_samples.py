"""What an evaluation leaves of every sample, and the failures read back from it."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from llmops.errors import InputError
from llmops.evaluation import estimates, measure
from llmops.evaluation.held_out import HeldOut
from tasks.evaluated_samples import failed_samples
from tasks.evaluation import Assessed, record_evaluation
from tasks.tracking import tracked_run

HELD = HeldOut(["q1", "q2", "q3"], [["one"], ["two", "zwei"], ["three"]], ["g1", "g2", "g3"])
OUTPUTS = ["one", "deux", "three cats"]


@pytest.fixture
def run_id(home: Path) -> str:
    """An evaluation with a right answer, a wrong one and one that is nearly right."""
    measured = measure(OUTPUTS, HELD.references, None, HELD.groups)
    assessed = Assessed("model", OUTPUTS, measured, estimates(measured, seed=0), None, 1.0)
    with tracked_run("evaluate", experiment="support") as run:
        record_evaluation.fn(run.run_id, assessed, HELD)
    return run.run_id


def test_every_sample_has_its_answer_and_its_scores(run_id: str, tmp_path: Path) -> None:
    file = MlflowClient().download_artifacts(run_id, "samples.parquet", str(tmp_path))
    table = pq.read_table(file)
    assert table.column_names[:4] == ["input", "references", "output", "group"]
    assert table["references"].to_pylist() == HELD.references
    assert table["output"].to_pylist() == OUTPUTS
    assert table["exact_match"].to_pylist() == [1.0, 0.0, 0.0]
    assert table["rougeL"].to_pylist()[0] == pytest.approx(100)
    assert 0 < table["rougeL"].to_pylist()[2] < 100


def test_failures_are_a_sample_for_each_right_answer(run_id: str) -> None:
    failed = failed_samples(run_id, "exact_match")
    rows = failed.samples.select(["input", "expected", "group", "line"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("q2", "two", "g2", 2),
        ("q2", "zwei", "g2", 2),
        ("q3", "three", "g3", 3),
    ]
    assert failed.samples["metadata"][0].as_py() == [("failed_in", run_id)]
    assert failed.uri == f"runs:/{run_id}/samples.parquet"


def test_runs_and_metrics_without_failures_to_read_are_refused(run_id: str) -> None:
    with pytest.raises(InputError, match="did not measure token_accuracy"):
        failed_samples(run_id, "token_accuracy")
    with pytest.raises(InputError, match="no metric is called 'wit'"):
        failed_samples(run_id, "wit")
    with tracked_run("tune", experiment="support") as run, pytest.raises(InputError, match="name a run of the flow"):
        failed_samples(run.run_id, "exact_match")
