"""What every fine-tuning back end can do, and the words all of them use: requests, states, estimates, results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from llmops.errors import ServiceError
from llmops.finetuning.config import TrainingConfig

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "unknown"]
"""unknown: the provider does not know the job any more, or cannot be asked"""

ENDED: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")
"""The states that a job never leaves."""


class BackendError(ServiceError):
    """A provider of fine-tuning refused or did not answer; the job itself may go on there.

    Attributes:
        kind: credentials: key, role or permission · rate limit · unreachable: no answer, 5xx · refused: what was
            asked for, for good · missing: no such job, file or model.
    """

    def __init__(
        self, message: str, kind: Literal["credentials", "rate limit", "unreachable", "refused", "missing"]
    ) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed in a while."""
        return self.kind in ("rate limit", "unreachable")


@dataclass(frozen=True)
class TrainingFiles:
    """A dataset version as files in the format of a back end, checked against its limits.

    Attributes:
        training: one record a line.
        validation: the same of the validation split; None where it is empty or not taken.
        examples: records to train on; validation_examples: to validate on.
        tokens: of all training records together, prompts included.
        tokens_estimated: whether they were estimated from the characters instead of counted.
    """

    training: Path
    validation: Path | None
    examples: int
    validation_examples: int
    tokens: int
    tokens_estimated: bool


@dataclass(frozen=True)
class TuningRequest:
    """One fine-tuning as it is asked of a hosted back end.

    Attributes:
        base_model: as the provider names it.
        name: registered model that the result will be a version of.
        token: names this one attempt everywhere: in the ledger, in file names, as a client token. Lower-case letters,
            digits and dashes, at most 40 characters: ``llmops-<16 hexadecimal digits>-<attempt>``.
        training: settings in our vocabulary; only those that a person has set (`set_fields`) are passed on, for the
            rest the provider's defaults hold.
        files: the data.
    """

    base_model: str
    name: str
    token: str
    training: TrainingConfig
    files: TrainingFiles


class Estimate(BaseModel):
    """What a job will cost and take; None is unknown, which is not 0.

    Attributes:
        tokens: that are trained on and paid for: those of the file times the epochs.
        cost: US dollars.
        seconds: from submission to the end.
        basis: how the figures came about, in a sentence.
    """

    model_config = ConfigDict(frozen=True)

    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    basis: str = ""


class JobEvent(BaseModel):
    """A line of a job's log at the provider; `id` is the same each time the job is asked."""

    model_config = ConfigDict(frozen=True)

    id: str
    at: datetime
    message: str
    level: Literal["info", "warning", "error"] = "info"


class MetricPoint(BaseModel):
    """Figures of one step: ``loss``, ``validation_loss``, ``token_accuracy``, ``validation_token_accuracy``."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    step: int
    metrics: dict[str, float]


class JobCheckpoint(BaseModel):
    """A model that a job has saved on its way."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    step: int
    model: str
    metrics: dict[str, float] = {}


class JobStatus(BaseModel):
    """A job as the provider tells it now.

    Attributes:
        state: in our words; provider_state: in the provider's.
        reason: why it failed, in the provider's words.
        progress: share that is done, where the provider says.
        total_steps: of the training, where they are known; the steps done are those of the latest metrics.
        detail: a few words for a line of progress, e.g. ``loss 0.71, 3,000 tokens/s``.
        events, metrics, checkpoints: all that it tells so far, in order of time; asked again they begin the same.
        trained_tokens: what is paid for, where the provider says.
        model: what it made (a provider's name, an ARN, a folder), once it has succeeded.
    """

    model_config = ConfigDict(frozen=True)

    state: JobState
    provider_state: str = ""
    reason: str | None = None
    progress: float | None = None
    total_steps: int | None = None
    detail: str = ""
    events: tuple[JobEvent, ...] = ()
    metrics: tuple[MetricPoint, ...] = ()
    checkpoints: tuple[JobCheckpoint, ...] = ()
    trained_tokens: int | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    model: str | None = None


class TunedModel(BaseModel):
    """A model that a job has made.

    Attributes:
        backend: who made it and serves it.
        model: the provider's name or ARN, or a folder.
        base_model: what it was made from, as the provider names it.
        job_id: the job that made it.
        region: where it is, for the providers that have regions.
        endpoint: of the back end that serves it (`FineTuningBackend.endpoint`); None where there is only one.
        asked_as: ``provider/model`` that answers; None while nothing serves it.
        deployment: what serves it, where that costs money and can be taken down: its name or ARN.
    """

    model_config = ConfigDict(frozen=True)

    backend: str
    model: str
    base_model: str
    job_id: str
    region: str | None = None
    endpoint: str | None = None
    asked_as: str | None = None
    deployment: str | None = None


class Waiting(BaseModel):
    """How a job is waited for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_poll_s: float = Field(
        default=2.0, gt=0, description="Seconds before the second look; grows by half each time."
    )
    longest_poll_s: float = Field(default=60.0, gt=0, description="Longest time between two looks.")
    deadline_hours: float | None = Field(
        default=72.0, gt=0, description="A job that has not ended by then is cancelled; unset waits for ever."
    )
    patience_s: float = Field(
        default=1800.0, gt=0, description="How long a provider that does not answer is asked again."
    )


class FineTuningBackend(Protocol):
    """A place that fine-tunes. Every method that asks a provider raises `BackendError` when that fails."""

    @property
    def name(self) -> str:
        """``openai``, ``azure``, ``vertex``, ``bedrock``, ``anthropic``, ``ollama`` or ``local``."""
        ...

    @property
    def endpoint(self) -> str:
        """Where it is: address or region and account. The same job at another endpoint is another job."""
        ...

    def data_format(self, base_model: str) -> str:
        """The format of `llmops.data.exports` that this base model is trained on."""
        ...

    def hyperparameters(self, base_model: str, training: TrainingConfig) -> dict[str, Any]:
        """The settings that a person has set, by the names and in the units of the provider.

        Raises:
            InputError: the provider cannot do one of them; says which, and what it can.
        """
        ...

    def check(self, base_model: str, training: TrainingConfig) -> None:
        """Refuse what would fail later, before anything is written or paid: credentials, settings, base model.

        Raises:
            InputError: what is missing or impossible, and what to do.
        """
        ...

    def estimate(self, request: TuningRequest) -> Estimate:
        """What the job will cost; asks nobody."""
        ...

    def submit(self, request: TuningRequest, noted: Mapping[str, str], note: Callable[[str, str], None]) -> str:
        """Upload the data and start the job, or find what an earlier call of the same token has done of that.

        Args:
            request: what to train.
            noted: what an earlier call noted for this token, e.g. ``{"training_file": "file-…"}``.
            note: stores a fact durably; called after each step that costs or leaves something at the provider.

        Returns:
            The provider's id of the job.
        """
        ...

    def status(self, job_id: str) -> JobStatus:
        """The job now; ``unknown`` where the provider knows no such job."""
        ...

    def follow(self, job_id: str, tell: Callable[[JobStatus], None], waiting: Waiting) -> JobStatus:
        """Wait for the end of the job, and tell each state on the way.

        A provider is polled (`polling.poll`); on this machine the training happens in here. An exception out of
        `tell` passes through; the job goes on at the provider.

        Raises:
            InputError: a training on this machine cannot be done like that.
            BackendError: credentials are refused, the provider does not answer for longer than the patience, or the
                job has not ended by the deadline (it is cancelled then).
        """
        ...

    def cancel(self, job_id: str) -> None:
        """Ask the provider to stop it; nothing happens where it has ended."""
        ...

    def fetch(self, job_id: str, folder: Path) -> Sequence[Path]:
        """Bring the result's files (metrics, adapter) into a folder; returns what was written."""
        ...

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        """Have the model answer, and say as what (`asked_as`); the same again changes nothing.

        Args:
            model: what to deploy; what serves it now in another way is taken down once the new one answers.
            name: of the deployment, where the provider lets one choose.
        """
        ...

    def deployment_of(self, model: TunedModel, name: str) -> str | None:
        """What `deploy` is about to make, as `undeploy` takes it; None where that costs nothing by the hour.

        Asks nobody. It is noted before anything is made, so that whatever happens then it can be taken down.
        """
        ...

    def undeploy(self, model: TunedModel) -> TunedModel:
        """Take its deployment down, where there is one; the model stays."""
        ...

    def delete(self, model: TunedModel) -> None:
        """Delete the model at the provider."""
        ...


def set_fields(training: TrainingConfig) -> dict[str, Any]:
    """The settings that a person has set, without those left at their defaults.

    >>> set_fields(TrainingConfig(epochs=2, rank=8))
    {'epochs': 2.0, 'rank': 8}
    """
    return training.model_dump(exclude_unset=True)
