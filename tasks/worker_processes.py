"""Processes that work side by side, each at a Prefect task of its own; one that dies is replaced.

A training has the random state of its process to itself, and a killed process takes no other with it: so each worker
is a process pool of one. A worker obeys its parent alone: Ctrl-C on a terminal, which every process of it gets, is
held back from the workers, and the parent tells them. One whose parent is gone ends at once.
"""

import _thread
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from prefect import Task
from prefect.task_runners import ProcessPoolTaskRunner

from llmops.errors import ServiceError
from tasks.crash_recovery import recover_from_crashes, work_for_a_parent
from tasks.crashed_flow_runs import crash_task_runs_of

LOOK_EVERY_SECONDS = 0.05
PROGRESS_EVERY_SECONDS = 1.0
# In a row and for each worker, without any of them getting further: then it is no accident.
MOST_DEATHS = 5
# How long a worker that was told to stop may take to put its things away.
GRACE_SECONDS = 20.0


class WorkerProcesses:
    """Processes that are made when there is work for them and kept for more of it; a context manager that ends them.

    Args:
        count: how many at most; each computes with its part of the processor cores.
    """

    def __init__(self, count: int) -> None:
        threads = max(1, (os.cpu_count() or 1) // count)
        self._workers = [_Worker(threads) for _ in range(count)]
        self._died: list[str] = []

    def __enter__(self) -> "WorkerProcesses":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        interrupted = [worker.stop() for worker in self._workers if worker.busy]
        for worker in self._workers:
            worker.close()
        if self._died or interrupted:
            crash_task_runs_of([*self._died, *interrupted], "Its process was stopped or died.")
            recover_from_crashes()

    def run(
        self, work: Task[..., Any], arguments: Sequence[Mapping[str, Any]], progress: Callable[[], object]
    ) -> list[Any]:
        """Have every worker do its work to the end.

        Args:
            work: what a worker does, inside of `interruptible`; it is safe to do from the beginning again after it was
                killed in the middle.
            arguments: those of each worker; not more than there are workers.
            progress: called about once a second; what it returns differs when the work has got further.

        Returns:
            What each worker returned.

        Raises:
            ServiceError: the workers keep dying.
            Exception: what the work of one raised; the others are interrupted when the context ends.
        """
        workers = self._workers[: len(arguments)]
        for worker, its_own in zip(workers, arguments, strict=True):
            worker.begin(work, its_own)
        deaths, seen, looked = 0, progress(), time.monotonic()
        results: dict[_Worker, Any] = {}
        while len(results) < len(workers):
            time.sleep(LOOK_EVERY_SECONDS)
            if time.monotonic() - looked > PROGRESS_EVERY_SECONDS:
                now, looked = progress(), time.monotonic()
                deaths, seen = (deaths if now == seen else 0), now
            for worker in workers:
                if worker in results or worker.busy:
                    continue
                try:
                    results[worker] = worker.result()
                except BrokenProcessPool as error:
                    deaths += 1
                    self._bury(worker, deaths, error)
                    worker.begin_again()
        return [results[worker] for worker in workers]

    def _bury(self, worker: "_Worker", deaths: int, error: BaseException) -> None:
        self._died.append(worker.task_run_id)
        if deaths > MOST_DEATHS * len(self._workers):
            raise ServiceError(
                f"{deaths} worker processes died one after another; was there too little memory for them? Give fewer "
                "workers or a smaller batch_size"
            ) from error
        # What it had open in MLflow is closed before another takes it up.
        recover_from_crashes()


class _Worker:
    """One worker, in a process that can be replaced."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._runner: ProcessPoolTaskRunner | None = None
        self._ended = threading.Event()
        self._ended.set()

    @property
    def busy(self) -> bool:
        return not self._ended.is_set()

    @property
    def task_run_id(self) -> str:
        return str(self._future.task_run_id)

    def begin(self, work: Task[..., Any], arguments: Mapping[str, Any]) -> None:
        self._work, self._arguments = work, dict(arguments)
        if self._runner is None:
            orders, self._orders = multiprocessing.get_context("spawn").Pipe(duplex=False)
            self._runner = ProcessPoolTaskRunner(
                max_workers=1, initializer=_get_ready, initargs=(orders, self._threads)
            ).__enter__()
        # A process inherits which signals the thread blocks that makes it; the pool's threads inherit that from here.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._future = self._runner.submit(work, self._arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        ended = self._ended = threading.Event()
        self._future.add_done_callback(lambda _: ended.set())

    def begin_again(self) -> None:
        self.close()
        self.begin(self._work, self._arguments)

    def result(self) -> Any:
        return self._future.result()

    def stop(self) -> str:
        """Tell it to stop, and say which task run that ends."""
        with suppress(OSError):  # it may have died meanwhile
            self._orders.send("stop")
        return self.task_run_id

    def close(self) -> None:
        """Wait for the end of its process."""
        if self._runner is not None:
            self._runner.__exit__(None, None, None)
            self._runner = None
            self._orders.close()


_changing = threading.Lock()
_interruptible = False
_told_to_stop = False


def _get_ready(orders: Connection, threads: int) -> None:
    """Set a worker's process up, before it works."""
    import torch

    work_for_a_parent()
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_obey, args=(orders,), daemon=True).start()


def _obey(orders: Connection) -> None:
    """Interrupt the work when the parent says so, and end the process when there is no parent any more."""
    global _told_to_stop
    try:
        orders.recv()
    except (EOFError, OSError):
        os._exit(1)
    with _changing:
        _told_to_stop = True
        if _interruptible:
            _thread.interrupt_main()
    if _interruptible:
        time.sleep(GRACE_SECONDS)
    os._exit(1)


@contextmanager
def interruptible() -> Iterator[None]:
    """What a worker does inside can be interrupted (`KeyboardInterrupt`); outside, its process just ends.

    Raises:
        KeyboardInterrupt: the parent says that the work shall end.
    """
    global _interruptible
    with _changing:
        if _told_to_stop:
            raise KeyboardInterrupt
        _interruptible = True
    try:
        yield
    finally:
        _interruptible = False
