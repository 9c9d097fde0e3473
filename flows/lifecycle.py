"""From a file to a champion: prepare, search, fine-tune, evaluate, gate, promote."""

from mlflow import MlflowClient
from prefect import flow

from flows.fine_tune import BackEnd, Method, fine_tune
from flows.prepare_dataset import prepare_dataset
from flows.tune import tune
from llmops.data import PreparationConfig
from llmops.data.reading.sources import find_sources
from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.finetuning.backends import HOSTED
from llmops.finetuning.backends.backend import set_fields
from llmops.finetuning.backends.settings import JobSettings
from llmops.tuning import SearchConfig
from tasks.dataset_preparation import local_path
from tasks.evaluation import log_figures
from tasks.evaluation_result import EvaluationResult
from tasks.hosted_models import back_end
from tasks.job_cancellation import cancel_jobs
from tasks.name_lock import name_lock
from tasks.planned_jobs import logged_settings, require_tunable, with_method
from tasks.promotion import other_champion
from tasks.search_result import SearchResult, capitalised
from tasks.tracking import log_dataset, log_params, set_tags, tracked_run

SEARCH_RUN_TAG = "search_run_id"


@flow(name="lifecycle", on_cancellation=[cancel_jobs])
def lifecycle(
    source: str,
    name: str,
    base_model: str = "tiny",
    backend: BackEnd = "local",
    method: Method | None = None,
    test_source: str | None = None,
    preparation: PreparationConfig = PreparationConfig(),
    search: SearchConfig = SearchConfig(),
    training: TrainingConfig = TrainingConfig(),
    scratch: ScratchRecipe = ScratchRecipe(),
    evaluation: EvaluationConfig = EvaluationConfig(),
    gate: GateConfig = GateConfig(),
    job: JobSettings = JobSettings(),
    yes: bool = False,
) -> EvaluationResult:
    """From a file to a champion: prepare, search, fine-tune, evaluate, gate, promote.

    Args:
        source: file, folder or pattern, here or on s3://, of JSONL, JSON, CSV, TSV or Parquet.
        name: of the dataset, its MLflow experiment and the registered model.
        base_model: tiny, scratch, a folder, models:/name@alias or a hub id; elsewhere the provider's name of it.
        backend: where it is trained: on this machine, for Ollama on this machine, or at a provider.
        method: short for training.method.
        test_source: the same for the rows of the test split; without it a tenth of the source is.
        preparation: columns, rules, duplicates, splits and augmentation.
        search: number of trials, sampler and space; 0 trials take the training settings as they are, as a provider's
            back end does: what a search finds on this machine does not hold there.
        training: the settings that a trial's values replace.
        scratch: sizes of a model made from scratch.
        evaluation: how the held-out inputs are asked.
        gate: primary metric, margins and error level.
        job: limits above which a person is asked, waiting, cancelling, and each provider's own settings.
        yes: submit the job whatever it is estimated to cost.
    """
    place = back_end(backend, job)
    training = with_method(training, method)
    trials = trials_of(search, backend)
    if trials:
        search.require_searchable(training)
    settings = {
        "source": source,
        "test_source": test_source,
        "base_model": base_model,
        "backend": backend,
        "preparation": preparation.model_dump(mode="json"),
        "search": search.model_dump(mode="json"),
        "training": logged_settings(place, training),
        "scratch": scratch.model_dump(mode="json"),
        "evaluation": evaluation.model_dump(mode="json"),
        "gate": gate.model_dump(mode="json"),
        "job": job.model_dump(mode="json", exclude_unset=True),
    }
    files = [file.digest() for spec in (source, test_source) if spec for file in find_sources(local_path(spec))]
    key = content_digest(["lifecycle", name, settings, files])
    with name_lock(name), tracked_run("lifecycle", experiment=name, resume_key=key) as run:
        log_params(run.run_id, settings)
        require_tunable(place, base_model, training, evaluation, scratch, job, other_champion(name))
        prepared = prepare_dataset(source, name, "user", test_source, preparation=preparation)
        log_dataset(run.run_id, prepared.version, "training")
        found = None
        if trials:
            found = tune(prepared.dataset, base_model, search=search, training=training, scratch=scratch)
            training = TrainingConfig.model_validate({**set_fields(training), **found.best})
        result = fine_tune(
            prepared.dataset,
            name,
            base_model,
            backend,
            training=training,
            scratch=scratch,
            evaluation=evaluation,
            gate=gate,
            job=job,
            yes=yes,
        )
        if found is not None:
            note_search(found, result)
        log_figures(run.run_id, result.metrics)
        set_tags(run.run_id, {"dataset": result.dataset, "model": result.model_uri, "verdict": str(result.verdict)})
    searched = notes_on(search, backend) if found is None else notes_of(found)
    return result.model_copy(update={"run_id": run.run_id, "notes": [*result.notes, *searched]})


def trials_of(search: SearchConfig, backend: str) -> int:
    """How many trials come first: none for a provider's back end.

    Raises:
        InputError: trials were asked for there.
    """
    if backend not in HOSTED:
        return search.trials
    if "trials" in search.model_fields_set and search.trials:
        raise InputError(
            f"search.trials {search.trials}: a search trains on this machine, and what it finds does not hold for "
            f"backend {backend}; leave it out or set it to 0"
        )
    return 0


def notes_on(search: SearchConfig, backend: str) -> list[str]:
    """That there was no search although the settings have one."""
    if trials_of(search, backend) == search.trials:
        return []
    return [f"There was no search: it trains on this machine, and what it finds does not hold for backend {backend}."]


def notes_of(found: SearchResult) -> list[str]:
    """How sure the search is of the settings that were fine-tuned with, and what else a person should know of it."""
    finale = [f"{capitalised(found.finale.sentence)}."] if found.finale is not None else []
    return [f"Search: {note}" for note in (*finale, *found.notes)]


def note_search(found: SearchResult, result: EvaluationResult) -> None:
    """Say on the run of a fine-tuning, and on the version that it made, which search its settings are from."""
    if found.run_id is None or result.promotion is None:
        return
    set_tags(result.run_id, {SEARCH_RUN_TAG: found.run_id})
    version = result.promotion
    MlflowClient().set_model_version_tag(version.name, version.version, SEARCH_RUN_TAG, found.run_id)


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("lifecycle")
