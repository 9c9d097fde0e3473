"""Ask models the held-out inputs, measure their answers, and leave the figures in MLflow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from mlflow import MlflowClient
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.evaluation import (
    Comparison,
    Estimate,
    GateConfig,
    Measured,
    compare,
    copy_nearest,
    estimates,
    measure,
)
from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.questions import Questions
from llmops.llm import LocalModel
from tasks.base_models import find_model, model_label
from tasks.evaluated_samples import log_samples
from tasks.progress import stage
from tasks.results import Example
from tasks.tracking import log_metrics


@dataclass(frozen=True)
class Assessed:
    """A model's answers to the held-out inputs, and what they are worth.

    ``vocabulary`` names the tokenizer's vocabulary: figures per token compare only where it is the same.
    """

    label: str
    outputs: list[str]
    measured: dict[str, Measured]
    figures: dict[str, Estimate]
    vocabulary: str | None
    seconds: float


@task(
    name="assess",
    task_run_name=lambda: f"assess {model_label(task_run.get_parameters()['spec'])}",
    cache_policy=NO_CACHE,
)
def assess(spec: str, questions: Questions, config: EvaluationConfig) -> Assessed:
    """Generate an answer to every input and score every reference with one model, and measure both."""
    started = time.monotonic()
    label = model_label(spec)
    total = len(questions.inputs)
    with stage(f"Evaluate {label}") as line:
        model = LocalModel.load(find_model(spec).path)
        outputs = model.generate(
            questions.inputs,
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
            num_beams=config.num_beams,
            on_batch=lambda done, of: line.update(done, of, "inputs answered"),
        )
        line.update(total, total, "scoring the references")
        scores = model.score(_pairs(questions), batch_size=config.batch_size)
        measured = measure(outputs, questions.references, scores, questions.groups)
        figures = estimates(measured, seed=config.seed)
        line.finish(f"{total:,} inputs answered, {len(scores):,} references scored")
    vocabulary = content_digest(model.tokenizer.get_vocab())
    return Assessed(label, outputs, measured, figures, vocabulary, time.monotonic() - started)


def _pairs(questions: Questions) -> list[tuple[str, str]]:
    asked = zip(questions.inputs, questions.references, strict=True)
    return [(text, right) for text, rights in asked for right in rights]


@task(name="copy the nearest training answer", cache_policy=NO_CACHE)
def assess_copying(training: Sequence[tuple[str, str]], questions: Questions, config: EvaluationConfig) -> Assessed:
    """The baseline that needs no model: the completion of the most similar training prompt."""
    started = time.monotonic()
    inputs, expected = zip(*training, strict=True)
    outputs = copy_nearest(inputs, expected, questions.inputs)
    measured = measure(outputs, questions.references, None, questions.groups)
    figures = estimates(measured, seed=config.seed)
    return Assessed("nearest training prompt", outputs, measured, figures, None, time.monotonic() - started)


def compare_models(candidate: Assessed, baseline: Assessed, gate: GateConfig, seed: int) -> Comparison:
    """Gate a candidate against a baseline on the same inputs.

    Loss, perplexity and token accuracy count tokens, so between models with different vocabularies they are
    left out.
    """
    ours, theirs = candidate.measured, baseline.measured
    if candidate.vocabulary != baseline.vocabulary:
        ours = {name: one for name, one in ours.items() if not one.metric.needs_token_scores}
        margins = {name: margin for name, margin in gate.margins.items() if name in ours}
        if gate.primary not in margins:
            raise InputError(
                f"{candidate.label} and {baseline.label} have different vocabularies, so {gate.primary} does not "
                "compare; choose a primary metric of the text"
            )
        gate = GateConfig.model_validate(gate.model_dump() | {"margins": margins})
    return compare(ours, theirs, gate, seed=seed)


@task(name="record evaluation", cache_policy=NO_CACHE)
def record_evaluation(run_id: str, assessed: Assessed, questions: Questions) -> None:
    """Figures with their intervals, and tables of every input, answer and reference, into an MLflow run."""
    log_figures(run_id, assessed.figures)
    log_metrics(run_id, {"inputs": len(questions.inputs), "seconds": assessed.seconds})
    table = pd.DataFrame(
        {
            "input": questions.inputs,
            "output": assessed.outputs,
            "references": ["\n".join(references) for references in questions.references],
            "exact_match": assessed.measured["exact_match"].rows[:, 0],
            "group": questions.groups,
        }
    )
    MlflowClient().log_table(run_id, table, "predictions.json")
    scores = {name: measured.per_sample() for name, measured in assessed.measured.items()}
    log_samples(run_id, questions, assessed.outputs, scores)


def log_figures(run_id: str, figures: dict[str, Estimate]) -> None:
    """Each metric as `NAME`, `NAME.low` and `NAME.high`."""
    flat = {}
    for name, one in figures.items():
        flat |= {name: one.value, f"{name}.low": one.low, f"{name}.high": one.high}
    log_metrics(run_id, flat)


def pick_examples(questions: Questions, candidate: Assessed, before: Assessed | None, number: int = 5) -> list[Example]:
    """Held-out inputs evenly spread over the split, with what each model answered."""
    places = range(0, len(questions.inputs), max(1, len(questions.inputs) // number))
    return [
        Example(
            input=questions.inputs[place],
            expected=questions.references[place][0],
            baseline=before.outputs[place] if before else None,
            output=candidate.outputs[place],
        )
        for place in list(places)[:number]
    ]
