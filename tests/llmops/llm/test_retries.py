"""Back-off: full jitter under a bound that doubles."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.llm.retries import FIRST_BOUND_S, LONGEST_BOUND_S, backoff_s


def test_the_jitter_is_full() -> None:
    """Uniform from 0 to the bound: for 4 s the mean is 2 and the deviation 4 / sqrt(12)."""
    waits = [backoff_s(4, Random(seed).uniform) for seed in range(10_000)]
    assert sum(waits) / 10_000 == pytest.approx(2.0, abs=4 * 1.155 / 100)
    assert min(waits) < 0.01
    assert 3.99 < max(waits) <= 4.0


@given(st.integers(1, 10_000), st.integers())
def test_it_is_never_negative_nor_above_the_bounds(failures: int, seed: int) -> None:
    wait = backoff_s(failures, Random(seed).uniform)
    assert 0 <= wait <= LONGEST_BOUND_S
    assert failures > 1 or wait <= FIRST_BOUND_S
