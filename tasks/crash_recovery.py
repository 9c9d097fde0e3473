"""What every live process has under way, so that the next command can close what a killed one left open.

`<home>/processes/<pid>.json` names the Prefect server and flow runs of one process, and the mark that it puts as a
tag on each MLflow run and each flow run with the write that creates it: so no moment to be killed or interrupted in
leaves a run that nobody knows of. A process that ends closes what is still open and removes its record; one that was
killed cannot, and the next command finds it, sees that the process is dead, and closes all of it. Safe with any number
of commands at once on one home.
"""

import atexit
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psutil
from filelock import FileLock
from pydantic import BaseModel, Field, ValidationError

from llmops.settings import settings
from tasks.crashed_flow_runs import crash_flow_runs, crash_pool_runs, open_flow_runs

PROCESS_TAG = "llmops.process"
CREATION_SECONDS = 3.0


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
    mark: str = Field(default_factory=lambda: uuid4().hex)
    writes_mlflow_runs: bool = False
    starts_flow_runs: bool = False
    interrupted: bool = False

    @property
    def flow_run_tag(self) -> str:
        """The mark as people see it on Prefect's pages."""
        return f"process-{self.mark[:12]}"


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
_flow_runs_are_mine = True


def note_server(pid: int) -> None:
    """Record a server of this process's own, to be stopped by the next command should this one be killed."""
    with _lock:
        identity = ProcessIdentity.of(pid)
        if identity is not None:
            _own_record().servers.append(identity)
            _write_own()


def work_for_a_parent() -> None:
    """This process does a part of what its parent runs: flow runs are the parent's, who closes them."""
    global _flow_runs_are_mine
    _flow_runs_are_mine = False


def note_flow_run(flow_run_id: UUID | str) -> None:
    """Record a Prefect flow run that this process runs."""
    if not _flow_runs_are_mine:
        return
    with _lock:
        record = _own_record()
        if (known := UUID(str(flow_run_id))) not in record.flow_run_ids:
            record.flow_run_ids.append(known)
            _write_own()


def mlflow_run_tag() -> dict[str, str]:
    """The tag that says which process writes an MLflow run: part of creating or taking up a run, not set after it."""
    with _lock:
        record = _own_record()
        if not record.writes_mlflow_runs:
            record.writes_mlflow_runs = True
            _write_own()
        return {PROCESS_TAG: record.mark}


def flow_run_tag() -> str:
    """The tag that says which process runs a flow run: it is part of creating one, before its id is known."""
    with _lock:
        record = _own_record()
        if not record.starts_flow_runs:
            record.starts_flow_runs = True
            _write_own()
        return record.flow_run_tag


def note_interruption() -> None:
    """Prefect ends an interrupted run itself, but for one that it was just creating: close that with the record."""
    with _lock:
        _own_record().interrupted = True


def own_flow_runs() -> list[UUID]:
    """The flow runs that this process has noted."""
    with _lock:
        return list(_own_record().flow_run_ids)


def forget_own_record() -> None:
    """Remove this process's record at its end, once the runs that an interruption left open are closed."""
    global _mine
    with _lock:
        if _mine is not None and _mine.owner.pid == os.getpid():
            # Where MLflow or Prefect does not answer, the record stays, and the next command closes them.
            with suppress(Exception):
                if _mine.interrupted and _mine.starts_flow_runs:
                    _close_prefect_runs(_mine, "It was interrupted.")
                if _mine.writes_mlflow_runs:
                    _close_mlflow_runs(_mine.mark)
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
        for file in sorted(folder.glob("*.json")):
            record = _read(file)
            if record is None or record.owner.alive():
                continue
            found.servers += sum(map(_stop_server, record.servers))
            if record.writes_mlflow_runs:
                found.mlflow_runs += _close_mlflow_runs(record.mark)
            if record.flow_run_ids or record.starts_flow_runs:
                why = f"The process {record.owner.pid} that ran it died."
                flow_runs, task_runs = _close_prefect_runs(record, why)
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


def _close_mlflow_runs(mark: str) -> int:
    """Set the runs that the process with this mark left running to KILLED."""
    from mlflow import MlflowClient

    client = MlflowClient()
    experiments = [one.experiment_id for one in client.search_experiments()]
    still_open = f"tags.`{PROCESS_TAG}` = '{mark}' and attributes.status = 'RUNNING'"
    runs = client.search_runs(experiments, still_open) if experiments else []
    for run in runs:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(runs)


def _close_prefect_runs(record: ProcessRecord, why: str) -> tuple[int, int]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        created = open_flow_runs(client, record.flow_run_tag)
        until = time.monotonic() + CREATION_SECONDS
        # The server may still be at the request whose answer the interruption did not wait for.
        while record.interrupted and not record.flow_run_ids and not created and time.monotonic() < until:
            time.sleep(0.1)
            created = open_flow_runs(client, record.flow_run_tag)
        return crash_flow_runs(client, [*record.flow_run_ids, *created], why)
