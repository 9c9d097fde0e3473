"""Waiting for a job, on a clock of its own: no test here sleeps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.finetuning.backends import polling
from llmops.finetuning.backends.backend import BackendError, JobStatus, Waiting
from llmops.finetuning.backends.polling import UNKNOWN_LOOKS, poll

BEGAN = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
QUEUED, RUNNING = JobStatus(state="queued"), JobStatus(state="running")
SUCCEEDED, FAILED, CANCELLED = (JobStatus(state=state) for state in ("succeeded", "failed", "cancelled"))
GONE = BackendError("openai at https://api did not answer", "unreachable")
REFUSED = BackendError("openai refused the key", "credentials")


@pytest.fixture(autouse=True, scope="module")
def nobody_reads_the_log() -> Iterator[None]:
    """What handles it costs more than all else here where Prefect has set up the console."""
    polling._log.disabled = True
    yield
    polling._log.disabled = False


@dataclass
class Provider:
    """Answers one thing after the other, the last one for ever; notes when it was asked and what was told."""

    answers: Sequence[JobStatus | BackendError]
    after_cancel: JobStatus | BackendError = CANCELLED
    now: float = BEGAN
    asked_at: list[float] = field(default_factory=list)
    told: list[JobStatus] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def status(self, job_id: str) -> JobStatus:
        assert job_id == "job-1"
        self.asked_at.append(self.now - BEGAN)
        answer = self.answers[min(len(self.asked_at), len(self.answers)) - 1]
        if self.cancelled:
            answer = self.after_cancel
        if isinstance(answer, BackendError):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, waiting: Waiting = Waiting(), tell: Callable[[JobStatus], None] | None = None) -> JobStatus:
        tell = tell or self.told.append
        return poll(
            self.status, "job-1", tell, waiting, self.cancelled.append, clock=lambda: self.now, sleep=self.sleep
        )

    def pauses(self) -> list[float]:
        return [after - before for before, after in zip(self.asked_at, self.asked_at[1:], strict=False)]


@pytest.mark.parametrize("end", [SUCCEEDED, FAILED, CANCELLED])
def test_it_returns_the_state_that_ended_it_and_tells_each_change_once(end: JobStatus) -> None:
    detailed = JobStatus(state="running", detail="loss 0.7")
    provider = Provider([QUEUED, QUEUED, RUNNING, RUNNING, detailed, end])
    assert provider.wait() is end
    assert provider.told == [QUEUED, RUNNING, detailed, end]
    assert not provider.cancelled


def test_it_waits_half_as_long_again_each_time_up_to_the_longest() -> None:
    provider = Provider([RUNNING] * 12 + [SUCCEEDED])
    provider.wait(Waiting(first_poll_s=2, longest_poll_s=20))
    for pause, expected in zip(provider.pauses(), [2, 3, 4.5, 6.75, 10.125, 15.1875, *[20.0] * 6], strict=True):
        assert 0.9 * expected <= pause <= min(20, 1.1 * expected)


def test_many_jobs_do_not_ask_at_the_same_moments() -> None:
    looks = set()
    for _ in range(5):
        provider = Provider([RUNNING] * 6 + [SUCCEEDED])
        provider.wait()
        looks.add(tuple(provider.asked_at))
    assert len(looks) == 5


def test_when_the_state_changes_it_looks_often_again() -> None:
    provider = Provider([QUEUED] * 8 + [RUNNING, RUNNING, SUCCEEDED])
    provider.wait(Waiting(first_poll_s=1, longest_poll_s=60))
    pauses = provider.pauses()
    assert pauses[7] > 10
    assert pauses[8] <= 1.1
    assert pauses[9] <= 1.65


def test_an_outage_is_waited_out() -> None:
    busy = BackendError("openai: too many requests", "rate limit")
    provider = Provider([RUNNING, GONE, busy, GONE, RUNNING, SUCCEEDED])
    assert provider.wait() is SUCCEEDED
    assert [status.detail for status in provider.told] == ["", "no answer from the provider, asking again", "", ""]


def test_an_outage_at_the_first_look_is_waited_out_as_well() -> None:
    provider = Provider([GONE, GONE, SUCCEEDED])
    assert provider.wait() is SUCCEEDED
    assert provider.told == [SUCCEEDED]


def test_patience_ends_and_the_job_goes_on() -> None:
    provider = Provider([RUNNING, GONE])
    with pytest.raises(
        BackendError, match=r"did not answer .*minutes without an answer; the job job-1 goes on"
    ) as error:
        provider.wait(Waiting(patience_s=600))
    assert error.value.kind == "unreachable"
    assert 600 <= provider.asked_at[-1] - provider.asked_at[1] <= 660
    assert not provider.cancelled


def test_patience_is_for_one_outage_not_for_all_together() -> None:
    provider = Provider([RUNNING, *[GONE, RUNNING] * 40, SUCCEEDED])
    assert provider.wait(Waiting(patience_s=100)) is SUCCEEDED


def test_refused_credentials_are_said_at_once() -> None:
    provider = Provider([RUNNING, REFUSED])
    with pytest.raises(BackendError, match=r"refused the key .*goes on there, and the same command finds it") as error:
        provider.wait()
    assert error.value.kind == "credentials"
    assert len(provider.asked_at) == 2
    assert not provider.cancelled


def test_a_job_over_its_deadline_is_cancelled() -> None:
    provider = Provider([QUEUED, RUNNING])
    with pytest.raises(
        BackendError, match=r"after 2 hours \(--job\.waiting\.deadline-hours\) and was cancelled"
    ) as error:
        provider.wait(Waiting(deadline_hours=2))
    assert not error.value.transient
    assert provider.cancelled == ["job-1"]
    assert provider.told[-1] is CANCELLED
    assert provider.asked_at[-2] <= 7200 <= provider.asked_at[-1] < 7205


def test_the_deadline_counts_from_the_jobs_creation() -> None:
    """So that a flow run that is resumed does not give it the whole time anew."""
    created = datetime.fromtimestamp(BEGAN - 3600, UTC)
    provider = Provider([JobStatus(state="running", created_at=created)])
    with pytest.raises(BackendError, match="deadline"):
        provider.wait(Waiting(deadline_hours=1.5))
    assert 1800 <= provider.asked_at[-1] < 1805


def test_a_job_that_succeeds_at_the_deadline_is_taken() -> None:
    provider = Provider([RUNNING], after_cancel=SUCCEEDED)
    assert provider.wait(Waiting(deadline_hours=1)) is SUCCEEDED


def test_a_deadline_whose_cancellation_fails_says_so() -> None:
    provider = Provider([RUNNING], after_cancel=GONE)
    with pytest.raises(BackendError, match="could not be cancelled: openai at https://api did not answer"):
        provider.wait(Waiting(deadline_hours=1))


def test_without_a_deadline_it_waits_on() -> None:
    provider = Provider([RUNNING] * 3000 + [SUCCEEDED])
    assert provider.wait(Waiting(deadline_hours=None)) is SUCCEEDED
    assert provider.asked_at[-1] > 72 * 3600 / 2


def test_a_job_that_the_provider_does_not_know_yet_is_given_time() -> None:
    unknown = JobStatus(state="unknown")
    assert Provider([*[unknown] * (UNKNOWN_LOOKS - 1), SUCCEEDED]).wait() is SUCCEEDED
    lost = Provider([RUNNING, unknown])
    assert lost.wait() is unknown
    assert len(lost.asked_at) == 1 + UNKNOWN_LOOKS


def test_what_the_listener_raises_passes_through() -> None:
    def stop(status: JobStatus) -> None:
        raise KeyboardInterrupt

    provider = Provider([RUNNING])
    with pytest.raises(KeyboardInterrupt):
        provider.wait(tell=stop)
    assert not provider.cancelled


@settings(deadline=None)
@given(st.lists(st.sampled_from([QUEUED, RUNNING, GONE]), max_size=12), st.sampled_from([SUCCEEDED, FAILED, CANCELLED]))
def test_whatever_happens_on_the_way_the_end_is_returned_and_told_last(
    answers: list[JobStatus | BackendError], end: JobStatus
) -> None:
    provider = Provider([*answers, end])
    assert provider.wait(Waiting(patience_s=1e9, deadline_hours=None)) is end
    assert provider.told[-1] is end
    assert len(provider.asked_at) == len(answers) + 1
