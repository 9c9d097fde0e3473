"""Search hyperparameters: train trials, keep the settings with the lowest validation loss, and say how sure that is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from mlflow import MlflowClient
from prefect import flow
from pydantic import ValidationError

from llmops.errors import InputError
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.settings import settings
from llmops.tuning import Search, SearchConfig
from tasks.base_models import prepare_base_model, require_base_model
from tasks.datasets import TrainingPairs, dataset_store, training_pairs
from tasks.interruptions import FlowRunCancelledError
from tasks.progress import Stage, stage
from tasks.search_conclusion import describe, nothing_is_left, require_a_finite_loss, search_result
from tasks.search_failures import around_in_a_line
from tasks.search_finale import (
    Rerun,
    failed_finalists,
    known_finale,
    left_to_train,
    reruns,
    run_finale,
    spent_on_finale,
)
from tasks.search_report import pictures_place, publish_search
from tasks.search_result import SearchResult
from tasks.search_tracking import find_search_run, search_run, trial_run_ids
from tasks.search_trials import SearchPlan
from tasks.search_workers import ENDED, run_trials
from tasks.training import job_for
from tasks.worker_processes import WorkerProcesses


@flow(name="tune")
def tune(
    dataset: str,
    base_model: str = "tiny",
    method: Literal["full", "lora", "qlora"] | None = None,
    sampler: Literal["tpe", "random", "grid", "gp"] | None = None,
    trials: int | None = None,
    search: SearchConfig = SearchConfig(),
    training: TrainingConfig = TrainingConfig(),
    scratch: ScratchRecipe = ScratchRecipe(),
) -> SearchResult:
    """Search hyperparameters: train trials and keep the settings with the lowest validation loss.

    Args:
        dataset: name or name@version.
        base_model: tiny, scratch, a folder, models:/name@alias or a hub id.
        method: short for training.method.
        sampler: short for search.sampler.
        trials: short for search.trials.
        search: number of trials, sampler, pruner, space, workers, budget and finalists.
        training: the settings that a trial's values replace.
        scratch: sizes of a model made from scratch.
    """
    search, training = with_shortcuts(search, training, method, sampler, trials)
    search.require_searchable(training)
    require_base_model(base_model, training)
    version = dataset_store().resolve(dataset)
    pairs = training_pairs(version)
    if not pairs.validation:
        raise InputError(f"a search needs validation examples, and the validation split of {version.uri} is empty")
    base = prepare_base_model(base_model, pairs.texts, scratch)
    name = f"{version.name}-{job_for(base, version, training).digest[:16]}"
    plan = SearchPlan(settings().home / "searches" / name, name, base, version, search, training)
    about: dict[str, Any] = {"base_model": base_model, "scratch": scratch.model_dump(exclude_unset=True)}
    with stage("Search") as line, says_how_to_go_on(line), around_in_a_line():
        study = plan.open()
        if (kept := kept_search(plan, study, about)) is not None:
            line.finish(f"kept from before · {describe(kept)}")
            return kept
        result = run_search(plan, study, pairs, about, line)
        line.finish(describe(result))
    return result


def run_search(
    plan: SearchPlan, study: Search, pairs: TrainingPairs, about: dict[str, Any], line: Stage
) -> SearchResult:
    """Run what is left of a search, trials and finale, and leave the record of it."""
    with search_run(plan, study) as run, WorkerProcesses(plan.search.workers) as processes:
        plan = replace(plan, run_id=run.run_id)

        def say(text: str) -> None:
            ended = sum(one.state in ENDED for one in study.trials())
            line.update(ended, study.planned, text)

        run_trials(plan, study, pairs, processes, say)
        require_a_finite_loss(study)
        wanted = reruns(plan, study)
        say(f"{len(wanted)} trainings with new seeds" if wanted else "drawing")
        run_finale(plan, study, wanted, pairs, processes)
        result = search_result(plan, study, **about, **of_its_run(study, run.run_id), **of_its_finale(wanted))
        publish_search(result, plan.version.name, log_scaled(study))
    return result


def with_shortcuts(
    search: SearchConfig, training: TrainingConfig, method: str | None, sampler: str | None, trials: int | None
) -> tuple[SearchConfig, TrainingConfig]:
    """The settings with what the short parameters say in place of theirs.

    Raises:
        InputError: a short parameter does not go with the rest.
    """
    short = {"sampler": sampler, "trials": trials}
    given = {name: value for name, value in short.items() if value is not None}
    if method is not None and "method" in search.space:
        raise InputError("method is searched (search.space.method): leave --method out, or take it out of the space")
    try:
        # Not dumped: that would hide the password of the storage.
        said = {name: getattr(search, name) for name in search.model_fields_set}
        search = SearchConfig.model_validate({**said, **given})
        if method is not None:
            training = TrainingConfig.model_validate({**training.model_dump(exclude_unset=True), "method": method})
    except ValidationError as error:
        raise InputError(f"{', '.join(f'--{name}' for name in given)}: {error.errors()[0]['msg']}") from error
    if not search.trials:
        raise InputError("search.trials is 0: there is nothing to search; give at least 1")
    return search, training


@contextmanager
def says_how_to_go_on(line: Stage) -> Iterator[None]:
    """Say in the line of progress that nothing is lost, when this process is told to end."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, FlowRunCancelledError) or not isinstance(error, Exception):
            line.finish("interrupted; the same command goes on")
        raise


def kept_search(plan: SearchPlan, study: Search, about: dict[str, Any]) -> SearchResult | None:
    """The result of a search that has been done before, finale and all, if its MLflow run is still there."""
    run_id = find_search_run(study, plan.version.name)
    if run_id is None or not nothing_is_left(study):
        return None
    require_a_finite_loss(study)
    wanted = reruns(plan, study)
    if left_to_train(plan, study, wanted):
        return None
    return search_result(plan, study, reused=True, **about, **of_its_run(study, run_id), **of_its_finale(wanted))


def of_its_run(study: Search, run_id: str) -> dict[str, Any]:
    """What the result says of the MLflow run."""
    experiment = MlflowClient().get_run(run_id).info.experiment_id
    return {"run_id": run_id, "run_ids": trial_run_ids(study, experiment), "pictures": pictures_place(run_id)}


def of_its_finale(wanted: list[Rerun]) -> dict[str, Any]:
    """What the result says of the finale."""
    return {
        "finale": known_finale(wanted),
        "trained_again": spent_on_finale(wanted),
        "failed_finalists": failed_finalists(wanted),
    }


def log_scaled(study: Search) -> frozenset[str]:
    """The fields that are searched on a logarithmic scale."""
    return frozenset(one.field for one in study.dimensions if getattr(one.dimension, "log", False))


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("tune")
