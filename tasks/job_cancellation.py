"""Stopping jobs at their provider because what waits for them is stopped."""

import logging
from typing import TYPE_CHECKING, Any

from llmops.errors import LlmopsError
from llmops.finetuning.backends import ENDED, FineTuningBackend, JobSettings
from llmops.finetuning.jobs import TRAINED_HERE, JobRecord, job_ledger
from tasks.deployments import said_of_error, take_down
from tasks.hosted_models import back_end
from tasks.interruptions import end_cancelled_flow_run

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_log = logging.getLogger(__name__)


def stop_job(record_id: str, backend: FineTuningBackend, job: JobSettings) -> str:
    """Cancel a job whose flow run is stopped, or leave it, as its settings say.

    Returns:
        What became of it, as a part of a sentence.
    """
    ledger = job_ledger()
    record = ledger.get(record_id)
    if record.job_id is None:
        return "interrupted before the job was known to be submitted; the same command goes on"
    name = f"job {record.job_id} at {backend.name}"
    if record.ended:
        return f"interrupted; {name} has {record.state}" if record.state != "cancelled" else f"{name} is cancelled"
    if job.on_cancel == "leave":
        if record.backend in TRAINED_HERE:
            return "interrupted; the same command goes on from its newest checkpoint"
        return f"interrupted; {name} goes on, and the same command finds it again (llmops cancel job {record.id})"
    try:
        backend.cancel(record.job_id)
        record = ledger.observe(record.id, backend.status(record.job_id))
    except LlmopsError as error:
        ledger.update(record.id, reason=str(error))
        return f"interrupted; {name} could not be cancelled ({error}): llmops cancel job {record.id}"
    if record.state == "unknown":
        look = f"check key, project and region, then llmops cancel job {record.id}"
        return f"interrupted; {name} is not known at {backend.endpoint} now and may go on: {look}"
    if record.state not in ENDED:
        # It takes a while there; nobody waits for that.
        record = ledger.update(record.id, state="cancelled", reason="its flow run was stopped")
    if record.state == "cancelled" and record.backend in TRAINED_HERE:
        return "interrupted; the same command goes on from its newest checkpoint"
    return f"interrupted; {name} is cancelled" if record.state == "cancelled" else f"interrupted; {name} {record.state}"


def cancel_jobs(flow: Any, flow_run: "FlowRun", state: Any) -> None:
    """Hook of a flow that was cancelled: stop what its process did not, which Prefect may have killed.

    These are its jobs, and what serves the model of one that has ended.
    """
    try:
        for record in job_ledger().of_flow_run(str(flow_run.id)):
            try:
                if said := _stopped(record):
                    _log.warning("job %s: %s", record.id, said)
            except Exception as error:  # noqa: BLE001  the next one costs, too
                why = said_of_error(error)
                _log.error("job %s could not be stopped: %s (llmops cancel job %s)", record.id, why, record.id)
    finally:
        end_cancelled_flow_run(flow_run.id)


def _stopped(record: JobRecord) -> str | None:
    if record.backend in TRAINED_HERE:
        return None
    if not record.ended:
        return stop_job(record.id, back_end(record.backend, record.settings), record.settings)
    return None if record.settings.keep_deployment else take_down(record)
