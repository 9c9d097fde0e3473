"""The breaker: open after a run of failures, one probe at a time, closed by any answer."""

import math

from hypothesis import given
from hypothesis import strategies as st

from llmops.llm.circuit_breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, THRESHOLD, CircuitBreaker


def failing(times: int, breaker: CircuitBreaker | None = None, now: float = 0.0) -> CircuitBreaker:
    breaker = breaker or CircuitBreaker()
    for request in range(times):
        breaker.failed(now, request, probe=False)
    return breaker


def test_it_opens_after_a_run_of_failures_and_not_before() -> None:
    assert not failing(THRESHOLD - 1).is_open
    breaker = failing(THRESHOLD, now=100.0)
    assert breaker.is_open
    assert breaker.next_at == 100.0 + FIRST_PAUSE_S
    assert breaker.opened == 1


def test_an_answer_ends_the_run() -> None:
    breaker = failing(THRESHOLD - 1)
    breaker.answered()
    assert not failing(THRESHOLD - 1, breaker).is_open


def test_while_a_probe_is_out_nothing_else_is_sent() -> None:
    breaker = failing(THRESHOLD)
    assert breaker.sending()
    assert breaker.next_at == math.inf


def test_closed_there_is_no_probe() -> None:
    breaker = CircuitBreaker()
    assert not breaker.sending()
    assert breaker.next_at == -math.inf


def test_the_pause_doubles_with_each_failed_probe_up_to_a_bound() -> None:
    breaker, now, pauses = failing(THRESHOLD), 0.0, []
    for _ in range(7):
        pauses.append(breaker.next_at - now)
        now = breaker.next_at
        breaker.sending()
        breaker.failed(now, "probe", probe=True)
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert breaker.opened == 1


def test_stragglers_that_fail_while_it_is_open_change_nothing() -> None:
    breaker = failing(THRESHOLD, now=0.0)
    failing(20, breaker, now=0.9)
    assert breaker.next_at == FIRST_PAUSE_S
    assert breaker.opened == 1


def test_a_straggler_that_is_answered_closes_it_whatever_the_probe_says_later() -> None:
    breaker = failing(THRESHOLD)
    breaker.sending()
    breaker.answered()
    breaker.failed(5.0, "probe", probe=True)
    assert not breaker.is_open


def test_a_closed_one_forgets_how_long_the_pauses_had_become() -> None:
    breaker = failing(THRESHOLD)
    breaker.sending()
    breaker.failed(1.0, "probe", probe=True)
    breaker.answered()
    assert failing(THRESHOLD, breaker, now=50.0).next_at == 50.0 + FIRST_PAUSE_S
    assert breaker.opened == 2


def test_a_cancelled_probe_makes_room_for_another() -> None:
    breaker = failing(THRESHOLD)
    breaker.sending()
    breaker.probe_abandoned(now=3.0)
    assert breaker.next_at == 3.0
    assert breaker.sending()


def test_the_endpoint_is_to_blame_only_when_several_requests_fail() -> None:
    alone = CircuitBreaker()
    for _ in range(THRESHOLD):
        alone.failed(0.0, "the same", probe=False)
    assert alone.is_open
    assert not alone.blames_endpoint
    alone.failed(0.0, "another", probe=False)
    assert alone.blames_endpoint
    alone.answered()
    assert not alone.blames_endpoint
    assert not failing(THRESHOLD - 1).blames_endpoint


@given(st.lists(st.sampled_from(["answered", "failed", "send", "abandon"]), max_size=200))
def test_at_most_one_probe_is_out_and_it_never_stays_shut_without_one(events: list[str]) -> None:
    breaker, probes, now = CircuitBreaker(), 0, 0.0
    for event in events:
        now += 1.0
        if event == "send" and breaker.next_at <= now:
            probes += breaker.sending()
        elif event == "failed":
            breaker.failed(now, object(), probe=probes > 0)
            probes = 0
        elif event == "answered":
            breaker.answered()
            probes = 0
        elif event == "abandon" and probes:
            breaker.probe_abandoned(now)
            probes = 0
        assert probes <= 1
        assert (breaker.next_at == math.inf) == (probes == 1)
        assert probes or breaker.next_at <= now + LONGEST_PAUSE_S
