"""Evaluate a model on a dataset's held-out inputs, and compare it with others on the same ones."""

from prefect import flow

from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from tasks.base_models import model_label, require_room_for_answers
from tasks.datasets import dataset_store, questions_of, training_pairs
from tasks.evaluation import (
    assess,
    assess_copying,
    compare_models,
    pick_examples,
    record_evaluation,
)
from tasks.report import publish_report
from tasks.results import ComparedWith, EvaluationResult
from tasks.tracking import log_dataset, log_params, set_tags, tracked_run


@flow(name="evaluate")
def evaluate(
    dataset: str,
    model: str,
    baseline: list[str] | None = None,
    evaluation: EvaluationConfig = EvaluationConfig(),
    gate: GateConfig = GateConfig(),
) -> EvaluationResult:
    """Evaluate a model on a dataset's held-out inputs, and compare it with others on the same ones.

    Args:
        dataset: name or name@version.
        model: a folder, models:/name@alias, models:/name/version, tiny or a hub id.
        baseline: models to compare with, named in the same way; the gate is asked about each.
        evaluation: which split is asked, and how.
        gate: primary metric, margins and error level.
    """
    version = dataset_store().resolve(dataset)
    questions = questions_of(version, evaluation.split)
    require_room_for_answers([model, *(baseline or [])], evaluation)
    with tracked_run("evaluate", experiment=version.name, tags={"model": model}) as run:
        settings = {**evaluation.model_dump(), "gate": gate.model_dump()}
        log_params(run.run_id, {"model": model, "baseline": baseline, **settings})
        log_dataset(run.run_id, version, "evaluation")
        candidate = assess(model, questions, evaluation)
        record_evaluation(run.run_id, candidate, questions)
        others = []
        for spec in baseline or []:
            with tracked_run(f"baseline {model_label(spec)}", experiment=version.name, tags={"model": spec}) as child:
                log_dataset(child.run_id, version, "evaluation")
                others.append(assess(spec, questions, evaluation))
                record_evaluation(child.run_id, others[-1], questions)
        copied = assess_copying(training_pairs(version).train, questions, evaluation)
        result = EvaluationResult(
            dataset=version.uri,
            split=evaluation.split,
            model=candidate.label,
            model_uri=model,
            run_id=run.run_id,
            metrics=candidate.figures,
            comparisons=[
                ComparedWith(
                    model=other.label,
                    metrics=other.figures,
                    comparison=compare_models(candidate, other, gate, evaluation.seed),
                )
                for other in others
            ],
            nearest_neighbour=copied.figures,
            examples=pick_examples(questions, candidate, others[0] if others else None),
        )
        if result.verdict:
            set_tags(run.run_id, {"verdict": result.verdict})
        publish_report(result, version.name)
    return result


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("evaluate")
