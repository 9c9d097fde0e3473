"""What every live process has under way, so that the next command can close what a killed one left open.

`<home>/processes/<pid>.json` names the Prefect server, flow runs and MLflow runs of one process. A process that
ends removes its record; one that was killed cannot, and the next command finds it, sees that the process is
dead, and closes all of it. Safe with any number of commands at once on one home.
"""

import atexit
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil
from filelock import FileLock
from pydantic import BaseModel, ValidationError

from llmops.settings import settings
from tasks.crashed_flow_runs import crash_flow_runs, crash_pool_runs


class ProcessIdentity(BaseModel, frozen=True):
    """A process for certain: the system gives numbers out again, but not with the same time of creation."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """The process that has this number now, if any."""
        try:
            return cls(pid=pid, create_time=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < 0.01
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class ProcessRecord(BaseModel):
    """What one process has under way."""

    owner: ProcessIdentity
    servers: list[ProcessIdentity] = []
    flow_run_ids: list[UUID] = []
    mlflow_run_ids: list[str] = []


@dataclass
class Recovered:
    """What was found open after processes that died, and closed."""

    servers: int = 0
    mlflow_runs: int = 0
    flow_runs: int = 0
    task_runs: int = 0

    def __bool__(self) -> bool:
        return bool(self.servers or self.mlflow_runs or self.flow_runs or self.task_runs)

    @property
    def sentence(self) -> str:
        """What was found, in one line."""
        counted = [
            (self.servers, "a server that was left running", "{} servers that were left running"),
            (self.flow_runs, "a flow run", "{} flow runs"),
            (self.task_runs, "a task run", "{} task runs"),
            (self.mlflow_runs, "an MLflow run", "{} MLflow runs"),
        ]
        what = [one if number == 1 else many.format(number) for number, one, many in counted if number]
        listed = " and ".join([", ".join(what[:-1]), what[-1]] if len(what) > 1 else what)
        return f"Cleaned up after an earlier command that died: closed {listed}."


_lock = threading.RLock()
_mine: ProcessRecord | None = None


def note_server(pid: int) -> None:
    """Record a server of this process's own, to be stopped by the next command should this one be killed."""
    with _lock:
        identity = ProcessIdentity.of(pid)
        if identity is not None:
            _own_record().servers.append(identity)
            _write_own()


def note_flow_run(flow_run_id: UUID | str) -> None:
    """Record a Prefect flow run that this process runs."""
    with _lock:
        record = _own_record()
        if (known := UUID(str(flow_run_id))) not in record.flow_run_ids:
            record.flow_run_ids.append(known)
            _write_own()


def note_mlflow_run(run_id: str) -> None:
    """Record an MLflow run that this process writes."""
    with _lock:
        record = _own_record()
        if run_id not in record.mlflow_run_ids:
            record.mlflow_run_ids.append(run_id)
            _write_own()


def own_flow_runs() -> list[UUID]:
    """The flow runs that this process has noted."""
    with _lock:
        return list(_own_record().flow_run_ids)


def forget_own_record() -> None:
    """Remove this process's record: it ends in order and leaves nothing open."""
    global _mine
    with _lock:
        if _mine is not None and _mine.owner.pid == os.getpid():
            _record_file(_mine.owner).unlink(missing_ok=True)
        _mine = None


def recover_from_crashes(work_pool: str | None = None) -> Recovered:
    """Close all that processes which died left open on this home; needs Prefect's API and the MLflow store.

    Orphaned servers are stopped, MLflow runs set to KILLED, flow runs with their subflows and task runs to
    Crashed. What another live process has taken up again is left alone.

    Args:
        work_pool: also close the flow runs of this pool whose process is gone; for a Prefect server whose workers
            all ran on this machine.
    """
    found = Recovered()
    if work_pool:
        found.flow_runs += crash_pool_runs(work_pool)
    folder = _folder()
    if not folder.is_dir():
        return found
    with FileLock(folder / ".lock"):
        dead: list[tuple[Path, ProcessRecord]] = []
        taken: set[str] = set()
        for file in sorted(folder.glob("*.json")):
            record = _read(file)
            if record is None:
                continue
            if record.owner.alive():
                taken.update(record.mlflow_run_ids)
            else:
                dead.append((file, record))
        for file, record in dead:
            found.servers += sum(map(_stop_server, record.servers))
            found.mlflow_runs += _close_mlflow_runs(set(record.mlflow_run_ids) - taken)
            if record.flow_run_ids:
                flow_runs, task_runs = _close_prefect_runs(record)
                found.flow_runs += flow_runs
                found.task_runs += task_runs
            file.unlink(missing_ok=True)
    return found


def _folder() -> Path:
    return settings().home / "processes"


def _record_file(owner: ProcessIdentity) -> Path:
    # The time of creation keeps a new process from overwriting the record of a dead one with its number.
    return _folder() / f"{owner.pid}-{int(owner.create_time * 100)}.json"


def _own_record() -> ProcessRecord:
    global _mine
    # A forked child inherits its parent's record and must not write to it.
    if _mine is None or _mine.owner.pid != os.getpid():
        owner = ProcessIdentity.of(os.getpid())
        assert owner is not None
        _mine = ProcessRecord(owner=owner)
        atexit.register(forget_own_record)
    return _mine


def _write_own() -> None:
    record = _own_record()
    file = _record_file(record.owner)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(record.model_dump_json())
    draft.replace(file)


def _read(file: Path) -> ProcessRecord | None:
    try:
        return ProcessRecord.model_validate_json(file.read_text())
    except FileNotFoundError:  # its process ended meanwhile
        return None
    except ValidationError:  # of another version of this program: nothing to be learnt from it
        file.unlink(missing_ok=True)
        return None


def _stop_server(server: ProcessIdentity) -> int:
    if not server.alive():
        return 0
    process = psutil.Process(server.pid)
    process.terminate()
    try:
        process.wait(timeout=5)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)
    return 1


def _close_mlflow_runs(run_ids: Iterable[str]) -> int:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    closed = 0
    for run_id in run_ids:
        try:
            if client.get_run(run_id).info.status not in ("RUNNING", "SCHEDULED"):
                continue
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue
        client.set_terminated(run_id, "KILLED")
        closed += 1
    return closed


def _close_prefect_runs(record: ProcessRecord) -> tuple[int, int]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return crash_flow_runs(client, record.flow_run_ids, f"The process {record.owner.pid} that ran it died.")
