"""The deployments of prefect.yaml, and the work pool and worker that they run on."""

import subprocess
import sys
from pathlib import Path

from flows.running_servers import WORK_POOL
from llmops.errors import ServiceError


def make_work_pool() -> None:
    """Make the work pool unless it is there."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=template))
        except ObjectAlreadyExists:
            return


def worker_answers() -> bool:
    """Whether a worker of the pool is online."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import WorkerStatus

    with get_client(sync_client=True) as client:
        workers = client.request(
            "POST", "/work_pools/{work_pool_name}/workers/filter", path_params={"work_pool_name": WORK_POOL}, json={}
        )
        return any(one["status"] == WorkerStatus.ONLINE.value for one in workers.json())


def deploy_all(project: Path, log: Path) -> list[str]:
    """Bring every deployment of prefect.yaml up to date and return their names.

    Raises:
        ServiceError: Prefect refused one.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        last = " ".join((done.stderr or done.stdout).split())[-300:]
        raise ServiceError(f"`prefect deploy --all` failed: {last} (its output is in {log})")
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        flows = {flow.id: flow.name for flow in client.read_flows(limit=200)}
        return sorted(f"{flows[one.flow_id]}/{one.name}" for one in client.read_deployments(limit=200))
