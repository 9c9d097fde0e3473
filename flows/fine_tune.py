"""Fine-tune a base model, evaluate it against its base, gate it, register it, and promote it if it earned that."""

from typing import Literal

from prefect import flow

from flows.evaluate import evaluate
from llmops.digests import content_digest
from llmops.evaluation import GateConfig, Verdict
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.finetuning.backends import TunedModel
from llmops.finetuning.backends.settings import JobSettings
from tasks.datasets import dataset_store
from tasks.evaluation import log_figures
from tasks.evaluation_result import EvaluationResult
from tasks.fine_tuning_jobs import TunedByJob, note_version, run_job, served
from tasks.hosted_models import back_end
from tasks.interruptions import watched_for_cancellation
from tasks.job_approval import approve_job
from tasks.job_cancellation import cancel_jobs
from tasks.name_lock import name_lock
from tasks.planned_jobs import PlannedJob, enclosing_flow_runs, logged_settings, plan_job, require_tunable, with_method
from tasks.promotion import decide, other_champion, promote
from tasks.registry import register_model
from tasks.report import publish_report
from tasks.tracking import log_dataset, log_params, set_tags, tracked_run
from tasks.viewing import viewing_commands

BackEnd = Literal["local", "ollama", "openai", "azure", "vertex", "bedrock", "anthropic"]
Method = Literal["full", "lora", "qlora"]


@flow(name="fine-tune", on_cancellation=[cancel_jobs])
def fine_tune(
    dataset: str,
    name: str | None = None,
    base_model: str = "tiny",
    backend: BackEnd = "local",
    method: Method | None = None,
    training: TrainingConfig = TrainingConfig(),
    scratch: ScratchRecipe = ScratchRecipe(),
    evaluation: EvaluationConfig = EvaluationConfig(),
    gate: GateConfig = GateConfig(),
    job: JobSettings = JobSettings(),
    yes: bool = False,
) -> EvaluationResult:
    """Fine-tune a base model, evaluate it against its base, gate it, register it, and promote it if it earned that.

    Args:
        dataset: name or name@version.
        name: registered model; the dataset's name when left out.
        base_model: tiny, scratch, a folder, models:/name@alias or a hub id; elsewhere the provider's name of it.
        backend: where it is trained: on this machine, for Ollama on this machine, or at a provider.
        method: short for training.method.
        training: learning rate, epochs and so on; of a provider's own defaults only what is set here is replaced.
        scratch: sizes of a model made from scratch.
        evaluation: how the held-out inputs are asked.
        gate: primary metric, margins and error level.
        job: limits above which a person is asked, waiting, cancelling, and each provider's own settings.
        yes: submit the job whatever it is estimated to cost.
    """
    place = back_end(backend, job)
    training = with_method(training, method)
    version = dataset_store().resolve(dataset)
    name = name or version.name
    require_tunable(place, base_model, training, evaluation, scratch, job, other_champion(name))
    settings = {
        "base_model": base_model,
        "backend": backend,
        "training": logged_settings(place, training),
        "scratch": scratch.model_dump(mode="json"),
        "evaluation": evaluation.model_dump(mode="json"),
        "gate": gate.model_dump(mode="json"),
        "job": job.model_dump(mode="json", exclude_unset=True),
    }
    key = content_digest(["fine-tune", name, version.digest, settings])
    with name_lock(name), tracked_run("fine-tune", experiment=version.name, resume_key=key) as run:
        log_params(run.run_id, settings)
        log_dataset(run.run_id, version, "training")
        plan = plan_job(place, base_model, training, scratch, version, name, job)
        with watched_for_cancellation(enclosing_flow_runs()):
            approve_job(plan, yes=yes)
            tuned = run_job(plan)
            with served(plan, tuned) as model:
                judged, verdict = evaluate_and_promote(plan, tuned, model, evaluation, gate)
        result = judged.model_copy(update={"run_id": run.run_id, "open_with": viewing_commands()})
        log_figures(run.run_id, result.metrics)
        assert result.promotion is not None
        tags = {"verdict": verdict, "promotion": result.promotion.status}
        set_tags(run.run_id, tags | {"training_run_id": tuned.run_id, "job": plan.record.id})
        publish_report(result, name, tuned.run_id if tuned.has_curves else None)
    return result


def evaluate_and_promote(
    plan: PlannedJob, tuned: TunedByJob, model: TunedModel, evaluation: EvaluationConfig, gate: GateConfig
) -> tuple[EvaluationResult, Verdict]:
    """Evaluate what answers against its base and the champion, register it, and promote it if it earned that.

    Returns:
        The evaluation with what became of the model, and the gate's verdict on it.
    """
    name = plan.record.name
    baselines = [plan.base.asked_as, *other_champion(name, tuned.digest)]
    evaluated = evaluate(plan.version.uri, str(model.asked_as), baseline=baselines, evaluation=evaluation, gate=gate)
    decision = decide(evaluated.comparisons, gate)

    probes = [(example.messages, example.output or "") for example in evaluated.examples]
    tags = {"dataset": plan.version.uri, "evaluation_run_id": evaluated.run_id, "verdict": decision.verdict}
    registered = register_model(name, model, tuned.digest, tuned.run_id, probes, evaluation, tags, plan.settings)
    note_version(plan, registered)
    promotion = promote(name, str(registered.version), decision)
    notes = [*evaluated.notes, *promotion.notes]
    update = {"model_uri": promotion.model_uri, "promotion": promotion, "notes": notes}
    return evaluated.model_copy(update=update), decision.verdict


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("fine-tune")
