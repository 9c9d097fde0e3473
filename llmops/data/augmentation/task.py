"""One copy to be made: every method turns a batch of tasks into as many texts."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Task:
    """The sample to change, the number of the copy (from 0), and what chance depends on.

    The random state hangs on the seed, the method, the sample's id and the copy, so that neither the order of
    samples nor the borders of batches change a result.
    """

    text: str
    expected: str
    copy: int
    key: str

    def random(self) -> Random:
        """A random state of the task's own, the same every time."""
        return Random(self.key)


Method = Callable[[Sequence[Task]], list[str | None]]
"""Texts in the order of the tasks; None where the method found nothing to change."""


def is_chosen(key: str, share: float) -> bool:
    """Whether a sample is among the share that a method changes, by a hash of its key.

    >>> sum(is_chosen(f"sample {number}", 0.25) for number in range(10_000)) // 100
    24
    """
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64
