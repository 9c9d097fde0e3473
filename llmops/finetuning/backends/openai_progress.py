"""A fine-tuning job behind OpenAI's API as a `JobStatus`: state, log, figures of each step, checkpoints."""

import base64
import binascii
import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llmops.finetuning.backends.backend import JobCheckpoint, JobEvent, JobState, JobStatus, MetricPoint

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
    from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

_STATES: dict[str, JobState] = {
    "validating_files": "queued",
    "queued": "queued",
    # Waits until somebody resumes it.
    "paused": "queued",
    # Azure's.
    "created": "queued",
    "pending": "queued",
    "notRunning": "queued",
    "running": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
# Events, checkpoints and result files do not all use the same names.
_METRICS = {
    "train_loss": "loss",
    "train_accuracy": "token_accuracy",
    "train_mean_token_accuracy": "token_accuracy",
    "valid_loss": "validation_loss",
    "valid_mean_token_accuracy": "validation_token_accuracy",
    "validation_mean_token_accuracy": "validation_token_accuracy",
    "full_valid_loss": "full_validation_loss",
    "full_valid_mean_token_accuracy": "full_validation_token_accuracy",
}
_STEP = re.compile(r"Step (\d+)/(\d+)")


def status_of(
    job: "FineTuningJob",
    events: Sequence["FineTuningJobEvent"],
    checkpoints: Iterable["FineTuningJobCheckpoint"],
    results: Sequence[MetricPoint],
) -> JobStatus:
    """A job with what it has told so far.

    Args:
        events: oldest first. Those with the figures of a step become metrics, the others lines of the log.
        checkpoints: in any order.
        results: figures of the result file, for a job whose events had none.
    """
    points = {point.step: point for event in events if (point := _point(event)) is not None}
    last = events[-1] if events else None
    counted = [match for event in events if (match := _STEP.search(event.message))]
    done, steps = map(int, counted[-1].groups()) if counted else (0, 0)
    state = _STATES.get(str(job.status), "running")
    return JobStatus(
        state=state,
        provider_state=str(job.status),
        reason=_reason(job) if state == "failed" else None,
        progress=1.0 if state == "succeeded" else done / steps if steps else None,
        detail=_detail(job, max(points.values(), key=lambda point: point.step, default=None), last),
        events=tuple(_line(event) for event in events if _point(event) is None),
        metrics=tuple(sorted(points.values(), key=lambda point: point.step)) or tuple(results),
        checkpoints=tuple(sorted(map(_checkpoint, checkpoints), key=lambda checkpoint: checkpoint.step)),
        trained_tokens=job.trained_tokens,
        created_at=_moment(job.created_at),
        finished_at=_moment(job.finished_at),
        model=job.fine_tuned_model or None,
    )


def result_points(content: bytes) -> list[MetricPoint]:
    """The figures of a result file: CSV, which OpenAI sends in base64.

    >>> result_points(b"step,train_loss,train_accuracy,valid_loss\\n1,2.5,0.4,\\n2,1.5,0.5,1.75\\n")[1].metrics
    {'loss': 1.5, 'token_accuracy': 0.5, 'validation_loss': 1.75}
    """
    text = result_csv(content).decode(errors="replace")
    rows = [row for row in csv.DictReader(text.splitlines()) if (row.get("step") or "").strip().isdigit()]
    return [MetricPoint(step=int(row["step"]), metrics=figures) for row in rows if (figures := _figures(row))]


def result_csv(content: bytes) -> bytes:
    """The content of a result file as CSV, whichever way it came.

    >>> import base64
    >>> result_csv(base64.b64encode(b"step,train_loss\\n1,2.5\\n")), result_csv(b"step,train_loss\\n1,2.5\\n")
    (b'step,train_loss\\n1,2.5\\n', b'step,train_loss\\n1,2.5\\n')
    """
    # A comma is no letter of base64.
    if b"," in content:
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        return content


def _point(event: "FineTuningJobEvent") -> MetricPoint | None:
    data = event.data
    if not isinstance(data, Mapping) or not isinstance(data.get("step"), int | float):
        return None
    figures = _figures(data)
    return MetricPoint(step=int(data["step"]), metrics=figures) if figures else None


def _figures(row: Mapping[str, Any]) -> dict[str, float]:
    """Those that are numbers: a step without validation has none, an empty one, NaN or -1."""
    figures = {}
    for theirs, ours in _METRICS.items():
        try:
            value = float(row[theirs])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(value) and value >= 0:
            figures[ours] = value
    return figures


def _line(event: "FineTuningJobEvent") -> JobEvent:
    levels = {"warn": "warning", "warning": "warning", "error": "error"}
    at = _moment(event.created_at) or datetime.fromtimestamp(0, UTC)
    level: Any = levels.get(str(event.level), "info")
    return JobEvent(id=event.id, at=at, message=event.message, level=level)


def _checkpoint(checkpoint: "FineTuningJobCheckpoint") -> JobCheckpoint:
    metrics = _figures(checkpoint.metrics.model_dump() if checkpoint.metrics else {})
    return JobCheckpoint(step=checkpoint.step_number, model=checkpoint.fine_tuned_model_checkpoint, metrics=metrics)


def _reason(job: "FineTuningJob") -> str:
    error = job.error
    if error is None or not (error.message or error.code):
        return "the provider gives no reason"
    words = " ".join((error.message or error.code).split())
    return f"{words} ({error.param})" if error.param else words


def _detail(job: "FineTuningJob", point: MetricPoint | None, last: "FineTuningJobEvent | None") -> str:
    words = []
    if point is not None:
        words = [f"step {point.step:,}"]
        if "loss" in point.metrics:
            words.append(f"loss {point.metrics['loss']:.3g}")
    elif last is not None:
        words = [last.message]
    if (ends := _moment(job.estimated_finish)) is not None and job.finished_at is None:
        words.append(f"expected to end at {ends:%Y-%m-%d %H:%M} UTC")
    return ", ".join(words)


def _moment(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
