"""What a command has told Prefect and Prefect has not written yet: waited for before the server is stopped."""

import time
from collections.abc import Sequence
from uuid import UUID


def wait_for_records(flow_run_ids: Sequence[UUID], timeout: float) -> None:
    """Send the logs and events that wait in this process, then wait until every task run is recorded as ended.

    Args:
        flow_run_ids: runs of this process, which have ended.
        timeout: seconds after which the wait is given up.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        TaskRunFilter,
        TaskRunFilterState,
        TaskRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    until = time.monotonic() + timeout
    APILogWorker.drain_all(timeout=timeout, at_exit=False)
    EventsWorker.drain_all(timeout=timeout, at_exit=False)
    unended = TaskRunFilterState(
        type=TaskRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.SCHEDULED])
    )
    with get_client(sync_client=True) as client:
        while time.monotonic() < until:
            runs = FlowRunFilter(id=FlowRunFilterId(any_=list(flow_run_ids)))
            if not client.read_task_runs(flow_run_filter=runs, task_run_filter=TaskRunFilter(state=unended), limit=1):
                return
            time.sleep(0.05)
