"""Flow runs whose process is gone: set to Crashed in Prefect, with their subflows and task runs."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State, TaskRun

# What a run that nobody runs any more may still be in.
OPEN_STATES = ("RUNNING", "PENDING", "SCHEDULED", "CANCELLING")


def crash_pool_runs(work_pool: str) -> int:
    """Close the flow runs of a work pool whose process on this machine is gone; how many there were."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType

    begun = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=begun))),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[work_pool])),
            limit=200,
        )
        orphans = [run.id for run in runs if not _infrastructure_alive(run.infrastructure_pid)]
        return crash_flow_runs(client, orphans, "Its worker was stopped.")[0] if orphans else 0


def _infrastructure_alive(infrastructure_pid: str | None) -> bool:
    number = (infrastructure_pid or "").rpartition(":")[2]
    if not number.isdecimal():
        return False
    try:
        return any("prefect" in argument for argument in psutil.Process(int(number)).cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def open_flow_runs(client: "SyncPrefectClient", tag: str) -> list[UUID]:
    """The flow runs with this tag that have not ended."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType

    unended = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType(name) for name in OPEN_STATES]))
    tagged = FlowRunFilter(tags=FlowRunFilterTags(any_=[tag]), state=unended)
    return [run.id for run in _all_flow_runs(client, tagged)]


def crash_flow_runs(client: "SyncPrefectClient", flow_run_ids: Sequence[UUID], why: str) -> tuple[int, int]:
    """Set flow runs, their subflows and all their task runs to Crashed, as far as they are open; how many were."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterParentFlowRunId
    from prefect.states import Crashed

    state: State[Any] = Crashed(message=why)
    flow_runs = task_runs = 0
    family = _all_flow_runs(client, FlowRunFilter(id=FlowRunFilterId(any_=flow_run_ids)))
    generation = family
    while generation:
        parents = FlowRunFilterParentFlowRunId(any_=[run.id for run in generation])
        known = {run.id for run in family}
        children = _all_flow_runs(client, FlowRunFilter(parent_flow_run_id=parents))
        generation = [run for run in children if run.id not in known]
        family = family + generation
    # Task runs before their flow run, and subflows before their parents.
    for run in reversed(family):
        for task_id in _open_task_runs(client, run.id):
            client.set_task_run_state(task_id, state, force=True)
            task_runs += 1
        if run.state_type is not None and run.state_type.value in OPEN_STATES:
            client.set_flow_run_state(run.id, state, force=True)
            flow_runs += 1
    return flow_runs, task_runs


def crash_task_runs_of(worker_ids: Collection[str], why: str) -> None:
    """Set the task runs of workers that died, and those they had begun inside, to Crashed, as far as they are open."""
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run
    from prefect.states import Crashed

    state: State[Any] = Crashed(message=why)
    with get_client(sync_client=True) as client:
        for task in _read_open_task_runs(client, UUID(str(flow_run.get_id()))):
            parents = {str(one.id) for one in task.task_inputs.get("__parents__", []) if hasattr(one, "id")}
            if (parents | {str(task.id)}) & set(worker_ids):
                client.set_task_run_state(task.id, state, force=True)


def _all_flow_runs(client: "SyncPrefectClient", which: Any) -> list[Any]:
    page: int = 200
    found: list[Any] = []
    while True:
        read = client.read_flow_runs(flow_run_filter=which, limit=page, offset=len(found))
        found += read
        if len(read) < page:
            return found


def _open_task_runs(client: "SyncPrefectClient", flow_run_id: UUID) -> list[UUID]:
    return [task.id for task in _read_open_task_runs(client, flow_run_id)]


def _read_open_task_runs(client: "SyncPrefectClient", flow_run_id: UUID) -> "list[TaskRun]":
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        TaskRunFilter,
        TaskRunFilterState,
        TaskRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    states = TaskRunFilterStateType(any_=[StateType(name) for name in OPEN_STATES])
    of_the_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    page: int = 200
    found: list[TaskRun] = []
    while True:
        read = client.read_task_runs(
            flow_run_filter=of_the_run,
            task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=states)),
            limit=page,
            offset=len(found),
        )
        found += read
        if len(read) < page:
            return found
