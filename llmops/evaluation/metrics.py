"""What a metric is: statistics for each sample, and a score from their sum.

A corpus score such as BLEU is no mean over samples, but it is a function of sums over samples. So every
metric here is a table of sufficient statistics, one row a sample, and a function of the summed rows. The
score, its bootstrap and a paired comparison are then the same few lines for all metrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from llmops.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Scale = Literal["share", "hundred", "number"]
"""share: right out of all, 0 to 1 · hundred: a score from 0 to 100 · number: 0 or more, no upper end"""


class TokenScored(Protocol):
    """How well a model predicted one reference: `llmops.llm.TokenScore`, or anything that looks like it.

    nll: negative log-likelihood in nats, summed over its tokens. correct: tokens that were the first choice.
    """

    @property
    def nll(self) -> float: ...
    @property
    def tokens(self) -> int: ...
    @property
    def correct(self) -> int: ...


@dataclass(frozen=True)
class Answers:
    """What a model answered to the test inputs, and what it should have answered.

    outputs: n texts. references: for each input one or more right answers. token_scores: (n, 3), for each
    input the sums over its references of negative log-likelihood (nats), tokens, and tokens predicted right.
    """

    outputs: Sequence[str]
    references: Sequence[Sequence[str]]
    token_scores: FloatArray | None = None


@dataclass(frozen=True)
class Metric:
    """A metric: its name, its scale, and the two functions that make it.

    rows: answers of n samples -> (n, k) sufficient statistics. aggregate: (..., k) summed rows -> (...)
    scores. For a share the k = 2 columns are the number right and the number there are.
    """

    name: str
    label: str
    scale: Scale
    rows: Callable[[Answers], FloatArray]
    aggregate: Callable[[FloatArray], FloatArray]
    higher_is_better: bool = True
    needs_token_scores: bool = False

    @property
    def highest(self) -> float:
        """The largest value the metric can take (the smallest is 0)."""
        return {"share": 1.0, "hundred": 100.0, "number": np.inf}[self.scale]


@dataclass(frozen=True)
class Measured:
    """One metric measured on one set of samples.

    rows: (n, k) sufficient statistics. groups: (n,) label of the group each sample belongs to; samples of a
    group depend on each other, groups do not. samples: a digest that says on which samples this was measured.

    Raises InputError for rows that are not finite, and for fewer rows or groups than samples.
    """

    metric: Metric
    rows: FloatArray
    groups: npt.NDArray[np.generic]
    samples: str = ""

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) == 0 or self.groups.shape != self.rows.shape[:1]:
            raise InputError(
                f"{self.metric.name}: {self.groups.size} groups for statistics of shape {self.rows.shape}; "
                "give one row and one group a sample, and at least one sample"
            )
        broken = np.flatnonzero(~np.isfinite(self.rows).all(axis=1))
        if broken.size:
            raise InputError(
                f"{self.metric.name}: sample {broken[0]} has a value that is not a number "
                f"({broken.size} of {len(self.rows)} samples); score it again or leave it out"
            )

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(self.rows)

    @property
    def value(self) -> float:
        """The metric over all samples."""
        return float(self.metric.aggregate(self.rows.sum(axis=0)))

    def per_sample(self) -> FloatArray:
        """The metric on each sample by itself, (n,); for BLEU and chrF the score of a corpus of one."""
        return self.metric.aggregate(self.rows)

    @cached_property
    def group_totals(self) -> FloatArray:
        """Rows summed within each group, (G, k), in the order of the sorted group labels."""
        labels, place = np.unique(self.groups, return_inverse=True)
        if len(labels) == len(self.rows):
            return self.rows[np.argsort(place, kind="stable")]
        totals = np.zeros((len(labels), self.rows.shape[1]))
        np.add.at(totals, place, self.rows)
        return totals


def ratio(sums: FloatArray) -> FloatArray:
    """First column over second: the aggregate of every mean and share.

    >>> ratio(np.array([[3.0, 4.0], [1.0, 2.0]])).tolist()
    [0.75, 0.5]
    """
    scores: FloatArray = sums[..., 0] / sums[..., 1]
    return scores
