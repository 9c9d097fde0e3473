"""Ask a model behind an endpoint, batch by batch, with every slot of its client busy.

One event loop in a thread of its own serves the whole process, so that all batches, and all models at one address,
share one limit. The workers belong to the model and not to a batch: while the last answers of a batch are awaited,
free workers already ask the next one.
"""

import asyncio
import threading
import time
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
from anyio.from_thread import BlockingPortalProvider

from llmops.errors import ServiceError
from llmops.evaluation.answers.budget import Spending
from llmops.evaluation.answers.journal import Segment
from llmops.llm.client import ModelClient
from llmops.llm.completions import Completion, Parameters
from llmops.llm.failures import ModelError

EVENT_LOOP = BlockingPortalProvider("asyncio")
"""Enter it to have the process's event loop; it ends when the last one leaves."""

GRACE_S = 3.0
"""How long answers under way are waited for when a run is stopped: they are paid for."""

Record = dict[str, Any]


@dataclass
class Batch:
    """Requests that are to be asked, and where their answers go."""

    segment: Segment
    open: int
    spending: Spending = field(default_factory=Spending)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def settle(self) -> None:
        """One request less to wait for."""
        self.open -= 1
        if not self.open:
            self.done.set()


@dataclass(frozen=True)
class Question:
    """One request of a batch."""

    key: str
    question_id: str
    repeat: int
    messages: str


class Asker:
    """Keeps one model busy; lives on the event loop, and only there is it used.

    Args:
        client: the model.
        model: its identity, for the records.
        duplicates: keys that several requests of the run share: they are asked once.
    """

    def __init__(
        self,
        client: ModelClient,
        model: str,
        parameters: Parameters,
        run_id: str,
        spending: Spending,
        duplicates: Set[str],
    ) -> None:
        self._client = client
        self._parameters = parameters
        self._spending = spending
        self._same_in_all = {"model": model, "run_id": run_id}
        self._duplicates = duplicates
        self._asked: dict[str, asyncio.Future[Record | None]] = {}
        self._queue: asyncio.Queue[tuple[Batch, Question]] = asyncio.Queue()
        self._settled = asyncio.Event()
        self._segments: set[Segment] = set()
        self._alive_at = time.monotonic()
        self._failed_since = 0
        self._stopping = False
        self._ended = False
        self._ending: asyncio.Task[None] | None = None
        self.stopped: str | None = None
        self.error: Exception | None = None
        self._tasks = [asyncio.create_task(self._work()) for _ in range(client.config.concurrency)]
        self._tasks.append(asyncio.create_task(self._sync()))

    async def ask(self, requests: pa.RecordBatch, segment: Segment) -> Spending:
        """Ask a batch (`plan.REQUEST_SCHEMA`); ends when each request is answered, has failed, or will not be asked."""
        batch = Batch(segment, open=len(requests))
        if not batch.open or self._ended:
            return batch.spending
        self._segments.add(segment)
        columns = [requests[name].to_pylist() for name in ("key", "question_id", "repeat", "messages")]
        for row in zip(*columns, strict=True):
            self._queue.put_nowait((batch, Question(*row)))
        await batch.done.wait()
        self._segments.discard(segment)
        return batch.spending

    def stop(self, reason: str, error: Exception | None = None) -> None:
        """Ask nothing more; what is under way is completed."""
        if self.stopped is None:
            self.stopped, self.error = reason, error
        self._settled.set()

    async def abandon(self, reason: str) -> None:
        """Ask nothing more, and wait for what is under way for a few seconds only."""
        self.stop(reason)
        if self._stopping:
            return
        self._stopping = True
        until = time.monotonic() + GRACE_S
        while self._spending.in_flight and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await self.close()

    async def close(self) -> None:
        """End the workers; a batch that still waits gets no more answers."""
        self._ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()[0].settle()

    async def _work(self) -> None:
        while True:
            batch, question = await self._queue.get()
            try:
                await self._answer(batch, question)
            except (ServiceError, OSError) as error:
                self._give_up(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, it must end the run and not a worker silently)
                self._give_up(error)
            finally:
                batch.settle()

    def _give_up(self, error: Exception) -> None:
        """Stop the run for an error; not awaited, because the worker that met it must end first."""
        self.stop(str(error), error)
        if self._ending is None:
            self._ending = asyncio.create_task(self.abandon(str(error)))

    async def _answer(self, batch: Batch, question: Question) -> None:
        if question.key not in self._duplicates:
            record = await self._ask(batch, question)
        elif question.key in self._asked:
            shared = await asyncio.shield(self._asked[question.key])
            record = shared and shared | {"question_id": question.question_id}
        else:
            answer = self._asked[question.key] = asyncio.get_running_loop().create_future()
            record = None
            try:
                record = await self._ask(batch, question)
            finally:
                answer.set_result(record)
        if record is not None:
            batch.segment.append(record)

    async def _ask(self, batch: Batch, question: Question) -> Record | None:
        """The record of an answer or of a failure; None where it was not asked."""
        if not await self._may_ask():
            return None
        spending = self._spending
        spending.in_flight += 1
        try:
            completion = await self._client.complete(orjson.loads(question.messages), self._parameters)
        except ModelError as error:
            return self._failed(batch, question, error)
        finally:
            spending.in_flight -= 1
            self._settled.set()
        self._alive_at = time.monotonic()
        self._failed_since = 0
        spending.add(completion)
        batch.spending.add(completion)
        return self._record(question) | answered(completion)

    async def _may_ask(self) -> bool:
        while self.stopped is None:
            reason = self._spending.exhausted
            if reason is not None:
                self.stop(reason)
            elif not self._spending.promised:
                return True
            else:
                self._settled.clear()
                await self._settled.wait()
        return False

    def _failed(self, batch: Batch, question: Question, error: ModelError) -> Record | None:
        self._failed_since += 1
        # One question that is never answered is no outage; a second one in a row, for so long, is.
        silent = time.monotonic() - self._alive_at >= self._client.config.patience_s and self._failed_since > 1
        if error.fatal or (error.transient and (silent or not error.attempts)):
            self._give_up(error)
            return None
        self._spending.fail(error.kind)
        batch.spending.fail(error.kind)
        failure = {"error_kind": error.kind, "error": readable(error.message), "attempts": error.attempts}
        return self._record(question) | failure

    def _record(self, question: Question) -> Record:
        return {
            "key": question.key,
            "question_id": question.question_id,
            "repeat": question.repeat,
            "answered_at": time.time_ns() // 1000,
            **self._same_in_all,
        }

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for segment in list(self._segments):
                await asyncio.to_thread(segment.sync)
            # The program waits at its end for the threads of its tasks, which wait for these answers.
            if not threading.main_thread().is_alive():
                self._give_up(ServiceError("the program is ending"))
                return


def answered(completion: Completion) -> Record:
    """The part of a record that an answer fills."""
    return {
        "text": readable(completion.text),
        "input_tokens": completion.input_tokens,
        "output_tokens": completion.output_tokens,
        "cost": completion.cost,
        "latency_s": completion.latency_s,
        "finish_reason": completion.finish_reason,
        "model_used": completion.model,
        "attempts": completion.attempts,
    }


def readable(text: str) -> str:
    """Text that can be written: half of a surrogate pair, which some models send, is replaced.

    >>> readable("fine"), readable("half \\ud83d")
    ('fine', 'half \\ufffd')
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
