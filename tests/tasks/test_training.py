"""Curves in MLflow: each step exactly once, whatever was interrupted."""

from pathlib import Path

from mlflow import MlflowClient

from tasks.tracking import tracked_run
from tasks.training import Curves


def steps_of(run_id: str, name: str) -> list[int]:
    return [metric.step for metric in MlflowClient().get_metric_history(run_id, name)]


def test_a_step_trained_again_is_not_logged_again_and_a_missing_one_is(home: Path) -> None:
    with tracked_run("training", experiment="x") as run:
        before = Curves(run.run_id)
        for step in (1, 2, 3, 5):  # 4 was lost, 5 came before the checkpoint it should have followed
            before.add(step, {"loss": step / 10})
        before.write()

        after = Curves(run.run_id)
        for step in range(1, 9):
            after.add(step, {"loss": step / 10})
        after.add(8, {"validation_loss": 0.5})
        after.write()
    assert sorted(steps_of(run.run_id, "loss")) == list(range(1, 9))
    assert steps_of(run.run_id, "validation_loss") == [8]


def test_a_long_history_goes_in_more_than_one_transaction(home: Path) -> None:
    with tracked_run("training", experiment="x") as run:
        curves = Curves(run.run_id)
        for step in range(2500):
            curves.add(step, {"loss": 1.0})
        curves.write()
    assert len(steps_of(run.run_id, "loss")) == 2500
