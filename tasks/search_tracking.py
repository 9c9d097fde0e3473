"""The MLflow run of a search: one however many commands share the search, with a child for each trial."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from mlflow import MlflowClient

from llmops.errors import LlmopsError
from llmops.tuning import Search
from tasks.search_conclusion import nothing_is_left
from tasks.search_trials import OF_SEARCH_TAG, SEARCH_TAG, TRIAL_TAG, SearchPlan
from tasks.tracking import TrackedRun, log_dataset, log_params, tracked_run


def find_search_run(search: Search, experiment: str) -> str | None:
    """The MLflow run of a search, if a command has begun one; of two that began at once, the first."""
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    runs = client.search_runs([found.experiment_id], f"tags.`{SEARCH_TAG}` = '{search.name}'")
    # By its id as well: two commands may begin in the same millisecond and must agree.
    ordered = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    return str(ordered[0].info.run_id) if ordered else None


@contextmanager
def search_run(plan: SearchPlan, search: Search) -> Iterator[TrackedRun]:
    """Open the MLflow run of a search, or go on with the one that it has.

    One that was finished is finished again when what was to be added to it (finalists, say) is interrupted while all
    its trials are there.
    """
    experiment = plan.version.name
    tags = {SEARCH_TAG: search.name}
    with ExitStack() as last:
        with ExitStack() as stack:
            run_id = find_search_run(search, experiment)
            last.enter_context(_finished_again(run_id, search))
            run = stack.enter_context(tracked_run("tune", experiment=experiment, tags=tags, run_id=run_id))
            first = find_search_run(search, experiment)
            if first == run.run_id:
                last.push(stack.pop_all())
        if first != run.run_id:  # another command has begun one at the same moment
            MlflowClient().delete_run(run.run_id)
            run = last.enter_context(tracked_run("tune", experiment=experiment, tags=tags, run_id=first))
        if not run.resumed:
            # What else there is may change from one command to the next, or is nobody's business: a password.
            chosen: dict[str, Any] = {**plan.search.of_the_search(), "training": plan.training.model_dump(mode="json")}
            log_params(run.run_id, {"base_model": plan.base.name, **chosen})
            log_dataset(run.run_id, plan.version, "training")
        yield run


@contextmanager
def _finished_again(run_id: str | None, search: Search) -> Iterator[None]:
    """Around `tracked_run`: set a run back to FINISHED that was so before and that an interruption made KILLED."""
    client = MlflowClient()
    before = client.get_run(run_id).info if run_id else None
    try:
        yield
    except BaseException:
        if before is not None and before.status == "FINISHED":
            with suppress(LlmopsError):  # a storage that fails now must not hide the interruption
                if client.get_run(before.run_id).info.status == "KILLED" and nothing_is_left(search):
                    client.set_terminated(before.run_id, "FINISHED", before.end_time)
        raise


def trial_run_ids(search: Search, experiment_id: str) -> dict[int, str]:
    """The MLflow runs of the trials by their numbers (from 1); of a trial that was taken up again, the last."""
    client = MlflowClient()
    found: dict[int, str] = {}
    page: str | None = None
    while True:
        runs = client.search_runs(
            [experiment_id],
            f"tags.`{OF_SEARCH_TAG}` = '{search.name}'",
            order_by=["attributes.start_time ASC"],
            page_token=page,
        )
        for run in runs:
            if "finalist" not in run.data.tags:
                found[int(run.data.tags[TRIAL_TAG])] = run.info.run_id
        page = runs.token
        if not page:
            return found
