"""The suites of configs/evaluation.yaml as deployments of the flow ``evaluate-suite``, one each.

Each is that flow's own deployment of prefect.yaml under the suite's name, with its schedule: the same code, work pool
and worker. A scheduled run that comes due while the one before still runs is cancelled: a suite that takes longer than
its interval would fill the machine with processes that wait for each other. The flow's own deployment has no such
limit; what must not be lost, such as a run on a promotion, goes through it and waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from llmops.evaluation.suites import RESERVED_NAME, Schedule, Suite

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate

FLOW = "evaluate-suite"
TAG = "suite"


@dataclass(frozen=True)
class Deployments:
    """Ids of the flow's own deployment, which runs any suite, and of each suite's."""

    flow: UUID
    suites: Mapping[str, UUID]


def deploy_suites(suites: Mapping[str, Suite], file: Path) -> Deployments:
    """Bring the suites' deployments up to date with their file, and remove those of suites that are gone."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions

    with get_client(sync_client=True) as client:
        pattern = client.read_deployment_by_name(f"{FLOW}/{RESERVED_NAME}")
        there = client.read_deployments(
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])), limit=200
        )
        for one in there:
            if one.flow_id == pattern.flow_id and one.name not in suites:
                client.delete_deployment(one.id)
        ids = {
            name: client.create_deployment(
                flow_id=pattern.flow_id,
                name=name,
                description=describe(suite),
                tags=["evaluation", TAG],
                schedules=schedules_of(suite.schedule),
                concurrency_limit=1,
                concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
                parameters=parameters_of(name, file),
                work_pool_name=pattern.work_pool_name,
                path=pattern.path,
                entrypoint=pattern.entrypoint,
                pull_steps=pattern.pull_steps,
                parameter_openapi_schema=pattern.parameter_openapi_schema,
                enforce_parameter_schema=pattern.enforce_parameter_schema,
            )
            for name, suite in suites.items()
        }
        for deployment in ids.values():
            free_slots(client, deployment)
        return Deployments(pattern.id, ids)


def free_slots(client: "SyncPrefectClient", deployment_id: UUID) -> None:
    """Free what a run of a server that was killed may have held for ever; the flow's own lock still holds."""
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    limit = client.read_deployment(deployment_id).global_concurrency_limit
    if limit is not None and limit.active_slots:
        client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=0))


def schedules_of(schedule: Schedule | None) -> "list[DeploymentScheduleCreate]":
    """A suite's schedule as Prefect takes it."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

    if schedule is None:
        return []
    when: CronSchedule | IntervalSchedule
    if schedule.cron is not None:
        when = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    else:
        assert schedule.interval is not None
        when = IntervalSchedule(interval=schedule.interval, timezone=schedule.timezone)
    return [DeploymentScheduleCreate(schedule=when, active=schedule.active)]


def parameters_of(name: str, file: Path) -> dict[str, str]:
    """What the flow is given for one suite."""
    return {"suite": name, "file": str(file)}


def describe(suite: Suite) -> str:
    """What a suite does, for its deployment's page."""
    prompt = f" with {suite.prompt}" if suite.prompt else ""
    return f"{', '.join(suite.models)} on {suite.dataset}{prompt}, against {', '.join(suite.baseline) or 'nothing'}."
