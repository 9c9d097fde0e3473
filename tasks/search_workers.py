"""The workers of a search: this process, or several of their own that share the trials."""

import time
from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from llmops.tuning import Search
from tasks.datasets import TrainingPairs, training_pairs
from tasks.search_conclusion import nothing_is_left
from tasks.search_trials import SearchPlan, Trials
from tasks.worker_processes import WorkerProcesses, interruptible

WAIT_SECONDS = 1.0
# States of a trial that nobody takes up again.
ENDED = ("finished", "pruned", "diverged", "given up")


def run_trials(
    plan: SearchPlan, search: Search, pairs: TrainingPairs, processes: WorkerProcesses, say: Callable[[str], None]
) -> None:
    """Run every trial of a search that is left, and wait for those that other commands run.

    Args:
        plan: the search.
        search: the same, open in this process.
        pairs: what is trained on.
        processes: do the work where the search wants more than one worker; one is this process.
        say: told often what is going on, for a line of progress.
    """
    trials = Trials(plan, search, pairs)
    if plan.search.workers == 1:
        trials.run_until_none_is_left(say)
    elif search.why_stopped() is None:
        workers = min(plan.search.workers, search.planned)
        processes.run(
            search_worker,
            [{"number": number + 1, "plan": plan} for number in range(workers)],
            lambda: _progress(search, say),
        )
    # Other commands may share the search: its result is there when their trials have ended, too.
    # One of theirs may turn open at any moment, when its process dies.
    while not nothing_is_left(search):
        trials.run_until_none_is_left(say)
        if not nothing_is_left(search):
            say("waiting for the trials of another command")
            time.sleep(WAIT_SECONDS)


def _progress(search: Search, say: Callable[[str], None]) -> int:
    """How many trials have ended."""
    trials = search.trials()
    running = [str(one.number + 1) for one in trials if one.state == "running"]
    say(f"trial {', '.join(running)}" if running else "starting the workers")
    return sum(one.state in ENDED for one in trials)


@task(name="search worker", task_run_name="worker {number}", cache_policy=NO_CACHE)
def search_worker(number: int, plan: SearchPlan) -> Any:
    """Run trials in this process until there is none left to claim."""
    try:
        with interruptible():
            Trials(plan, plan.open(), training_pairs(plan.version)).run_until_none_is_left()
    except KeyboardInterrupt:
        return Cancelled(message="Interrupted; its trial goes to whoever claims next.")
    return None
