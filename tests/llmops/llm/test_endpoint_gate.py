"""The gate: first come first served, no slot lost or given twice, nobody past a rest or an open circuit."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops.llm.endpoint_gate import EndpointGate, gate_of
from llmops.llm.failures import FailureKind, ModelError

Run = Callable[[Any], Any]


async def ask(gate: EndpointGate, seconds: float = 1.0, failure: ModelError | None = None) -> float:
    """Enters, is busy, leaves; returns when it was admitted."""
    permit = await gate.enter(patience_s=300)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        gate.abandoned(permit)
        raise
    if failure is None:
        gate.answered(permit)
    else:
        gate.failed(permit, failure, object())
    return permit.sent_at


def error(kind: FailureKind, retry_after_s: float | None = None) -> ModelError:
    return ModelError(kind, "as told", retry_after_s)


def test_at_most_as_many_as_there_are_slots_in_the_order_they_came(run_virtually: Run) -> None:
    async def work() -> list[float]:
        gate = EndpointGate("e", ceiling=3)
        return await asyncio.gather(*(ask(gate) for _ in range(8)))

    assert run_virtually(work()) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_a_newcomer_does_not_overtake_who_is_waiting(run_virtually: Run) -> None:
    async def work() -> list[str]:
        gate, order = EndpointGate("e", ceiling=1), []

        async def named(name: str) -> None:
            permit = await gate.enter(300)
            order.append(name)
            await asyncio.sleep(0)
            gate.answered(permit)

        first, second = asyncio.create_task(named("first")), asyncio.create_task(named("second"))
        while first not in (done := {task for task in (first, second) if task.done()}):
            await asyncio.sleep(0)
        assert not done - {first}
        await asyncio.gather(named("third"), second)
        return order

    assert run_virtually(work()) == ["first", "second", "third"]


def test_nobody_is_admitted_before_a_rest_is_over(run_virtually: Run) -> None:
    async def work() -> tuple[list[float], float]:
        gate = EndpointGate("e", ceiling=4)
        refused = ask(gate, 0.5, error("rate_limited", 20.0))
        sent = await asyncio.gather(refused, *(ask(gate) for _ in range(9)))
        return sent, gate.held_s

    sent, held_s = run_virtually(work())
    assert sent[:4] == [0, 0, 0, 0]
    assert sent[4:6] == [20.5, 20.5]  # 4 slots cut to 2.8
    assert min(sent[4:]) == 20.5
    assert held_s == 20.0


def test_a_shorter_rest_does_not_end_a_longer_one_and_seconds_count_once(run_virtually: Run) -> None:
    async def work() -> tuple[float, float]:
        gate = EndpointGate("e", ceiling=4)
        await asyncio.gather(ask(gate, 1.0, error("rate_limited", 10.0)), ask(gate, 2.0, error("overloaded", 5.0)))
        return await ask(gate), gate.held_s

    assert run_virtually(work()) == (11.0, 10.0)


def test_while_an_endpoint_is_down_only_probes_are_sent(run_virtually: Run) -> None:
    async def work() -> list[float]:
        gate = EndpointGate("e", ceiling=5)
        down = [ask(gate, 0.0, error("connection")) for _ in range(8)]
        await asyncio.gather(*down[:5])
        return await asyncio.gather(*down[5:], ask(gate, 0.5), ask(gate))

    # Probes fail after 1, 2 and 4 s more; the one after another 8 s is answered half a second later.
    assert run_virtually(work()) == [1, 3, 7, 15, 15.5]


def test_a_refusal_is_an_answer_to_a_probe(run_virtually: Run) -> None:
    async def work() -> bool:
        gate = EndpointGate("e", ceiling=5)
        await asyncio.gather(*(ask(gate, 0.0, error("connection")) for _ in range(5)))
        assert gate.breaker.is_open
        await ask(gate, 0.0, error("rate_limited"))
        return gate.breaker.is_open

    assert run_virtually(work()) is False


def test_a_slot_given_to_a_task_that_is_cancelled_in_the_same_turn_goes_to_the_next(run_virtually: Run) -> None:
    async def work() -> float:
        gate = EndpointGate("e", ceiling=1)
        permit = await gate.enter(300)
        cancelled, following = asyncio.create_task(ask(gate)), asyncio.create_task(ask(gate))
        await asyncio.sleep(0)  # both are in line
        gate.answered(permit)  # admits the first
        assert gate.in_flight == 1
        cancelled.cancel()
        return await asyncio.wait_for(following, 60)

    assert run_virtually(work()) == 0


def test_after_a_cancelled_probe_another_is_sent(run_virtually: Run) -> None:
    async def work() -> float:
        gate = EndpointGate("e", ceiling=5)
        await asyncio.gather(*(ask(gate, 0.0, error("connection")) for _ in range(5)))
        probe, following = asyncio.create_task(ask(gate, 100.0)), asyncio.create_task(ask(gate))
        await asyncio.sleep(3.0)
        probe.cancel()
        return await asyncio.wait_for(following, 60)

    assert run_virtually(work()) == 3.0


def test_who_waits_for_a_dead_endpoint_is_told_when_patience_is_over(run_virtually: Run) -> None:
    async def work() -> tuple[float, ModelError, float]:
        loop = asyncio.get_running_loop()
        gate = EndpointGate("http://e", ceiling=5)
        await asyncio.gather(*(ask(gate, 0.0, error("connection")) for _ in range(5)))
        probe = await gate.enter(10.0)  # hangs
        with pytest.raises(ModelError) as raised:
            await gate.enter(10.0)
        told_at = loop.time()
        with pytest.raises(ModelError):
            await gate.enter(10.0)
        gate.abandoned(probe)
        return told_at, raised.value, loop.time()

    told_at, told, again_at = run_virtually(work())
    assert told_at == again_at == 10.0
    assert (told.kind, told.attempts) == ("connection", 0)
    assert str(told) == "http://e has answered nothing for 10 s; the last answer: as told"


def test_a_rest_longer_than_patience_is_not_waited_for(run_virtually: Run) -> None:
    async def work() -> float:
        gate = EndpointGate("http://e", ceiling=5)
        await ask(gate, 1.0, error("rate_limited", 86_400.0))
        with pytest.raises(ModelError, match="asks to be left alone for 86400 s, longer than the 300 s allowed"):
            await gate.enter(300.0)
        return asyncio.get_running_loop().time()

    assert run_virtually(work()) == 1.0


def test_an_endpoint_that_counts_by_the_minute_and_says_no_time_is_given_time(run_virtually: Run) -> None:
    """A bucket of one request a second refuses whatever comes sooner. A bound on concurrency alone would not help."""

    async def work() -> tuple[int, int, float]:
        gate, sent, tokens_at, bucket = EndpointGate("e", ceiling=50), 0, 0.0, 10.0

        async def until_answered() -> None:
            nonlocal sent, tokens_at, bucket
            while True:
                permit = await gate.enter(3000)
                sent += 1
                now = asyncio.get_running_loop().time()
                bucket, tokens_at = min(10.0, bucket + now - tokens_at), now
                granted = bucket >= 1
                bucket -= granted
                await asyncio.sleep(0.1)
                if granted:
                    return gate.answered(permit)
                gate.failed(permit, error("rate_limited"), object())

        await asyncio.gather(*(until_answered() for _ in range(200)))
        return sent, gate.in_flight, asyncio.get_running_loop().time()

    sent, in_flight, took_s = run_virtually(work())
    assert in_flight == 0
    assert sent < 200 * 4  # one at a time all the while would send 1,900
    assert 190 <= took_s < 190 * 1.6


def test_a_limit_by_number_is_found_and_held(run_virtually: Run) -> None:
    """An endpoint that refuses what comes while 20 are under way is kept busy with few refusals."""

    async def work() -> tuple[int, float]:
        gate, busy, refusals = EndpointGate("e", ceiling=200), 0, 0

        async def until_answered() -> None:
            nonlocal busy, refusals
            while True:
                permit = await gate.enter(300)
                if busy >= 20:
                    refusals += 1
                    await asyncio.sleep(0.01)
                    gate.failed(permit, error("rate_limited"), object())
                    continue
                busy += 1
                await asyncio.sleep(1.0)
                busy -= 1
                return gate.answered(permit)

        await asyncio.gather(*(until_answered() for _ in range(2000)))
        return refusals, asyncio.get_running_loop().time()

    refusals, took_s = run_virtually(work())
    assert refusals < 0.05 * 2000
    assert 100 <= took_s < 125  # 2,000 at 20 a second take 100 s


def test_clients_of_one_loop_share_a_gate_and_it_goes_with_them(run_virtually: Run) -> None:
    async def work() -> EndpointGate:
        gate = gate_of("http://a", 3)
        assert gate_of("http://a", 8) is gate
        assert gate.limit.slots == 8
        assert gate_of("http://b", 3) is not gate
        number = id(gate)
        gate.limit.refused(1.0, 2.0)
        del gate
        gc.collect()
        again = gate_of("http://a", 3)
        assert id(again) != number or again.limit.slots == 3
        return again

    first = run_virtually(work())
    assert run_virtually(work()) is not first


requests = st.lists(
    st.tuples(
        st.floats(0, 5),  # comes at
        st.floats(0, 3),  # is busy for
        st.none() | st.floats(0, 5),  # is cancelled after
        st.sampled_from([None, "rate_limited", "overloaded", "connection", "malformed", "unauthorized"]),
        st.none() | st.floats(0.1, 3),  # Retry-After
    ),
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(requests, st.integers(1, 8))
def test_slots_are_never_exceeded_and_always_given_back(
    run_virtually: Run, plan: list[tuple[float, float, float | None, FailureKind | None, float | None]], ceiling: int
) -> None:
    async def work() -> None:
        gate, busy = EndpointGate("e", ceiling), 0

        async def one(at: float, seconds: float, kind: FailureKind | None, retry_after_s: float | None) -> None:
            nonlocal busy
            await asyncio.sleep(at)
            permit = await gate.enter(1e6)
            busy += 1
            assert 0 < gate.in_flight <= ceiling
            # Admitted tasks run one turn of the loop after their admission: `busy` may lag, never lead.
            assert busy <= gate.in_flight
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                gate.abandoned(permit)
                raise
            else:
                if kind is None:
                    gate.answered(permit)
                else:
                    gate.failed(permit, error(kind, retry_after_s), object())
            finally:
                busy -= 1

        tasks = []
        for at, seconds, cancelled_after, kind, retry_after_s in plan:
            task = asyncio.create_task(one(at, seconds, kind, retry_after_s))
            tasks.append(task)
            if cancelled_after is not None:
                asyncio.get_running_loop().call_later(at + cancelled_after, task.cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        unexpected = [one for one in outcomes if one is not None and not isinstance(one, asyncio.CancelledError)]
        assert not unexpected
        assert gate.in_flight == 0
        # And it is as good as before: it lets somebody in.
        gate.abandoned(await gate.enter(1e6))

    run_virtually(work())
