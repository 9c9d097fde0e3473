"""Prefect progress artifacts, written by one background thread so that whoever works never waits for them."""

import atexit
import logging
import queue
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Run:
    """The Prefect run that the calling code is part of."""

    flow_run_id: UUID | None
    task_run_id: UUID | None

    def logger(self) -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
        """The run's logger, whose lines the Prefect page shows."""
        from prefect import get_run_logger

        return get_run_logger()


def running_in() -> Run | None:
    """The innermost flow or task run around the caller, or None outside of any."""
    # Whoever has not imported Prefect is in no run, and should not pay for the import.
    if "prefect.context" not in sys.modules:
        return None
    from prefect.context import FlowRunContext, TaskRunContext

    task = TaskRunContext.get()
    flow = FlowRunContext.get()
    if task is not None:
        return Run(task.task_run.flow_run_id, task.task_run.id)
    if flow is not None and flow.flow_run is not None:
        return Run(flow.flow_run.id, None)
    return None


@dataclass
class ProgressArtifact:
    """The progress artifact of one stage; every method returns at once."""

    key: str
    title: str
    run: Run
    percent: float = 0.0
    description: str = ""
    artifact_id: UUID | None = None
    _due: float = field(default_factory=lambda: time.monotonic() + EVERY_SECONDS)

    def __post_init__(self) -> None:
        self.description = self.title
        _writer().put(self)

    def update(self, percent: float, detail: str) -> None:
        """Take in how far it is; it is written every two seconds."""
        self.percent = percent
        self.description = f"{self.title}: {detail}" if detail else self.title
        now = time.monotonic()
        if now >= self._due:
            self._due = now + EVERY_SECONDS
            _writer().put(self)

    def end(self, outcome: str, *, failed: bool) -> None:
        """Write the end: full when the stage ended well, as far as it came otherwise."""
        if not failed:
            self.percent = 100.0
        said = f"failed{': ' + outcome if outcome else ''}" if failed else outcome
        self.description = f"{self.title}: {said}" if said else self.title
        _writer().put(self)


class _Writer(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="progress-artifacts", daemon=True)
        self._waiting: queue.Queue[ProgressArtifact | threading.Event] = queue.Queue()

    def put(self, artifact: ProgressArtifact) -> None:
        self._waiting.put(artifact)

    def flush(self, timeout: float) -> None:
        done = threading.Event()
        self._waiting.put(done)
        done.wait(timeout)

    def run(self) -> None:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            while True:
                item = self._waiting.get()
                if isinstance(item, threading.Event):
                    item.set()
                    continue
                try:
                    _write(client, item)
                except Exception:
                    logging.getLogger(__name__).debug("progress artifact not written", exc_info=True)


def _write(client: "SyncPrefectClient", artifact: ProgressArtifact) -> None:
    from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

    if artifact.artifact_id is None:
        created = client.create_artifact(
            ArtifactCreate(
                type="progress",
                key=artifact.key,
                description=artifact.description,
                data=artifact.percent,
                flow_run_id=artifact.run.flow_run_id,
                task_run_id=artifact.run.task_run_id,
            )
        )
        artifact.artifact_id = created.id
    else:
        client.update_artifact(
            artifact.artifact_id, ArtifactUpdate(description=artifact.description, data=artifact.percent)
        )


@cache
def _writer() -> _Writer:
    writer = _Writer()
    writer.start()
    # Of a daemon thread nothing is left at exit unless it is waited for.
    atexit.register(flush_progress_artifacts)
    return writer


def flush_progress_artifacts(timeout: float = 5.0) -> None:
    """Wait until every artifact is written, at most `timeout` seconds."""
    if _writer.cache_info().currsize:
        _writer().flush(timeout)
