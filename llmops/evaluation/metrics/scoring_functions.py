"""Metrics computed by code of others: a user's own function, a scorer of MLflow."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from llmops.errors import InputError
from llmops.evaluation.metrics.definitions import FunctionDefinition, MlflowDefinition
from llmops.evaluation.metrics.import_paths import load_object
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, Scale, mean_rows, ratio

_Scored = Callable[[Answers, int], Any]
_YES_AND_NO = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0, "pass": 1.0, "fail": 0.0}
_UPPER = {"share": 1.0, "fraction": 1.0, "hundred": 100.0}


def function_metric(name: str, definition: FunctionDefinition) -> Metric:
    """A metric out of a user's function (see `FunctionDefinition`).

    Raises:
        InputError: there is no such function. Its rows raise it, naming function and sample, where the function
            raises, or returns what is not on the scale.
    """
    function = load_object(definition.function)
    if not callable(function):
        raise InputError(f"{name}: {definition.function} is no function; give package.module:function")
    return _metric(name, definition, partial(_call, function), definition.function)


def mlflow_metric(name: str, definition: MlflowDefinition) -> Metric:
    """A metric out of a scorer of MLflow (see `MlflowDefinition`).

    Raises:
        InputError: there is no such scorer, or it cannot be made with these arguments, or scores whole conversations.
            Its rows raise it, naming scorer and sample, where the scorer fails or returns what is not on the scale.
    """
    from mlflow.genai.scorers import Scorer

    scorer = load_object(definition.scorer)
    if inspect.isclass(scorer):
        try:
            scorer = scorer(**definition.arguments)
        except Exception as error:
            raise InputError(f"{name}: {definition.scorer} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(scorer, Scorer) or scorer.is_session_level_scorer:
        raise InputError(
            f"{name}: {definition.scorer} is no MLflow scorer of single answers; put @scorer above a function of "
            "inputs, outputs and expectations"
        )
    return _metric(name, definition, partial(_run, scorer), definition.scorer)


def _metric(name: str, definition: FunctionDefinition | MlflowDefinition, call: _Scored, path: str) -> Metric:
    rows = partial(_rows, call, f"{name} ({path})", definition.scale)
    return Metric(name, name.replace("_", " "), definition.scale, rows, ratio, definition.higher_is_better)


def _rows(call: _Scored, title: str, scale: Scale, answers: Answers) -> FloatArray:
    def scored(place: int) -> float | None:
        try:
            value = call(answers, place)
        except Exception as error:
            raise InputError(
                f"{title} failed on {answers.name_of(place)}: {type(error).__name__}: {_one_line(error)}"
            ) from error
        try:
            return _on_scale(value, scale)
        except ValueError as error:
            raise InputError(f"{title} on {answers.name_of(place)}: {error}") from None

    return mean_rows(scored(place) for place in range(len(answers)))


def _call(function: Callable[..., Any], answers: Answers, place: int) -> Any:
    return function(
        answers.outputs[place],
        list(answers.references[place]),
        input=answers.inputs[place] if len(answers.inputs) else "",
        context=answers.contexts[place] if len(answers.contexts) else None,
        metadata=dict(answers.metadata[place]) if len(answers.metadata) else {},
    )


def _run(scorer: Any, answers: Answers, place: int) -> Any:
    references = list(answers.references[place])
    context = answers.contexts[place] if len(answers.contexts) else None
    question = {"question": answers.inputs[place] if len(answers.inputs) else ""}
    expected: dict[str, Any] = {"expected_response": references[0], "references": references} if references else {}
    if len(answers.metadata):
        expected = {**answers.metadata[place], **expected}
    result = scorer.run(
        inputs=question if context is None else {**question, "context": context},
        outputs=answers.outputs[place],
        expectations=expected,
    )
    if isinstance(result, list):
        if len(result) != 1:
            raise ValueError(f"{len(result)} feedbacks; a metric is one number")
        result = result[0]
    if hasattr(result, "feedback") or hasattr(result, "error"):
        return None if result.error is not None else result.value
    return result


def _on_scale(value: Any, scale: Scale) -> float | None:
    """A returned value as a number, None where it is None or NaN; ValueError if it does not fit the scale."""
    if value is None:
        return None
    if isinstance(value, str):
        # MLflow's CategoricalRating: "yes", "no", and "unknown", which is no verdict.
        if value.lower() == "unknown":
            return None
        if value.lower() not in _YES_AND_NO:
            raise ValueError(f"returned {value[:60]!r}; return a number, yes or no")
        value = _YES_AND_NO[value.lower()]
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"returned a {type(value).__name__}; return a number, a bool or None") from None
    if number != number:
        return None
    lowest, highest = float("-inf") if scale == "real" else 0.0, _UPPER.get(scale, float("inf"))
    finite = number not in (float("inf"), float("-inf"))
    if not finite or not lowest <= number <= highest or (scale == "share" and number not in (0.0, 1.0)):
        raise ValueError(f"returned {number:g}, which is not on the scale {scale!r}; return what is, or set scale")
    return number


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
