"""What is kept of one fine-tuning job, and the key by which the same job is found again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from llmops.digests import content_digest
from llmops.finetuning.backends.backend import (
    ENDED,
    Estimate,
    JobCheckpoint,
    JobEvent,
    JobState,
    JobStatus,
    TunedModel,
)
from llmops.finetuning.backends.settings import JobSettings
from llmops.finetuning.jobs.owner import JobOwner

TRAINED_HERE = ("local", "ollama")
"""The back ends whose jobs run inside a process of this machine and end with it."""

APPROVED = "approved"
"""Under this key it is noted when a person agreed to a job; all else that is noted a back end has done."""

KEPT_EVENTS = 200
"""Of the latest events that a record keeps; the provider and MLflow have them all."""


class JobRecord(BaseModel):
    """One attempt at one fine-tuning.

    Attributes:
        id: names the attempt in the ledger: ``llmops-<first 16 hexadecimal digits of the key>-<attempt>``.
        token: names it everywhere else: in file names and as a client token at the provider, where it is the id; for
            a training on this machine the name of its folder.
        key: digest of all that makes it this job (`job_key`).
        attempt: from 1; one that failed or was cancelled is followed by the next.
        settings: with which its back end is connected again, to ask about it, to cancel it and to take it down.
        noted: what the back end has stored on its way, such as the id of an uploaded file.
        job_id: the provider's id, once it has been submitted.
        state, provider_state, reason: as the provider told them last (`JobStatus`).
        submitted_at: when `job_id` became known.
        seconds: from its creation at the provider to its end.
        events, checkpoints: what it has told; metrics: the latest value of each figure, and its step under ``step``.
        version: what its model became in the registry, ``models:/name/3``.
        deleted_at: when a person had its model deleted; the same command begins a new attempt then.
        owner: the process that works on it.
    """

    # A loss that is not a number must come back from the file as one.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    id: str
    token: str
    key: str
    attempt: int
    backend: str
    endpoint: str
    base_model: str
    name: str
    dataset: str
    dataset_digest: str
    hyperparameters: dict[str, Any]
    estimate: Estimate = Estimate()
    settings: JobSettings = JobSettings()
    noted: dict[str, str] = {}
    job_id: str | None = None
    state: JobState = "queued"
    provider_state: str = ""
    reason: str | None = None
    created_at: AwareDatetime
    submitted_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    seconds: float | None = None
    trained_tokens: int | None = None
    cost: float | None = None
    events: tuple[JobEvent, ...] = ()
    checkpoints: tuple[JobCheckpoint, ...] = ()
    metrics: dict[str, float] = {}
    model: TunedModel | None = None
    version: str | None = None
    deleted_at: AwareDatetime | None = None
    mlflow_run_id: str | None = None
    flow_run_ids: list[str] = []
    owner: JobOwner | None = None

    @property
    def ended(self) -> bool:
        """Whether it succeeded, failed or was cancelled."""
        return self.state in ENDED

    @property
    def over(self) -> bool:
        """Whether nothing of it can be gone on with: it failed, was cancelled, or its model was deleted."""
        return self.state in ("failed", "cancelled") or self.deleted_at is not None

    @property
    def abandoned(self) -> bool:
        """Whether nobody works on it although it needs somebody: a training on this machine, or a submission, whose
        process has died. The same command again takes it up."""
        needs_a_process = self.backend in TRAINED_HERE or self.job_id is None
        return not self.ended and needs_a_process and (self.owner is None or self.owner.alive() is False)

    @property
    def may_be_submitted(self) -> bool:
        """Whether a provider may have it: every back end notes what it has uploaded before it creates a job."""
        return self.job_id is not None or not self.noted.keys() <= {APPROVED}

    @property
    def state_now(self) -> JobState:
        """The state as far as it can be told without asking: ``unknown`` for one that is abandoned."""
        return "unknown" if self.abandoned else self.state


def job_key(
    *,
    backend: str,
    endpoint: str,
    base_model: str,
    dataset_digest: str,
    hyperparameters: Mapping[str, Any],
    name: str,
) -> str:
    """The key of a job, SHA-256 (hex): the same request is the same job, however often its command is run.

    >>> a = dict(backend="openai", endpoint="https://api.openai.com/v1", base_model="gpt-4.1", dataset_digest="d")
    >>> job_key(**a, hyperparameters={"rank": 8, "epochs": 2}, name="support") == job_key(
    ...     **a, hyperparameters={"epochs": 2, "rank": 8}, name="support")
    True
    """
    return content_digest([backend, endpoint, base_model, dataset_digest, dict(hyperparameters), name])


def observed(record: JobRecord, status: JobStatus, at: datetime | None = None) -> dict[str, Any]:
    """What a status changes in a record.

    A job that has ended stays ended: an older answer that arrives late, or a provider that has forgotten it, changes
    nothing then.
    """
    if record.ended and status.state not in ENDED:
        return {}
    changes: dict[str, Any] = {"state": status.state, "provider_state": status.provider_state, "reason": status.reason}
    if status.trained_tokens is not None:
        changes["trained_tokens"] = status.trained_tokens
    # A provider that has forgotten a job, or cannot be asked, takes nothing back of what it has told.
    for name in ("events", "checkpoints"):
        if told := getattr(status, name):
            changes[name] = told[-KEPT_EVENTS:]
    if status.metrics:
        latest = {name: value for point in status.metrics for name, value in point.metrics.items()}
        changes["metrics"] = {"step": float(status.metrics[-1].step), **latest}
    if status.state in ENDED and record.finished_at is None:
        ended_at = status.finished_at or at or datetime.now(UTC)
        # From one clock: the provider's where it tells both times.
        began_at = status.created_at if status.created_at and status.finished_at else record.submitted_at
        changes["finished_at"] = ended_at
        changes["seconds"] = max(0.0, (ended_at - began_at).total_seconds()) if began_at else None
    return changes
