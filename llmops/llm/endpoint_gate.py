"""The gate in front of one endpoint: who may send a request, and when.

A request enters when there is a free slot, the endpoint has not asked for a rest (Retry-After), and its circuit is
closed. Until then it waits in line: first come, first served. All clients in one event loop that talk to an endpoint
go through one gate, because its rate limit counts all of their requests.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakValueDictionary

from llmops.llm.adaptive_concurrency import AdaptiveLimit
from llmops.llm.circuit_breaker import CircuitBreaker
from llmops.llm.failures import FailureKind, ModelError
from llmops.llm.retries import backoff_s

REFUSALS: frozenset[FailureKind] = frozenset(("rate_limited", "overloaded"))
DOWN: frozenset[FailureKind] = frozenset(("connection", "timeout", "overloaded"))
NO_ANSWER: frozenset[FailureKind] = DOWN | REFUSALS | {"server"}


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one request, to be given back by exactly one of the gate's methods."""

    sent_at: float
    probe: bool


@dataclass(frozen=True, slots=True)
class _Waiter:
    permit: asyncio.Future[Permit]
    patience_s: float


class EndpointGate:
    """Admits requests to one endpoint, in one event loop."""

    def __init__(self, endpoint: str, ceiling: int) -> None:
        self.endpoint = endpoint
        self.limit = AdaptiveLimit(ceiling)
        self.breaker = CircuitBreaker()
        self.in_flight = 0
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._line: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._held_since = 0.0
        self._held_until = 0.0
        self._held_before_s = 0.0
        self._refusals_at_one = 0
        self._failing_since = math.inf
        self._last_error: ModelError | None = None

    @property
    def held_s(self) -> float:
        """Seconds, so far, in which nobody sent because of a rate limit."""
        return self._held_before_s + max(0.0, min(self._clock(), self._held_until) - self._held_since)

    def answers_nothing(self, patience_s: float) -> bool:
        """Whether the endpoint has only failed or refused for longer than ``patience_s``."""
        return self._clock() - self._failing_since >= patience_s

    async def enter(self, patience_s: float) -> Permit:
        """Wait for the right to send one request.

        Raises:
            ModelError: the endpoint has answered nothing for ``patience_s``, or wants to be left alone for longer
                than that; ``attempts`` is 0, because nothing was sent.
        """
        now = self._clock()
        if not self._line and self.in_flight < self.limit.slots and self._blocked_until() <= now:
            return self._permit(now)
        waiter = _Waiter(self._loop.create_future(), patience_s)
        self._line.append(waiter)
        self._admit()
        try:
            return await waiter.permit
        except asyncio.CancelledError:
            if not waiter.permit.cancelled() and waiter.permit.exception() is None:
                self.abandoned(waiter.permit.result())  # admitted and cancelled in the same turn of the loop
            raise

    def answered(self, permit: Permit) -> None:
        """The request was answered."""
        if self._refusals_at_one:
            self._refusals_at_one -= 1  # sooner again, before more at once
        else:
            self.limit.answered(self.in_flight)
        self.breaker.answered()
        self._failing_since = math.inf
        self._leave()

    def failed(self, permit: Permit, error: ModelError, request: object) -> None:
        """The request failed; ``request`` is the same object in each of its retries."""
        now = self._clock()
        if error.kind in DOWN:
            self.breaker.failed(now, request, permit.probe)
        else:
            self.breaker.answered()
        if error.kind in NO_ANSWER:
            self._failing_since = min(self._failing_since, now)
        else:
            self._failing_since = math.inf  # it answered; that the answer is no good is the request's own affair
        if error.kind in REFUSALS:
            self._refused(permit, error, now)
        if error.retry_after_s:
            self._hold(now, error.retry_after_s)
        self._last_error = error
        self._leave()

    def abandoned(self, permit: Permit) -> None:
        """The request was cancelled: nothing is known of it."""
        if permit.probe:
            self.breaker.probe_abandoned(self._clock())
        self._leave()

    def _refused(self, permit: Permit, error: ModelError, now: float) -> None:
        was_one = self.limit.slots == 1
        was_cut = self.limit.refused(permit.sent_at, now)
        if was_cut and was_one and not error.retry_after_s:
            # One at a time is still too often, so the endpoint counts requests per minute: only time helps.
            self._refusals_at_one += 1
            self._hold(now, backoff_s(self._refusals_at_one))

    def _hold(self, now: float, seconds: float) -> None:
        if now >= self._held_until:
            self._held_before_s = self.held_s
            self._held_since = now
        self._held_until = max(self._held_until, now + seconds)

    def _blocked_until(self) -> float:
        return max(self._held_until, self.breaker.next_at)

    def _permit(self, now: float) -> Permit:
        self.in_flight += 1
        return Permit(now, self.breaker.sending())

    def _leave(self) -> None:
        self.in_flight -= 1
        if self._line:
            self._admit()

    def _admit(self) -> None:
        """Let in whoever may go, and see to it that this is called again when more may."""
        now = self._clock()
        while self._line and (self._line[0].permit.done() or self._blocked_until() <= now):
            if not self._line[0].permit.done():
                if self.in_flight >= self.limit.slots:
                    break  # whoever leaves calls again
                self._line[0].permit.set_result(self._permit(now))
            self._line.popleft()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._line and self._blocked_until() > now:
            self._wait_for_the_endpoint(now)

    def _wait_for_the_endpoint(self, now: float) -> None:
        waiting = deque[_Waiter]()
        wake_at = self._blocked_until()
        for waiter in self._line:
            out_of_patience_at = self._failing_since + waiter.patience_s
            if self._held_until - now > waiter.patience_s or out_of_patience_at <= now:
                if not waiter.permit.done():
                    waiter.permit.set_exception(self._given_up(waiter.patience_s, now))
            else:
                waiting.append(waiter)
                wake_at = min(wake_at, out_of_patience_at)
        self._line = waiting
        if waiting and wake_at < math.inf:
            self._timer = self._loop.call_at(wake_at, self._admit)

    def _given_up(self, patience_s: float, now: float) -> ModelError:
        assert self._last_error is not None, "an endpoint is only waited for after a failure"
        if self._held_until - now > patience_s:
            rest_s = self._held_until - now
            why = f"{self.endpoint} asks to be left alone for {rest_s:.0f} s, longer than the {patience_s:g} s allowed"
        else:
            why = f"{self.endpoint} has answered nothing for {patience_s:g} s"
        return ModelError(self._last_error.kind, f"{why}; the last answer: {self._last_error.message}", attempts=0)


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, EndpointGate]] = WeakKeyDictionary()


def gate_of(endpoint: str, ceiling: int) -> EndpointGate:
    """The gate of the endpoint in the running event loop; it lives as long as somebody holds it.

    Its ceiling is the highest that anybody asked for.
    """
    gates = _gates.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    gate = gates.get(endpoint)
    if gate is None:
        gate = gates[endpoint] = EndpointGate(endpoint, ceiling)
    gate.limit.raise_ceiling(ceiling)
    return gate
