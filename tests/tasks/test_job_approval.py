"""Who is asked before a job is submitted, and what a refusal ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmops.errors import InputError
from llmops.finetuning.backends import Estimate, JobSettings
from llmops.finetuning.jobs import job_ledger
from llmops.finetuning.jobs.record import APPROVED
from tasks.job_approval import approve_job
from tasks.planned_jobs import PlannedJob
from tests.tasks.deploying_backend import DeployingBackend, ended_job


@pytest.fixture
def dear(home: Path) -> PlannedJob:
    """A job above the limit that no provider has been told of."""
    plan = ended_job(home, DeployingBackend(), settings=JobSettings(approve_above=1.0))
    record = job_ledger().update(plan.record.id, job_id=None, state="queued", estimate=Estimate(cost=12.0))
    return replace(plan, record=record)


def test_where_nobody_can_be_asked_the_attempt_is_over(dear: PlannedJob) -> None:
    with pytest.raises(InputError, match=r"\$12\.00.* add --yes, or raise job\.approve_above; nothing was submitted"):
        approve_job(dear, yes=False)
    after = job_ledger().get(dear.record.id)
    assert (after.state, after.reason) == ("cancelled", "not approved")


def test_an_attempt_that_may_be_submitted_already_is_gone_on_with(dear: PlannedJob) -> None:
    """The command before had a higher limit, and was killed while the provider created the job."""
    record = job_ledger().note(dear.record.id, "training_file", "file-0")
    approve_job(replace(dear, record=record), yes=False)
    assert job_ledger().get(dear.record.id) == record, "neither cancelled nor called approved"


def test_yes_is_kept_for_the_next_command(dear: PlannedJob) -> None:
    approve_job(dear, yes=True)
    record = job_ledger().get(dear.record.id)
    assert APPROVED in record.noted
    approve_job(replace(dear, record=record), yes=False)
    assert job_ledger().get(dear.record.id) == record
