"""How long a failed request waits before it is sent again.

Exponential back-off with *full jitter*: a random time between nothing and a bound that doubles with each failure.
Without the randomness, requests that failed together come back together and fail together; of the variants, full
jitter finishes with the least work (Brooker 2015, "Exponential backoff and jitter", AWS Architecture Blog).
"""

import random
from collections.abc import Callable

FIRST_BOUND_S = 0.5
LONGEST_BOUND_S = 30.0


def backoff_s(failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after the given number of failures in a row, at least one of them.

    >>> [backoff_s(n, uniform=lambda low, high: high) for n in (1, 2, 3, 10)]
    [0.5, 1.0, 2.0, 30.0]
    """
    bound = FIRST_BOUND_S * 2.0 ** min(failures - 1, 16)
    return uniform(0.0, min(bound, LONGEST_BOUND_S))
