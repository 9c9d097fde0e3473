"""A tuning job of Vertex AI in our words."""

from typing import TYPE_CHECKING

from llmops.finetuning.backends.backend import JobCheckpoint, JobState, JobStatus

if TYPE_CHECKING:
    from google.genai import types

_STATES: dict[str, JobState] = {
    "JOB_STATE_QUEUED": "queued",
    "JOB_STATE_PENDING": "queued",
    "JOB_STATE_RUNNING": "running",
    "JOB_STATE_UPDATING": "running",
    "JOB_STATE_PAUSED": "running",
    "JOB_STATE_CANCELLING": "running",
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}


def status_of(job: "types.TuningJob") -> JobStatus:
    """The job's state, reason, checkpoints, trained tokens and model; it has no log and no losses."""
    provider_state = str(job.state.value if job.state else "")
    state = _STATES.get(provider_state, "unknown")
    detail = job.tuning_job_state.value if job.tuning_job_state and state == "running" else ""
    tuned = job.tuned_model
    return JobStatus(
        state=state,
        provider_state=provider_state,
        reason=_reason(job) if state in ("failed", "cancelled") else None,
        detail=detail.removeprefix("TUNING_JOB_STATE_").replace("_", " ").lower(),
        checkpoints=tuple(
            JobCheckpoint(step=point.step or 0, model=point.endpoint or point.checkpoint_id or "")
            for point in (tuned.checkpoints if tuned else None) or ()
        ),
        trained_tokens=_trained_tokens(job),
        created_at=job.create_time,
        finished_at=job.end_time,
        model=tuned.model if tuned else None,
    )


def _reason(job: "types.TuningJob") -> str | None:
    if job.error is not None and job.error.message:
        return " ".join(job.error.message.split())
    return "it took longer than Vertex AI allows" if job.state == "JOB_STATE_EXPIRED" else None


def _trained_tokens(job: "types.TuningJob") -> int | None:
    """The billable tokens of the data times the epochs: what is paid.

    https://cloud.google.com/vertex-ai/generative-ai/pricing
    """
    stats = job.tuning_data_stats.supervised_tuning_data_stats if job.tuning_data_stats else None
    spec = job.supervised_tuning_spec
    epochs = spec.hyper_parameters.epoch_count if spec and spec.hyper_parameters else None
    if stats is None or stats.total_billable_token_count is None or epochs is None:
        return None
    return stats.total_billable_token_count * epochs
