"""Fine-tune a base model, evaluate it against its base, gate it, register it, and promote it if it earned that."""

from prefect import flow

from flows.evaluate import evaluate
from llmops.digests import content_digest
from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe, TrainingConfig
from tasks.base_models import prepare_base_model, require_base_model, require_room_for_answers
from tasks.datasets import dataset_store, training_pairs
from tasks.evaluation import log_figures
from tasks.evaluation_result import EvaluationResult
from tasks.name_lock import name_lock
from tasks.promotion import decide, other_champion, promote
from tasks.registry import register_model
from tasks.report import publish_report
from tasks.tracking import log_dataset, log_params, set_tags, tracked_run
from tasks.training import job_for, merged_weights, train_model
from tasks.viewing import viewing_commands


@flow(name="fine-tune")
def fine_tune(
    dataset: str,
    name: str | None = None,
    base_model: str = "tiny",
    training: TrainingConfig = TrainingConfig(),
    scratch: ScratchRecipe = ScratchRecipe(),
    evaluation: EvaluationConfig = EvaluationConfig(),
    gate: GateConfig = GateConfig(),
) -> EvaluationResult:
    """Fine-tune a base model, evaluate it against its base, gate it, register it, and promote it if it earned that.

    Args:
        dataset: name or name@version.
        name: registered model; the dataset's name when left out.
        base_model: tiny, scratch, a folder, models:/name@alias or a hub id.
        training: method, learning rate, epochs and so on.
        scratch: sizes of a model made from scratch.
        evaluation: how the held-out inputs are asked.
        gate: primary metric, margins and error level.
    """
    require_base_model(base_model, training)
    version = dataset_store().resolve(dataset)
    name = name or version.name
    require_room_for_answers([base_model, *other_champion(name)], evaluation, scratch)
    settings = {
        "base_model": base_model,
        "training": training.model_dump(mode="json"),
        "scratch": scratch.model_dump(mode="json"),
        "evaluation": evaluation.model_dump(mode="json"),
        "gate": gate.model_dump(mode="json"),
    }
    key = content_digest(["fine-tune", name, version.digest, settings])
    with name_lock(name), tracked_run("fine-tune", experiment=version.name, resume_key=key) as run:
        log_params(run.run_id, settings)
        log_dataset(run.run_id, version, "training")
        pairs = training_pairs(version)
        base = prepare_base_model(base_model, pairs.texts, scratch)
        job = job_for(base, version, training)
        trained = train_model("Training", job, base, pairs, training, version)
        weights = merged_weights(trained, base, training)

        baselines = [str(base.path), *other_champion(name, job.digest)]
        evaluated = evaluate(version.uri, str(weights), baseline=baselines, evaluation=evaluation, gate=gate)
        decision = decide(evaluated.comparisons, gate)

        probes = [(example.messages, example.output or "") for example in evaluated.examples]
        tags = {"dataset": version.uri, "evaluation_run_id": evaluated.run_id, "verdict": decision.verdict}
        registered = register_model(name, trained, weights, probes, evaluation, tags)
        promotion = promote(name, str(registered.version), decision)

        result = evaluated.model_copy(
            update={
                "model_uri": promotion.model_uri,
                "run_id": run.run_id,
                "promotion": promotion,
                "open_with": viewing_commands(),
            }
        )
        log_figures(run.run_id, result.metrics)
        set_tags(
            run.run_id,
            {"verdict": decision.verdict, "promotion": promotion.status, "training_run_id": trained.run_id},
        )
        publish_report(result, name, trained.run_id)
    return result


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("fine-tune")
