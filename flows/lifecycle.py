"""From a file to a champion: prepare, search, fine-tune, evaluate, gate, promote."""

from prefect import flow

from flows.fine_tune import fine_tune
from flows.prepare_dataset import prepare_dataset
from flows.tune import tune
from llmops.data import PreparationConfig
from llmops.data.reading.sources import find_sources
from llmops.digests import content_digest
from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.tuning import SearchConfig
from tasks.base_models import require_base_model, require_room_for_answers
from tasks.dataset_preparation import local_path
from tasks.evaluation import log_figures
from tasks.evaluation_result import EvaluationResult
from tasks.name_lock import name_lock
from tasks.promotion import other_champion
from tasks.tracking import log_dataset, log_params, set_tags, tracked_run


@flow(name="lifecycle")
def lifecycle(
    source: str,
    name: str,
    base_model: str = "tiny",
    test_source: str | None = None,
    preparation: PreparationConfig = PreparationConfig(),
    search: SearchConfig = SearchConfig(),
    training: TrainingConfig = TrainingConfig(),
    scratch: ScratchRecipe = ScratchRecipe(),
    evaluation: EvaluationConfig = EvaluationConfig(),
    gate: GateConfig = GateConfig(),
) -> EvaluationResult:
    """From a file to a champion: prepare, search, fine-tune, evaluate, gate, promote.

    Args:
        source: file, folder or pattern, here or on s3://, of JSONL, JSON, CSV, TSV or Parquet.
        name: of the dataset, its MLflow experiment and the registered model.
        base_model: tiny, scratch, a folder, models:/name@alias or a hub id.
        test_source: the same for the rows of the test split; without it a tenth of the source is.
        preparation: columns, rules, duplicates, splits and augmentation.
        search: number of trials, sampler and space; 0 trials take the training settings as they are.
        training: the settings that a trial's values replace.
        scratch: sizes of a model made from scratch.
        evaluation: how the held-out inputs are asked.
        gate: primary metric, margins and error level.
    """
    settings = {
        "source": source,
        "test_source": test_source,
        "base_model": base_model,
        "preparation": preparation.model_dump(mode="json"),
        "search": search.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "scratch": scratch.model_dump(mode="json"),
        "evaluation": evaluation.model_dump(mode="json"),
        "gate": gate.model_dump(mode="json"),
    }
    files = [file.digest() for spec in (source, test_source) if spec for file in find_sources(local_path(spec))]
    key = content_digest(["lifecycle", name, settings, files])
    with name_lock(name), tracked_run("lifecycle", experiment=name, resume_key=key) as run:
        log_params(run.run_id, settings)
        require_base_model(base_model, training)
        require_room_for_answers([base_model, *other_champion(name)], evaluation, scratch)
        prepared = prepare_dataset(source, name, "user", test_source, preparation=preparation)
        log_dataset(run.run_id, prepared.version, "training")
        if search.trials:
            found = tune(prepared.dataset, base_model, search, training, scratch)
            training = TrainingConfig.model_validate(training.model_dump() | found.best)
        result = fine_tune(prepared.dataset, name, base_model, training, scratch, evaluation, gate)
        log_figures(run.run_id, result.metrics)
        set_tags(run.run_id, {"dataset": result.dataset, "model": result.model_uri, "verdict": str(result.verdict)})
    return result.model_copy(update={"run_id": run.run_id})


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("lifecycle")
