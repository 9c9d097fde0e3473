"""A person's yes to a fine-tuning job that will cost much, before anything is submitted."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from llmops.errors import InputError
from llmops.finetuning.backends import HOSTED, JobStatus
from llmops.finetuning.jobs import job_ledger
from llmops.finetuning.jobs.estimates import trained_cost
from llmops.finetuning.jobs.files import remove_training_files
from llmops.finetuning.jobs.record import APPROVED
from llmops.settings import settings
from tasks.planned_jobs import PlannedJob, said_of
from tasks.progress import stage

WAIT_SECONDS = 24 * 3600
LOOK_SECONDS = 2
TERMINAL = Path("/dev/tty")


class Approval(RunInput):
    """What Prefect's page asks for."""

    approved: bool = Field(default=False, description="Whether the job may be submitted.")


def approve_job(plan: PlannedJob, *, yes: bool) -> None:
    """Have a person approve a job above the limits; one that was approved before is not asked about again.

    Nor is one that may be submitted already, whatever the limits were then: to refuse it would hide a job that is paid.

    Where a Prefect server with pages is used the flow run pauses and its page asks; else the terminal does.

    Args:
        plan: the job with its estimate.
        yes: it is approved already.

    Raises:
        InputError: nobody can be asked, or the answer is no; nothing was submitted, and the attempt is cancelled.
    """
    why = why_approval_is_needed(plan)
    record = job_ledger().get(plan.record.id)
    if why is None or record.may_be_submitted or APPROVED in record.noted:
        return
    if not yes:
        try:
            _ask(plan, why)
        except BaseException:  # also Ctrl-C at the question: nobody is to take a job up that nobody has agreed to
            job_ledger().observe(plan.record.id, JobStatus(state="cancelled", reason="not approved"))
            remove_training_files(plan.request.files)
            raise
    job_ledger().note(plan.record.id, APPROVED, datetime.now(UTC).isoformat(timespec="seconds"))


def _ask(plan: PlannedJob, why: str) -> None:
    """Have a person say yes.

    Raises:
        InputError: nobody can be asked, or the answer is no.
    """
    if settings().prefect_api_url is not None:
        given = _ask_on_the_page(plan, why)
    elif sys.stdin is not None and sys.stdin.isatty():
        given = _ask_in_the_terminal(f"The job is {why}. Submit it to {plan.backend.name}? [y/N] ")
    else:
        raise InputError(f"the job is {why}: add --yes, or {_advice(plan)}; nothing was submitted")
    if not given:
        raise InputError(f"the job ({why}) was not approved; nothing was submitted")


def why_approval_is_needed(plan: PlannedJob) -> str | None:
    """The estimate and the limit that it exceeds, as a part of a sentence; None where it exceeds none."""
    job, estimate = plan.settings, plan.estimate
    hours = job.approve_above_hours
    if estimate.cost is None and plan.backend.name in HOSTED:
        return f"estimated at an unknown cost ({estimate.basis})"
    if estimate.cost is not None and estimate.cost > job.approve_above:
        return f"estimated at {said_of(estimate)}, above ${job.approve_above:,.2f}"
    if hours is not None and estimate.seconds is not None and estimate.seconds > 3600 * hours:
        return f"estimated at {said_of(estimate)}, above {hours:g} hours"
    return None


def _advice(plan: PlannedJob) -> str:
    cost = plan.estimate.cost
    if cost is None:
        priced = trained_cost(plan.backend.name, plan.base.model, 1) is not None
        missing = [] if priced else ["give its price in a file of one's own (LLMOPS_TRAINING_PRICES)"]
        missing += ["set --training.epochs"] if plan.estimate.tokens is None else []
        return " and ".join(missing)
    return f"raise job.approve_above{'' if cost > plan.settings.approve_above else '_hours'}"


def _ask_on_the_page(plan: PlannedJob, why: str) -> bool:
    from prefect.runtime import flow_run

    request = plan.request
    question = (
        f"**Submit this fine-tuning job?** It is {why}.\n\n"
        f"- back end: {plan.backend.name} ({plan.backend.endpoint})\n- base model: {plan.base.name}\n"
        f"- data: {plan.version.uri}, {request.files.examples:,} examples\n- estimate: {plan.estimate.basis}\n"
    )
    with stage("Approval") as line:
        line.update(0, None, f"waiting for it at {flow_run.ui_url or settings().prefect_api_url}")
        try:
            answer = pause_flow_run(
                Approval.with_initial_data(description=question, approved=False),
                timeout=WAIT_SECONDS,
                poll_interval=LOOK_SECONDS,
                key=f"approve-{plan.record.id}",
            )
        except FlowPauseTimeout as error:
            hours = WAIT_SECONDS // 3600
            raise InputError(f"the job ({why}) was not approved within {hours} hours; nothing was submitted") from error
        line.finish("approved" if answer.approved else "refused")
    return answer.approved


def _ask_in_the_terminal(question: str) -> bool:
    # Standard output may be a file or a log; who sits at the terminal is asked there.
    try:
        with TERMINAL.open("w", encoding="utf-8") as asked, TERMINAL.open(encoding="utf-8") as answered:
            asked.write(question)
            asked.flush()
            return answered.readline().strip().lower() in ("y", "yes")
    except OSError as error:
        raise InputError(f"nobody can be asked here ({error.strerror}): add --yes") from error
