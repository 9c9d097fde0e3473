"""A user's own function and MLflow's scorers, by import path."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmops.errors import InputError
from llmops.evaluation.metrics.definitions import FunctionDefinition, MlflowDefinition
from llmops.evaluation.metrics.measurement import build_metrics
from llmops.evaluation.metrics.metric import Answers
from llmops.evaluation.metrics.scoring import score

MODULE = """
from mlflow.entities import AssessmentError, Feedback
from mlflow.genai.scorers import scorer

def shorter(output, references, *, input, context, metadata):
    if metadata.get("skip"):
        return None
    return len(output) < len(references[0]) and input == "in?" and context == "from"

def length(output, references, *, input, context, metadata):
    return len(output)

def fails(output, references, *, input, context, metadata):
    return 1 / len(output)

def words(output, references, *, input, context, metadata):
    return "good"

@scorer
def same(outputs, expectations):
    return outputs in expectations["references"]

@scorer
def verdict(inputs, outputs):
    return {"": None, "?": "unknown"}.get(outputs, "yes" if outputs in inputs["question"] else "no")

@scorer
def feedback(outputs):
    if not outputs:
        return Feedback(error=AssessmentError(error_code="TIMEOUT", error_message="no verdict"))
    return Feedback(value=len(outputs) / 10, rationale="length")

@scorer
def two(outputs):
    return [Feedback(name="a", value=1), Feedback(name="b", value=0)]

@scorer
def conversation(session):
    return True
"""
ANSWERS = Answers(
    ["ab", "abcd", ""],
    [["abc"], ["abcd"], ["x"]],
    ["in?", "in?", "in?"],
    ["from", "from", "from"],
    [{}, {}, {"skip": "yes"}],
)


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scores.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_scores", raising=False)


def values(definition: FunctionDefinition | MlflowDefinition, answers: Answers = ANSWERS) -> list[float]:
    rows = score(build_metrics(["mine"], {"mine": definition}), answers)["mine"]
    found: list[float] = rows[:, 0].tolist()
    return found


def test_a_function_is_given_everything_and_none_is_not_measured() -> None:
    found = values(FunctionDefinition(function="my_scores:shorter", scale="share"))
    assert found[:2] == [1, 0] and np.isnan(found[2])


def test_a_number_on_its_scale() -> None:
    assert values(FunctionDefinition(function="my_scores:length", scale="number")) == [2, 4, 0]
    (metric,) = build_metrics(
        ["mine"], {"mine": FunctionDefinition(function="my_scores:length", scale="number", higher_is_better=False)}
    )
    assert (metric.scale, metric.higher_is_better) == ("number", False)


@pytest.mark.parametrize(
    ("function", "scale", "message"),
    [
        (
            "length",
            "fraction",
            r"mine \(my_scores:length\) on sample 0 \('in\?'\): returned 2, which is not on the scale",
        ),
        ("length", "share", "returned 2, which is not on the scale 'share'"),
        ("fails", "number", r"mine \(my_scores:fails\) failed on sample 2 \('in\?'\): ZeroDivisionError: division by"),
        ("words", "fraction", "returned 'good'; return a number, yes or no"),
        ("nothing", "fraction", "my_scores has no 'nothing'"),
        ("__name__", "fraction", "mine: my_scores:__name__ is no function"),
    ],
)
def test_a_function_that_does_not_work_is_named_with_the_sample(function: str, scale: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        values(FunctionDefinition(function=f"my_scores:{function}", scale=scale))


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere\.at\.all:f cannot be imported: ModuleNotFoundError"):
        values(FunctionDefinition(function="nowhere.at.all:f"))


def test_ids_name_the_sample_where_there_are_some() -> None:
    with pytest.raises(InputError, match="failed on sample q7: ZeroDivisionError"):
        values(FunctionDefinition(function="my_scores:fails"), Answers([""], [["a"]], ids=["q7"]))


def test_scorers_of_mlflow() -> None:
    assert values(MlflowDefinition(scorer="my_scores:same")) == [0, 1, 0]
    found = values(MlflowDefinition(scorer="my_scores:verdict"), Answers(["in", "out", "", "?"], [[]] * 4, ["in?"] * 4))
    assert found[:2] == [1, 0] and np.isnan(found[2:]).all()
    found = values(MlflowDefinition(scorer="my_scores:feedback", scale="fraction"))
    assert found[:2] == [0.2, 0.4] and np.isnan(found[2])


def test_a_scorer_that_comes_with_mlflow() -> None:
    definition = MlflowDefinition(scorer="mlflow.genai.scorers:RegexMatch", arguments={"pattern": "^ab$"})
    assert values(definition)[:2] == [1, 0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("my_scores:length", "my_scores:length is no MLflow scorer"),
        ("my_scores:conversation", "my_scores:conversation is no MLflow scorer of single answers"),
        ("my_scores:two", r"mine \(my_scores:two\) failed on sample 0 .*2 feedbacks"),
        ("mlflow.genai.scorers:RegexMatch", "RegexMatch cannot be made"),
    ],
)
def test_a_scorer_that_does_not_work_is_named(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        values(MlflowDefinition(scorer=path))
