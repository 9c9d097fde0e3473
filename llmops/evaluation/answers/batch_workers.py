"""What a batch task does, in whichever process it runs.

Everything that lives (the client, the workers, the loaded model, what is spent so far) belongs to the process and is
found by the plan it works for. With a task runner of threads that is one for the whole run; where the tasks are spread
over processes (Dask, Ray) each process has its own, with a concurrency and a budget of its own.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from llmops.evaluation.answers.asking import EVENT_LOOP, Asker
from llmops.evaluation.answers.budget import Spending
from llmops.evaluation.answers.journal import Segment
from llmops.evaluation.answers.local_worker import LocalWorker
from llmops.evaluation.answers.plan import Plan, duplicate_keys, write_answers
from llmops.evaluation.answers.sources import EndpointSource, LocalSource
from llmops.evaluation.answers.store import AnswerStore
from llmops.llm.client import ClientReport, ModelClient, open_client


@dataclass(frozen=True)
class Outcome:
    """What came of some batches: what the new answers took, and why asking stopped, if it did before the end."""

    spending: Spending
    stopped: str | None
    error: Exception | None


class BatchWorker(Protocol):
    """Whatever answers batches."""

    spending: Spending

    def ask(self, requests: pa.RecordBatch, segment: Segment) -> Spending:
        """Answer requests into a segment; returns what it took."""
        ...

    @property
    def stopped(self) -> str | None:
        """Why nothing more is asked."""
        ...

    @property
    def error(self) -> Exception | None:
        """The error it stopped for."""
        ...

    @property
    def report(self) -> ClientReport | None:
        """What the client has done."""
        ...

    def abandon(self, reason: str) -> None:
        """Ask nothing more; safe from any thread, and at any time."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class EndpointWorker:
    """A model behind an endpoint: its client and workers on the process's event loop."""

    def __init__(self, plan: Plan, source: EndpointSource) -> None:
        self.spending = Spending(plan.budget)
        self._portal = EVENT_LOOP.__enter__()
        try:
            self._client, self._asker = self._portal.call(self._open, plan, source)
        except BaseException:
            EVENT_LOOP.__exit__(None, None, None)
            raise

    async def _open(self, plan: Plan, source: EndpointSource) -> tuple[ModelClient, Asker]:
        client = open_client(source.name, source.client)
        asker = Asker(client, plan.model, plan.parameters, plan.run_id, self.spending, duplicate_keys(plan))
        return client, asker

    def ask(self, requests: pa.RecordBatch, segment: Segment) -> Spending:
        """Answer requests into a segment; returns what it took."""
        spent: Spending = self._portal.call(self._asker.ask, requests, segment)
        return spent

    @property
    def stopped(self) -> str | None:
        """Why nothing more is asked."""
        return self._asker.stopped

    @property
    def error(self) -> Exception | None:
        """The error it stopped for."""
        return self._asker.error

    @property
    def report(self) -> ClientReport | None:
        """What the client has done."""
        return self._client.report()

    def abandon(self, reason: str) -> None:
        """Ask nothing more; what is under way gets a few seconds."""
        self._portal.start_task_soon(self._asker.abandon, reason)

    def close(self) -> None:
        """End the workers and the client, and the event loop with the last of them."""
        self._portal.call(self._asker.close)
        self._portal.call(self._client.close)
        EVENT_LOOP.__exit__(None, None, None)


_workers: dict[Path, tuple[Plan, BatchWorker]] = {}
_lock = threading.Lock()


def worker_of(plan: Plan) -> BatchWorker:
    """This process's worker of a plan, opened by whoever needs it first."""
    with _lock:
        if plan.folder not in _workers:
            # In a process that only runs tasks nobody else closes what ended plans have left.
            for other, worker in [one for one in _workers.values() if not one[0].under_way]:
                del _workers[other.folder]
                worker.close()
            _workers[plan.folder] = plan, _open(plan)
        return _workers[plan.folder][1]


def _open(plan: Plan) -> BatchWorker:
    if isinstance(plan.source, EndpointSource):
        return EndpointWorker(plan, plan.source)
    assert isinstance(plan.source, LocalSource)
    return LocalWorker(plan, plan.source)


def close_worker(plan: Plan) -> None:
    """Close this process's worker of a plan, if it is still open."""
    with _lock:
        found = _workers.pop(plan.folder, None)
    if found is not None:
        found[1].close()


def answer_batches(plan: Plan, numbers: Iterable[int]) -> Outcome:
    """Ask what is missing of some batches, and write their files: the body of a batch task."""
    if not plan.under_way:
        return Outcome(Spending(), "the run has ended", None)
    worker = worker_of(plan)
    store = AnswerStore(plan.store)
    total = Spending()
    for number in numbers:
        segment = store.begin_segment()
        try:
            total.merge(worker.ask(plan.missing(number), segment))
            write_answers(plan, number, segment.read())
            store.fold(segment)
        finally:
            segment.close()
    return Outcome(total, worker.stopped, worker.error)
