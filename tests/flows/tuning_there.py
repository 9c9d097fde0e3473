"""Fine-tuning at `tests.emulators.tuning_provider`, in the test's own process."""

from typing import Any

import pytest

from flows.fine_tune import fine_tune
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import JobSettings, Waiting
from llmops.finetuning.jobs import JobRecord, job_ledger
from tasks.evaluation_result import EvaluationResult

BASE = "gpt-4.1-mini"
TWICE = TrainingConfig(epochs=2)
QUICK = Waiting(first_poll_s=0.02, longest_poll_s=0.1)
AZURE: dict[str, Any] = {"backend": "azure", "job": {"azure": {"account": "some-resource"}}, "yes": True}
"""What tunes at Azure, at a price that nobody knows, and where a model answers once it is deployed."""


def tune_there(**changed: Any) -> EvaluationResult:
    """Fine-tune at the provider, in this process."""
    job = {"waiting": QUICK, **changed.pop("job", {})}
    arguments = {"name": "hosted", "base_model": BASE, "backend": "openai", "training": TWICE, **changed}
    return fine_tune("toy", job=JobSettings.model_validate(job), **arguments)


class TrainedThereError(Exception):
    """The job has ended well; what follows takes seconds and is another test's affair."""


def train_there(**changed: Any) -> JobRecord:
    """The same up to the end of the job; returns its record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.fine_tune.evaluate", _end_here)
        with pytest.raises(TrainedThereError):
            tune_there(**changed)
    return job_ledger().all()[0]


def _end_here(*_: Any, **__: Any) -> None:
    raise TrainedThereError
