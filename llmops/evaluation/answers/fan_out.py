"""Give the batches of a plan to a task runner, a few at a time, and watch how they get on."""

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from llmops.evaluation.answers.asking import GRACE_S
from llmops.evaluation.answers.batch_workers import BatchWorker, Outcome, close_worker, worker_of
from llmops.evaluation.answers.budget import Spending
from llmops.evaluation.answers.plan import Plan, write_answers
from llmops.evaluation.answers.schema import ANSWER_SCHEMA
from llmops.evaluation.answers.sources import EndpointSource
from llmops.llm.client import ClientReport

LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class Progress:
    """How far a collection is.

    done: requests answered, failed or reused, of `total`. waiting: what it waits for, where it does.
    """

    done: int
    total: int
    reused: int
    spending: Spending
    waiting: str = ""


class Submitted(Protocol):
    """A batch task under way: a future of `concurrent.futures`, or one of Prefect."""

    def result(self) -> Any:
        """Its `Outcome`."""
        ...

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call back when it is done."""
        ...


Submit = Callable[[Plan, range], Submitted]


@dataclass(frozen=True)
class Asked:
    """What came of asking; all batches have their files, unless there was an error."""

    label: str
    spending: Spending
    stopped: str | None = None
    error: Exception | None = None
    client: ClientReport | None = None


def ask_missing(plan: Plan, missing: list[int], total: int, submit: Submit, tell: Callable[[Progress], None]) -> Asked:
    """Ask what is missing, and write the file of every batch.

    Args:
        missing: how many requests of each batch are.
        total: requests in all.
        submit: starts a task, which calls `answer_batches` with the plan and the numbers of its batches.
        tell: called a few times a second.
    """
    label = plan.source.label
    if not sum(missing):
        _write_reused(plan)
        plan.missing_file.unlink()
        return Asked(label, Spending())
    worker = worker_of(plan)
    reused = total - sum(missing)

    def look() -> None:
        spent = worker.spending
        tell(Progress(reused + spent.answered + sum(spent.failed.values()), total, reused, spent))

    try:
        run = _Run(plan, worker, submit, look)
        try:
            run.ask(_shares(plan, missing))
        except BaseException:
            run.abandon()
            raise
        look()
        client = worker.report
    finally:
        # From here on a task that starts late finds the run ended.
        plan.missing_file.unlink(missing_ok=True)
        close_worker(plan)
    if run.error is None:
        _write_reused(plan)
    # Asking stopped at what was spent then; the answers that were still under way have been paid since.
    stopped = run.stopped and (run.spending.exhausted or run.stopped)
    return Asked(label, run.spending, stopped, run.error, client)


class _Run:
    def __init__(self, plan: Plan, worker: BatchWorker, submit: Submit, look: Callable[[], None]) -> None:
        self.spending = Spending(plan.budget)
        self.stopped: str | None = None
        self.error: Exception | None = None
        self._plan = plan
        self._worker = worker
        self._submit = submit
        self._look = look
        self._done: queue.SimpleQueue[Submitted] = queue.SimpleQueue()
        self._open = 0

    def ask(self, shares: list[range]) -> None:
        """Have every share answered, a few at a time."""
        waiting = iter(shares)
        left = len(shares)
        while left or self._open:
            while left and self._open < self._at_once(shares) and self.stopped is None:
                self._submit(self._plan, next(waiting)).add_done_callback(self._done.put)
                self._open += 1
                left -= 1
            if self.stopped is not None:
                left = 0
            if self._open:
                self._take_in()

    def abandon(self) -> None:
        """An interruption, or an error in here: let the tasks end, with what is answered until then."""
        self._worker.abandon("it was interrupted")
        self._look = lambda: None
        until = time.monotonic() + GRACE_S + 2
        while self._open and time.monotonic() < until:
            with suppress(Exception):
                self._take_in()

    def _take_in(self) -> None:
        try:
            done = self._done.get(timeout=LOOK_EVERY_S)
        except queue.Empty:
            self._look()
            return
        self._open -= 1
        outcome: Outcome = done.result()
        self.spending.merge(outcome.spending)
        self.stopped = self.stopped or outcome.stopped
        self.error = self.error or outcome.error

    def _at_once(self, shares: list[range]) -> int:
        """Enough batches that there is always something to ask while the last answers of one are awaited."""
        if not isinstance(self._plan.source, EndpointSource):
            return 1
        requests = max(1, len(self._plan.requests(shares[0].start)))
        return 2 + -(-self._plan.source.client.concurrency // requests)


def _shares(plan: Plan, missing: list[int]) -> list[range]:
    """The batches of each task: one for an endpoint, all of them for a model that must be loaded first."""
    numbers = [number for number, some in enumerate(missing) if some]
    if isinstance(plan.source, EndpointSource):
        return [range(number, number + 1) for number in numbers]
    return [range(numbers[0], numbers[-1] + 1)]


def _write_reused(plan: Plan) -> None:
    """The files of the batches that no task wrote: nothing of them was missing, or the run stopped before."""
    for number in range(plan.batches):
        if not plan.answers_file(number).exists():
            write_answers(plan, number, ANSWER_SCHEMA.empty_table())
