"""The controller: fast to start, one cut a round trip, fair between clients that share a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.llm.adaptive_concurrency import START, AdaptiveLimit


def round_trip(limit: AdaptiveLimit) -> None:
    """Every slot is used once and answered."""
    for _ in range(slots := limit.slots):
        limit.answered(in_flight=slots)


def test_it_doubles_each_round_trip_until_the_ceiling() -> None:
    limit = AdaptiveLimit(ceiling=200)
    seen = [limit.slots]
    for _ in range(4):
        round_trip(limit)
        seen.append(limit.slots)
    assert seen == [32, 64, 128, 200, 200]


def test_it_starts_at_a_low_ceiling() -> None:
    assert AdaptiveLimit(ceiling=5).slots == 5


def test_after_a_cut_it_grows_by_about_one_a_round_trip() -> None:
    limit = AdaptiveLimit(ceiling=100)
    limit.refused(sent_at=0.0, now=1.0)
    assert limit.slots == 22  # 0.7 x 32 = 22.4
    for _ in range(10):
        round_trip(limit)
    # n slots answered at 1/n each add just under one; ten times from 22.4 come to between 31 and 32.4.
    assert limit.slots in (31, 32)


def test_what_was_in_flight_together_is_cut_for_once() -> None:
    limit = AdaptiveLimit(ceiling=100)
    cuts = [limit.refused(sent_at=sent, now=5.0 + sent / 100) for sent in (0.0, 1.0, 2.0, 4.9)]
    assert cuts == [True, False, False, False]
    assert limit.refused(sent_at=5.2, now=6.0)
    assert limit.slots == 15  # 32 x 0.49 = 15.68


def test_it_does_not_grow_on_slots_that_nobody_uses() -> None:
    limit = AdaptiveLimit(ceiling=100)
    for _ in range(500):
        limit.answered(in_flight=3)
    assert limit.slots == START


def test_a_higher_ceiling_is_grown_into() -> None:
    limit = AdaptiveLimit(ceiling=4)
    limit.raise_ceiling(100)
    assert limit.slots == 32
    limit.raise_ceiling(10)  # what somebody else has asked for already stands
    round_trip(limit)
    assert limit.slots == 64


def test_a_limit_that_was_cut_is_not_forgotten_when_the_ceiling_rises() -> None:
    limit = AdaptiveLimit(ceiling=10)
    limit.refused(sent_at=0.0, now=1.0)
    limit.raise_ceiling(100)
    assert limit.slots == 7


@pytest.mark.parametrize("capacity", [10, 60])
def test_two_clients_of_one_limit_end_with_equal_shares(capacity: int) -> None:
    """Chiu and Jain 1989: additive increase with multiplicative decrease converges to fairness from any start."""
    first, second = AdaptiveLimit(1000, start=1), AdaptiveLimit(1000, start=capacity)
    first.refused(0.0, 0.5)
    second.refused(0.0, 0.5)
    shares = []
    for now in range(1, 400):
        if first.slots + second.slots > capacity:
            first.refused(now, now + 0.5)
            second.refused(now, now + 0.5)
        else:
            round_trip(first)
            round_trip(second)
        shares.append((first.slots, second.slots))
    ours, theirs = (sum(share) / 200 for share in zip(*shares[-200:], strict=True))
    # Jain's index: 1 is equal, 0.6 the start with 1 and 10. Only whole slots are used, which keeps it off 1.
    fairness = (ours + theirs) ** 2 / (2 * (ours**2 + theirs**2))
    assert fairness > 0.98
    # The sawtooth runs between 0.7 and 1 of the capacity; whole slots cost up to one each.
    assert 0.7 * capacity - 2 < ours + theirs <= capacity + 2


@given(st.integers(1, 300), st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=300))
def test_it_stays_between_one_and_the_ceiling(ceiling: int, events: list[tuple[bool, int]]) -> None:
    limit = AdaptiveLimit(ceiling)
    for now, (answered, number) in enumerate(events):
        before = limit.slots
        if answered:
            limit.answered(in_flight=number)
            assert before <= limit.slots <= before + 1
        else:
            was_cut = limit.refused(sent_at=now - number / 100, now=now)
            assert limit.slots <= before
            assert was_cut or limit.slots == before
        assert 1 <= limit.slots <= ceiling
