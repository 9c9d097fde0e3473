"""Evaluate a model on a dataset's questions, and compare it with others on the same ones."""

from prefect import flow

from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from tasks.comparing import compare_with, log_comparison
from tasks.datasets import training_pairs
from tasks.earlier_runs import EarlierRun
from tasks.evaluation import Assessed, assess, assess_copying, pick_examples
from tasks.evaluation_plan import plan_evaluation, record_inputs, record_plan, run_tags
from tasks.evaluation_result import EvaluationResult, ShownMetric
from tasks.report import publish_report
from tasks.run_budget import RunBudget
from tasks.tracking import set_tags, tracked_run


@flow(name="evaluate")
def evaluate(
    dataset: str,
    model: str,
    prompt: str | None = None,
    metrics: list[str] | None = None,
    baseline: list[str] | None = None,
    concurrency: int | None = None,
    evaluation: EvaluationConfig = EvaluationConfig(),
    gate: GateConfig = GateConfig(),
) -> EvaluationResult:
    """Evaluate a model on a dataset's questions, and compare it with others on the same ones.

    Args:
        dataset: name, name@version, or a file whose rows are all asked.
        model: openai/…, azure/…, anthropic/…, vertex/…, gemini/…, bedrock/… or ollama/…; models:/name@alias, tiny, a
            folder or a hub id for one on this machine; replay:COLUMN for answers in the dataset.
        prompt: prompts:/name@alias or prompts:/name/version; without one the input is sent as the user's message.
        metrics: by name; without any the usual ones for text. What the configuration defines is measured too.
        baseline: models to compare with, run:ID for an evaluation of before, last for the newest of this model; the
            gate is asked about each.
        concurrency: most requests in flight; fewer where the provider refuses. 32 when left out.
        evaluation: which split is asked, how and how often, budgets, judges and slices.
        gate: primary metric, margins and error level.
    """
    evaluation = evaluation.with_concurrency(concurrency)
    plan = plan_evaluation(dataset, model, prompt, metrics, baseline or [], evaluation, gate)
    questions, messages, wanted = plan.questions, plan.messages, plan.wanted
    experiment, budget = plan.version.name, RunBudget(evaluation.budget)
    with tracked_run(f"evaluate {plan.model.label}", experiment=experiment, tags=run_tags(plan)) as run:
        record_plan(run.run_id, plan, gate)
        candidate = assess(run.run_id, plan.model, questions, messages, wanted, evaluation, budget)
        others: list[tuple[Assessed | EarlierRun, str]] = []
        for other in plan.baselines:
            if isinstance(other, EarlierRun):
                others.append((other, other.run_id))
                continue
            with tracked_run(f"baseline {other.label}", experiment=experiment, tags={"model": other.spec}) as child:
                record_inputs(child.run_id, plan)
                assessed = assess(child.run_id, other, questions, messages, wanted, evaluation, budget)
                others.append((assessed, child.run_id))
        compared = [
            compare_with(run.run_id, candidate, other, run_id, questions, gate, evaluation, wanted.pairwise, budget)
            for other, run_id in others
        ]
        log_comparison(run.run_id, compared)
        asked = [other for other, _ in others if isinstance(other, Assessed)]
        training = training_pairs(plan.version).train if plan.model.local else []
        copied = assess_copying(training, questions, wanted.text_names).figures if training else {}
        result = EvaluationResult(
            dataset=plan.version.uri,
            split=evaluation.split,
            model=candidate.label,
            model_uri=model,
            prompt=plan.prompt.uri if plan.prompt else None,
            repeats=evaluation.repeats,
            run_id=run.run_id,
            metrics=dict(candidate.figures),
            shown={name: ShownMetric.of(one.metric) for name, one in candidate.measured.items()},
            asking=candidate.asking,
            judges=dict(candidate.judges),
            comparisons=compared,
            nearest_neighbour=dict(copied),
            examples=pick_examples(questions, messages, candidate, asked[0] if asked else None),
            notes=[*plan.notes, *(note for one in (candidate, *asked) for note in one.notes)],
        )
        if result.verdict:
            set_tags(run.run_id, {"verdict": result.verdict})
        publish_report(result, experiment)
    return result


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("evaluate")
