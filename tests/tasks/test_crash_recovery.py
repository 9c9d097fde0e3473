"""Records of live processes, and closing what a dead one left open."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest

from tasks import crash_recovery
from tasks.crash_recovery import (
    PROCESS_TAG,
    ProcessIdentity,
    ProcessRecord,
    Recovered,
    flow_run_tag,
    forget_own_record,
    mlflow_run_tag,
    note_flow_run,
    note_interruption,
    note_server,
    recover_from_crashes,
)
from tasks.tracking import set_tags, tracked_run


def dead_process() -> ProcessIdentity:
    """A process that was, and is no more."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    assert identity.alive()
    child.kill()
    child.wait()
    return identity


def leave_record(home: Path, record: ProcessRecord) -> Path:
    """What a process that was killed leaves behind."""
    file = home / "processes" / f"{record.owner.pid}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(record.model_dump_json())
    return file


@pytest.fixture(autouse=True)
def _no_record_of_ours() -> None:
    crash_recovery._mine = None


def test_a_number_given_out_again_is_another_process() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not ProcessIdentity(pid=me.pid, create_time=me.create_time - 100).alive()
    assert not dead_process().alive()


def test_a_record_is_whole_at_every_moment_and_gone_at_the_end(home: Path) -> None:
    one, two = str(uuid4()), str(uuid4())
    note_flow_run(one)
    note_flow_run(two)
    note_flow_run(one)
    (file,) = (home / "processes").glob("*.json")
    content = json.loads(file.read_text())
    assert content["owner"]["pid"] == os.getpid()
    assert content["flow_run_ids"] == [one, two]
    forget_own_record()
    assert list((home / "processes").iterdir()) == []


def test_mlflow_runs_of_the_dead_are_killed_and_those_of_the_living_are_not(home: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient()
    dead = ProcessRecord(owner=dead_process(), writes_mlflow_runs=True)
    marked = {PROCESS_TAG: dead.mark}
    left, taken_up, ended = (client.create_run("0", tags=marked).info.run_id for _ in range(3))
    client.set_terminated(ended, "FINISHED")
    record = leave_record(home, dead)
    set_tags(taken_up, mlflow_run_tag())

    found = recover_from_crashes()

    assert found == Recovered(mlflow_runs=1)
    assert [client.get_run(run).info.status for run in (left, taken_up, ended)] == ["KILLED", "RUNNING", "FINISHED"]
    assert not record.exists()
    assert len(list((home / "processes").glob("*.json"))) == 1
    assert not recover_from_crashes()
    forget_own_record()
    assert client.get_run(taken_up).info.status == "KILLED"


def test_an_interruption_while_a_run_is_created_leaves_nothing_running(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    create = MlflowClient.create_run

    def interrupted(*arguments: Any, **options: Any) -> None:
        # The write is done, and Ctrl-C comes before its caller learns of it.
        create(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "create_run", interrupted)
    with pytest.raises(KeyboardInterrupt), tracked_run("work", experiment="x"):
        pass
    client = MlflowClient()
    experiment = client.get_experiment_by_name("x").experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["RUNNING"]
    forget_own_record()
    assert [run.info.status for run in client.search_runs([experiment])] == ["KILLED"]


def test_an_orphaned_server_is_stopped_but_not_another_process_with_its_number(home: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.of(server.pid)
    assert identity is not None
    impostor = ProcessIdentity(pid=os.getpid(), create_time=1.0)
    leave_record(home, ProcessRecord(owner=dead_process(), servers=[identity, impostor]))
    assert recover_from_crashes() == Recovered(servers=1)
    assert not identity.alive()
    server.wait(timeout=5)
    assert psutil.pid_exists(os.getpid())


def test_a_record_of_a_live_process_is_left_alone(home: Path) -> None:
    note_server(os.getpid())
    assert not recover_from_crashes()
    assert list((home / "processes").glob("*.json"))
    forget_own_record()


def test_an_unreadable_record_does_not_stop_anyone(home: Path) -> None:
    file = leave_record(home, ProcessRecord(owner=dead_process()))
    file.write_text("{")
    assert not recover_from_crashes()


def test_the_sentence_counts() -> None:
    assert Recovered(flow_runs=2, task_runs=1, mlflow_runs=1).sentence == (
        "Cleaned up after an earlier command that died: closed 2 flow runs, a task run and an MLflow run."
    )


@pytest.mark.service
def test_flow_runs_with_subflows_and_task_runs_are_crashed(home: Path, prefect_server: None) -> None:
    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.states import Running

    @task
    def work() -> None: ...

    @flow
    def inner() -> None:
        work()

    @flow
    def outer() -> str:
        from prefect.runtime import flow_run

        inner()
        return str(flow_run.get_id())

    finished, left = outer(), outer()
    with get_client(sync_client=True) as client:
        family = [run.id for run in client.read_flow_runs(limit=50) if run.flow_id]
        client.set_flow_run_state(left, Running(), force=True)
        leave_record(home, ProcessRecord(owner=dead_process(), flow_run_ids=[left]))
        assert recover_from_crashes().flow_runs == 1
        assert client.read_flow_run(left).state_type.value == "CRASHED"
        assert client.read_flow_run(finished).state_type.value == "COMPLETED"
        assert family


@pytest.mark.service
def test_a_flow_run_that_was_just_being_created_is_crashed(
    home: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow, tags
    from prefect.client.orchestration import SyncPrefectClient, get_client

    created: list[UUID] = []
    requests: list[threading.Thread] = []
    create = SyncPrefectClient.create_flow_run

    def interrupted(_client: SyncPrefectClient, **options: Any) -> None:
        # Ctrl-C comes before we learn its id, and before the server has got to it.
        def request() -> None:
            time.sleep(0.5)
            with get_client(sync_client=True) as other:
                created.append(create(other, **options).id)

        requests.append(threading.Thread(target=request))
        requests[-1].start()
        raise KeyboardInterrupt

    @flow
    def begin() -> None: ...

    def state(run: Any) -> str:
        with get_client(sync_client=True) as client:
            return str(client.read_flow_run(run).state_type.value)

    monkeypatch.setattr(SyncPrefectClient, "create_flow_run", interrupted)
    dead = ProcessRecord(owner=dead_process(), starts_flow_runs=True)
    with pytest.raises(KeyboardInterrupt), tags(dead.flow_run_tag):
        begin()
    requests[0].join()
    leave_record(home, dead)
    assert recover_from_crashes() == Recovered(flow_runs=1)

    with pytest.raises(KeyboardInterrupt), tags(flow_run_tag()):
        begin()
    note_interruption()
    forget_own_record()
    requests[1].join()
    assert [state(run) for run in created] == ["CRASHED", "CRASHED"]
