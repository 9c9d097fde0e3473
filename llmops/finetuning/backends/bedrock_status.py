"""What Bedrock answers about a customization job, in the words of all back ends.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_GetModelCustomizationJob.html
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from llmops.finetuning.backends.backend import BackendError, JobEvent, JobState, MetricPoint
from llmops.finetuning.backends.bedrock_files import step_metrics

STATES: dict[str, JobState] = {
    "InProgress": "running",
    "Stopping": "running",
    "Completed": "succeeded",
    "Failed": "failed",
    "Stopped": "cancelled",
}
_PHASES = {"validationDetails": "validation", "dataProcessingDetails": "data processing", "trainingDetails": "training"}


def metrics_of(s3: Any, job: Mapping[str, Any]) -> tuple[tuple[MetricPoint, ...], tuple[JobEvent, ...]]:
    """The losses of each step of a job that has ended, and the reason where its tables cannot be read.

    The final losses stand at the last step where no table has them (at step 0 where there is none).

    Raises:
        BackendError: S3 does not answer; the tables may be read in a while.
    """
    steps: tuple[MetricPoint, ...] = ()
    unread: tuple[JobEvent, ...] = ()
    try:
        steps = step_metrics(s3, job["outputDataConfig"]["s3Uri"])
    except BackendError as error:
        if error.transient:
            raise
        # A job that has ended well is not given up because its tables cannot be read.
        at = moment(job.get("endTime") or job.get("creationTime")) or datetime.now(UTC)
        unread = (JobEvent(id="unread-metrics", at=at, message=str(error), level="warning"),)
    told = {name for point in steps for name in point.metrics}
    missing = {name: value for name, value in _final_losses(job).items() if name not in told}
    if missing:
        last = steps[-1] if steps else MetricPoint(step=0, metrics={})
        steps = (*steps[:-1], MetricPoint(step=last.step, metrics={**last.metrics, **missing}))
    return steps, unread


def events_of(job: Mapping[str, Any]) -> tuple[JobEvent, ...]:
    """The phases of a job, which Bedrock tells as their states now: begun, and how they ended."""
    events = []
    for key, phase in _PHASES.items():
        details = (job.get("statusDetails") or {}).get(key) or {}
        status, begun = details.get("status", "NotStarted"), moment(details.get("creationTime"))
        if status == "NotStarted" or begun is None:
            continue
        events.append(JobEvent(id=f"{phase} begun", at=begun, message=f"{phase} begun"))
        if status in ("Completed", "Failed", "Stopped"):
            at = moment(details.get("lastModifiedTime")) or begun
            level = "error" if status == "Failed" else "info"
            events.append(JobEvent(id=f"{phase} ended", at=at, message=f"{phase} {status.lower()}", level=level))
    return tuple(events)


def detail_of(job: Mapping[str, Any], metrics: Sequence[MetricPoint]) -> str:
    """A few words for a line of progress: the last losses, else the phases that are going on."""
    if metrics:
        losses = {name: value for point in metrics for name, value in point.metrics.items()}
        return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in losses.items())
    phases = job.get("statusDetails") or {}
    running = [phase for key, phase in _PHASES.items() if (phases.get(key) or {}).get("status") == "InProgress"]
    return ", ".join(running)


def moment(told: datetime | None) -> datetime | None:
    """A time that Bedrock tells; one without a zone is in UTC."""
    return told.replace(tzinfo=UTC) if told is not None and told.tzinfo is None else told


def _final_losses(job: Mapping[str, Any]) -> dict[str, float]:
    """Of the whole job; the first validation set's where there are several."""
    validations = job.get("validationMetrics") or [{}]
    losses = {
        "loss": (job.get("trainingMetrics") or {}).get("trainingLoss"),
        "validation_loss": validations[0].get("validationLoss"),
    }
    return {name: float(value) for name, value in losses.items() if value is not None}
