"""Search hyperparameters: train a few trials and keep the settings with the lowest validation loss."""

import math

from prefect import flow

from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.settings import settings
from llmops.tuning import Search, SearchConfig, Trial
from tasks.base_models import prepare_base_model, require_base_model
from tasks.datasets import dataset_store, training_pairs
from tasks.progress import stage
from tasks.results import SearchResult, TrialResult
from tasks.tracking import log_dataset, log_metrics, log_params, tracked_run
from tasks.training import job_for, try_settings


@flow(name="tune")
def tune(
    dataset: str,
    base_model: str = "tiny",
    search: SearchConfig = SearchConfig(),
    training: TrainingConfig = TrainingConfig(),
    scratch: ScratchRecipe = ScratchRecipe(),
) -> SearchResult:
    """Search hyperparameters: train a few trials and keep the settings with the lowest validation loss.

    Args:
        dataset: name or name@version.
        base_model: tiny, scratch, a folder, models:/name@alias or a hub id.
        search: number of trials, sampler and space.
        training: the settings that a trial's values replace.
        scratch: sizes of a model made from scratch.
    """
    require_base_model(base_model, training)
    version = dataset_store().resolve(dataset)
    pairs = training_pairs(version)
    base = prepare_base_model(base_model, pairs.texts, scratch)
    key = content_digest([job_for(base, version, training).digest, search.model_dump(mode="json")])
    study = Search(settings().home / "searches" / f"{version.name}-{key[:16]}", search, training)
    with stage("Search") as line:
        if len(study.finished()) >= search.trials:
            require_a_finite_loss(study.best())
            line.finish(f"kept from before · {describe(study.best())}{not_searched(search, training)}")
            return result_of(study, version.uri, run_id=None)
        with tracked_run("tune", experiment=version.name, resume_key=key) as run:
            log_params(
                run.run_id,
                {"base_model": base.name, **search.model_dump(), "training": training.model_dump()},
            )
            log_dataset(run.run_id, version, "training")
            for trial in study.remaining():
                line.update(len(study.finished()), search.trials, f"trial {trial.number + 1}")
                config = TrainingConfig.model_validate(training.model_dump() | trial.values)
                job = job_for(base, version, config)
                loss = try_settings(f"Trial {trial.number + 1}", job, base, pairs, config, version)
                study.tell(trial, loss)
                log_metrics(run.run_id, {"validation_loss": loss}, step=trial.number)
            require_a_finite_loss(study.best())
            log_params(run.run_id, {"best": study.best().values})
            line.finish(f"{describe(study.best())}{not_searched(search, training)}")
    return result_of(study, version.uri, run_id=run.run_id)


def require_a_finite_loss(best: Trial) -> None:
    """Refuse to go on with settings that cannot train.

    Raises:
        InputError: every trial diverged.
    """
    if best.loss is None or not math.isfinite(best.loss):
        raise InputError("the loss of every trial became infinite; lower the learning rates of the search space")


def describe(trial: Trial) -> str:
    """A trial's loss and values in one line."""
    values = ", ".join(f"{name} {value:.3g}" for name, value in trial.values.items())
    return f"validation loss {trial.loss:.3f} with {values}"


def not_searched(search: SearchConfig, training: TrainingConfig) -> str:
    """What was left out of the space although somebody may expect it there, as the end of a sentence.

    >>> not_searched(SearchConfig(), TrainingConfig(max_steps=30))
    '; epochs not searched: training.max_steps sets the length'
    >>> not_searched(SearchConfig(), TrainingConfig())
    ''
    """
    if training.max_steps is None or not search.space.epochs:
        return ""
    return "; epochs not searched: training.max_steps sets the length"


def result_of(study: Search, dataset: str, run_id: str | None) -> SearchResult:
    """The result of a finished search."""
    trials = [TrialResult(number=one.number, values=one.values, loss=one.loss) for one in study.finished()]
    return SearchResult(dataset=dataset, best=study.best().values, trials=trials, reused=run_id is None, run_id=run_id)


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("tune")
