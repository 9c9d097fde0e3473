"""An evaluation of before: whether it can be compared with what is measured now, known before anything is asked."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from llmops.data.samples import sample_table
from llmops.errors import InputError
from llmops.evaluation import measure
from llmops.evaluation.comparison.measured_tables import to_table
from llmops.evaluation.metrics.measurement import METRICS
from llmops.evaluation.questions import Questions, distinct_questions
from tasks.earlier_runs import EarlierRun, find_earlier
from tasks.tracking import tracked_run

NOW = {name: METRICS[name] for name in ("exact_match", "chrf")}


def asked(*inputs: str, group: str | None = None) -> Questions:
    columns = {"input": list(inputs), "expected": ["yes"] * len(inputs)}
    if group is not None:
        columns["group"] = [group] * len(inputs)
    columns_of_text = {name: pa.chunked_array([texts], pa.string()) for name, texts in columns.items()}
    return distinct_questions(sample_table(**columns_of_text))


def measured_before(folder: Path, questions: Questions, *names: str) -> str:
    """A finished evaluation by these metrics."""
    outputs, groups = ["yes"] * len(questions), list(questions.groups)
    by_place = measure(outputs, questions.references, groups=groups, names=names)
    found = {name: replace(one, ids=questions.ids) for name, one in by_place.items()}
    pq.write_table(to_table(found), folder / "statistics.parquet")
    with tracked_run("evaluate", experiment="d", tags={"model": "m"}) as run:
        MlflowClient().log_artifact(run.run_id, str(folder / "statistics.parquet"))
    return run.run_id


def found(baseline: str, questions: Questions, *needed: str) -> EarlierRun | str:
    return find_earlier(baseline, "key", "d", NOW, needed=needed, questions=questions)


def test_one_that_measured_what_is_gated_on_a_common_question_is_compared_with(home: Path) -> None:
    run_id = measured_before(home, asked("a", "b"), "exact_match", "chrf", "bleu")
    pinned, last = (found(name, asked("b", "c"), "chrf") for name in (f"run:{run_id}", f"last-passed@run:{run_id}"))
    assert isinstance(pinned, EarlierRun) and isinstance(last, EarlierRun)
    assert (pinned.label, last.label) == (f"m ({run_id[:8]})", "m (last-passed)")
    assert list(pinned.measured) == ["exact_match", "chrf"]


def test_there_may_be_no_last_one_yet(home: Path) -> None:
    assert found("last", asked("a")) == "There is no last evaluation of this model on this dataset yet to compare with."


@pytest.mark.parametrize(
    ("before", "now", "needed", "why"),
    [
        (asked("a"), asked("a"), ("exact_match", "chrf"), "was not measured by chrf"),
        (asked("a"), asked("a"), ("exact_match.pass^3",), "was not measured by exact_match.pass^3"),
        (asked("a"), asked("b"), (), "has no measured question in common with those that are asked now"),
        (
            *(asked("a", group="x"), asked("a", group="y"), ()),
            "has its questions in other groups than those that are asked now",
        ),
    ],
)
def test_a_last_one_that_cannot_be_compared_with_is_left_out_and_a_pinned_one_is_bad_input(
    home: Path, before: Questions, now: Questions, needed: tuple[str, ...], why: str
) -> None:
    run_id = measured_before(home, before, "exact_match")
    for name, called in (("last", "The last run"), ("last-passed", "The last passing run")):
        sentence = f"{called} ({run_id[:8]}) {why}: this run starts anew."
        assert found(f"{name}@run:{run_id}", now, *needed) == sentence
    with pytest.raises(InputError) as refused:
        found(f"run:{run_id}", now, *needed)
    assert str(refused.value) == f"baseline run:{run_id}: the run {why}; name another run"


def test_other_metrics_and_no_statistics_at_all(home: Path) -> None:
    run_id = measured_before(home, asked("a"), "bleu")
    assert "was not measured by any of exact_match, chrf" in str(found(f"last@run:{run_id}", asked("a")))
    with tracked_run("evaluate", experiment="d") as run:
        pass
    assert "left no statistics.parquet" in str(found(f"last@run:{run.run_id}", asked("a")))
    with pytest.raises(InputError, match=r"left no statistics\.parquet"):
        found(f"run:{run.run_id}", asked("a"))
