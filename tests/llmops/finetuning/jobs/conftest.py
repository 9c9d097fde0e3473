"""A ledger, and the job that its tests begin."""

from pathlib import Path
from typing import Any

import pytest

from llmops.finetuning.jobs import JobLedger, job_key

JOB: dict[str, Any] = {
    "backend": "openai",
    "endpoint": "https://api.openai.com/v1",
    "base_model": "gpt-4.1-mini-2025-04-14",
    "name": "support",
    "dataset_digest": "d" * 64,
    "hyperparameters": {"n_epochs": 2},
}


@pytest.fixture
def ledger(tmp_path: Path) -> JobLedger:
    return JobLedger(tmp_path / "jobs")


@pytest.fixture(scope="session")
def job() -> dict[str, Any]:
    """What `JobLedger.begin` is told of a job."""
    return {"key": job_key(**JOB), "dataset": "support@3", **JOB}
