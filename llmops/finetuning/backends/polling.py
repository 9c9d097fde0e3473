"""Wait for the end of a job at a provider: look, wait longer each time, put up with an outage, keep the deadline."""

import logging
import random
import time
from collections.abc import Callable

from llmops.finetuning.backends.backend import ENDED, BackendError, JobStatus, Waiting

GROWTH = 1.5
JITTER = 0.1
UNKNOWN_LOOKS = 5
"""Times that a provider may know nothing of a job before that is believed: right after its creation some do not."""

STOPPING_LOOKS = 5
"""Times that a job is looked at after it was cancelled, to see it ended."""
SILENT = "no answer from the provider, asking again"

_log = logging.getLogger(__name__)


def poll(
    status: Callable[[str], JobStatus],
    job_id: str,
    tell: Callable[[JobStatus], None],
    waiting: Waiting,
    cancel: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> JobStatus:
    """Ask for the status of a job until it has ended, and return the last one.

    The time between two looks grows by half from `first_poll_s` to `longest_poll_s`, a tenth more or less by chance
    so that many waiting jobs do not ask at once; when the state changes it starts anew. A provider that does not
    answer is asked again for `patience_s`. A job that the provider does not know, time and again, is returned as
    ``unknown``.

    Args:
        status: asks the provider.
        job_id: what is waited for.
        tell: called with each status that differs from the one before; what it raises passes through.
        waiting: times; the deadline counts from the job's creation where the provider tells it, else from now.
        cancel: asks the provider to stop the job.
        clock: seconds since the epoch; sleep: waits so many seconds.

    Raises:
        BackendError: credentials are refused, or a request is, for good; the provider has not answered for longer than
            the patience; or the job has not ended by the deadline and has been cancelled.
    """
    began = clock()
    told: JobStatus | None = None
    delay, unknown, silent_since = waiting.first_poll_s, 0, None
    while True:
        try:
            now = status(job_id)
        except BackendError as error:
            silent_since = clock() if silent_since is None else silent_since
            _put_up_with(error, job_id, clock() - silent_since, waiting)
            if told is not None and told.detail != SILENT:
                told = told.model_copy(update={"detail": SILENT})
                tell(told)
        else:
            if now != told:
                tell(now)
            silent_since = None
            unknown = unknown + 1 if now.state == "unknown" else 0
            if now.state in ENDED or unknown >= UNKNOWN_LOOKS:
                return now
            if told is None or (now.state, now.provider_state) != (told.state, told.provider_state):
                delay = waiting.first_poll_s
            if now.created_at is not None:
                began = now.created_at.timestamp()
            told = now
        pause = min(delay * random.uniform(1 - JITTER, 1 + JITTER), waiting.longest_poll_s)
        if waiting.deadline_hours is not None:
            left = began + waiting.deadline_hours * 3600 - clock()
            if left <= 0:
                return _stop(status, job_id, tell, waiting, cancel, sleep)
            pause = min(pause, left)
        sleep(pause)
        delay = min(delay * GROWTH, waiting.longest_poll_s)


def _put_up_with(error: BackendError, job_id: str, silent_s: float, waiting: Waiting) -> None:
    """Return where the same request may succeed in a while, else say what becomes of the job."""
    goes_on = f"the job {job_id} goes on there, and the same command finds it again"
    if not error.transient:
        raise BackendError(f"{error} ({goes_on})", error.kind) from error
    if silent_s >= waiting.patience_s:
        waited = f"after {silent_s / 60:,.0f} minutes without an answer"
        raise BackendError(f"{error} ({waited}; {goes_on})", error.kind) from error
    _log.warning("job %s: %s; asking again", job_id, error)


def _stop(
    status: Callable[[str], JobStatus],
    job_id: str,
    tell: Callable[[JobStatus], None],
    waiting: Waiting,
    cancel: Callable[[str], None],
    sleep: Callable[[float], object],
) -> JobStatus:
    """Cancel a job that is over its deadline; one that has succeeded in the meantime is returned."""
    overdue = f"the job {job_id} had not ended after {waiting.deadline_hours:g} hours (--job.waiting.deadline-hours)"
    try:
        cancel(job_id)
        for look in range(STOPPING_LOOKS):
            # Some providers take a while to stop a job.
            sleep(waiting.first_poll_s if look else 0)
            last = status(job_id)
            tell(last)
            if last.state in ENDED:
                break
    except BackendError as error:
        raise BackendError(f"{overdue}, and could not be cancelled: {error}", error.kind) from error
    if last.state == "succeeded":
        return last
    raise BackendError(f"{overdue} and was cancelled; allow it more, or look at it with the provider", "refused")
