"""What a job is estimated to take, from the jobs before it, whatever its base model is called."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmops.data import DatasetVersion
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.finetuning.backends import JobSettings
from llmops.finetuning.jobs import job_ledger
from tasks.hosted_models import back_end
from tasks.job_approval import why_approval_is_needed
from tasks.planned_jobs import PlannedJob, plan_job
from tests.llmops.finetuning.backends.test_local import publish

ONCE, TWICE = TrainingConfig(method="lora", epochs=1), TrainingConfig(method="lora", epochs=2)
PATIENT = JobSettings(approve_above_hours=1.0)


@pytest.fixture
def version(
    home: Path, prefect_server: str, put_toy_tiny: Callable[[Path], None], pairs: list[tuple[str, str]]
) -> DatasetVersion:
    """The small task in a home with a `tiny` of toy size."""
    put_toy_tiny(home)
    return publish(pairs)


def planned(version: DatasetVersion, training: TrainingConfig, base_model: str = "tiny") -> PlannedJob:
    return plan_job.fn(back_end("local", PATIENT), base_model, training, ScratchRecipe(), version, "small", PATIENT)


@pytest.mark.parametrize("base_model", ["tiny", "a folder"])
def test_the_time_of_a_training_here_is_that_of_the_one_before(
    home: Path, version: DatasetVersion, toy_base: Path, base_model: str
) -> None:
    base_model = str(toy_base) if base_model == "a folder" else base_model
    first = planned(version, ONCE, base_model)
    assert first.estimate.seconds is None
    assert why_approval_is_needed(first) is None
    tokens = first.estimate.tokens
    job_ledger().update(first.record.id, state="succeeded", seconds=3000.0, trained_tokens=tokens)

    second = planned(version, TWICE, base_model)
    assert second.estimate.seconds == pytest.approx(6000.0)
    assert Path(second.request.base_model).is_dir(), "what is trained is a folder all the same"
    assert str(why_approval_is_needed(second)).endswith("no cost, 100 minutes, above 1 hours")
