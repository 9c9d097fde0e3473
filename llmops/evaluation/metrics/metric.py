"""What a metric is: statistics for each sample, and a score from their sum.

A corpus score such as BLEU is no mean over samples, but it is a function of sums over samples. So every
metric here is a table of sufficient statistics, one row a sample, and a function of the summed rows. The
score, its bootstrap and a paired comparison are then the same few lines for all metrics.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from llmops.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Scale = Literal["share", "fraction", "hundred", "number", "real"]
"""share: right out of all, 0 to 1, each answer right or wrong · fraction: a mean of scores from 0 to 1 · hundred: a
score from 0 to 100 · number: 0 or more, no upper end · real: any number"""


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
class Usage:
    """What m answers took; NaN where nobody knows.

    latency_s, input_tokens, output_tokens, cost (US dollars): (m,). finish_reasons: why each answer ended.
    """

    latency_s: FloatArray
    input_tokens: FloatArray
    output_tokens: FloatArray
    cost: FloatArray
    finish_reasons: Sequence[str]

    def take(self, places: Sequence[int]) -> "Usage":
        """That of the answers at these places."""
        chosen = np.asarray(places, dtype=np.int64)
        return Usage(
            self.latency_s[chosen],
            self.input_tokens[chosen],
            self.output_tokens[chosen],
            self.cost[chosen],
            [self.finish_reasons[place] for place in places],
        )


@dataclass(frozen=True)
class Answers:
    """m answers that are to be measured, with all that a metric may want to know of each.

    A question that was asked r times has r entries; one that was not answered has none.

    outputs: what the model wrote. references: one or more right answers of each. inputs: what was asked. contexts:
    what it was to be answered from. metadata: that of the sample. usage: what the answers took. token_scores: (m, 3),
    the sums over the references of negative log-likelihood (nats), tokens, and tokens predicted right. ids: what names
    the question in a message. What is not known of any answer is left empty.
    """

    outputs: Sequence[str]
    references: Sequence[Sequence[str]]
    inputs: Sequence[str] = ()
    contexts: Sequence[str | None] = ()
    metadata: Sequence[Mapping[str, str]] = ()
    usage: Usage | None = None
    token_scores: FloatArray | None = None
    ids: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.outputs)

    def take(self, places: Sequence[int]) -> "Answers":
        """The answers at these places, in their order."""
        return Answers(
            [self.outputs[place] for place in places],
            [self.references[place] for place in places],
            [self.inputs[place] for place in places] if len(self.inputs) else (),
            [self.contexts[place] for place in places] if len(self.contexts) else (),
            [self.metadata[place] for place in places] if len(self.metadata) else (),
            None if self.usage is None else self.usage.take(places),
            None if self.token_scores is None else self.token_scores[np.asarray(places, dtype=np.int64)],
            [self.ids[place] for place in places] if len(self.ids) else (),
        )

    def name_of(self, place: int) -> str:
        """How a message names one answer: by its question's id, or by its place and the first words of its input."""
        if len(self.ids):
            return f"sample {self.ids[place]}"
        return f"sample {place} ({self.inputs[place][:60]!r})" if len(self.inputs) else f"sample {place}"


@dataclass(frozen=True)
class Metric:
    """A metric: its name, its scale, and the two functions that make it.

    rows: m answers -> (m, k) sufficient statistics, NaN throughout the row of an answer that cannot be measured.
    aggregate: (..., k) summed rows -> (...) scores. For a share the k = 2 columns are the number right and the number
    there are; for every other mean the sum and the number. The row of an answer depends on that answer alone.
    needs_references: an answer without one is not measured. parallel: rows takes long, needs only outputs, references
    and inputs, and can be pickled: it may run in other processes.
    """

    name: str
    label: str
    scale: Scale
    rows: Callable[[Answers], FloatArray]
    aggregate: Callable[[FloatArray], FloatArray]
    higher_is_better: bool = True
    needs_token_scores: bool = False
    needs_references: bool = False
    parallel: bool = False

    @property
    def highest(self) -> float:
        """The largest value the metric can take."""
        return {"share": 1.0, "fraction": 1.0, "hundred": 100.0}.get(self.scale, np.inf)

    @property
    def lowest(self) -> float:
        """The smallest value the metric can take."""
        return -np.inf if self.scale == "real" else 0.0


@dataclass(frozen=True)
class Measured:
    """One metric measured on n questions, and what was asked for it.

    rows: (n, k) sufficient statistics, summed over the repeats of a question; questions without a measured answer are
    left out. groups: (n,) label of the group each question belongs to; questions of a group depend on each other,
    groups do not. ids: (n,) what names each question: two models are compared on the ids that both were asked.
    answers: (n,) how many answers of each question were measured; None where all were. repeats: how many answers to
    each question were asked for. unmeasured: (u,) ids of the questions that were asked and have no measured answer.

    Raises InputError for rows that are not finite, for fewer groups, ids or answers than rows, for an id that occurs
    twice, and for answers that are not between 1 and repeats.
    """

    metric: Metric
    rows: FloatArray
    groups: npt.NDArray[np.generic]
    ids: npt.NDArray[np.generic]
    answers: IntArray | None = None
    repeats: int = 1
    unmeasured: npt.NDArray[np.generic] = field(default_factory=lambda: np.empty(0, dtype=str))

    def __post_init__(self) -> None:
        shape = self.rows.shape[:1]
        if self.rows.ndim != 2 or len(self.rows) == 0 or self.groups.shape != shape or self.ids.shape != shape:
            raise InputError(
                f"{self.metric.name}: {self.groups.size} groups and {self.ids.size} ids for statistics of shape "
                f"{self.rows.shape}; give one row, one group and one id a question, and at least one question"
            )
        if len(np.unique(self.asked)) < len(self.asked):
            raise InputError(f"{self.metric.name}: two questions have the same id; sum the repeats of a question first")
        broken = np.flatnonzero(~np.isfinite(self.rows).all(axis=1))
        if broken.size:
            raise InputError(
                f"{self.metric.name}: question {broken[0]} has a value that is not a number "
                f"({broken.size} of {len(self.rows)} questions); score it again or leave it out"
            )
        if self.answers is not None and self.answers.shape != shape:
            raise InputError(
                f"{self.metric.name}: {self.answers.size} counts of answers for {len(self.rows)} questions"
            )
        if self.repeats < 1 or (self.answers is not None and self.answers.min() < 1):
            raise InputError(f"{self.metric.name}: a question that was measured has at least one answer; leave it out")
        if self.answers is not None and self.answers.max() > self.repeats:
            raise InputError(
                f"{self.metric.name}: question {self.ids[int(self.answers.argmax())]} has {self.answers.max()} measured"
                f" answers, and {self.repeats} were asked for; give the repeats that were asked"
            )

    @property
    def n(self) -> int:
        """The number of questions."""
        return len(self.rows)

    @property
    def value(self) -> float:
        """The metric over all questions."""
        return float(self.metric.aggregate(self.rows.sum(axis=0)))

    @cached_property
    def asked(self) -> npt.NDArray[np.generic]:
        """The ids of all questions that were asked, (n + u,): the measured ones, then the others."""
        return np.concatenate([self.ids, self.unmeasured]) if len(self.unmeasured) else self.ids

    @cached_property
    def lacking(self) -> IntArray:
        """(n + u,) how many answers to each of them were asked for and not measured."""
        here = np.zeros(self.n, dtype=np.int64) if self.answers is None else self.repeats - self.answers
        return np.concatenate([here, np.full(len(self.unmeasured), self.repeats)])

    def per_sample(self) -> FloatArray:
        """The metric on each question by itself, (n,); for BLEU and chrF the score of a corpus of one."""
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


def mean_rows(values: Iterable[float | None]) -> FloatArray:
    """Statistics of a mean or share, (m, 2): each value and a 1; NaN throughout where the value is None or NaN.

    >>> mean_rows([True, None, 0.5]).tolist()
    [[1.0, 1.0], [nan, nan], [0.5, 1.0]]
    """
    column = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.column_stack([column, np.where(np.isnan(column), np.nan, 1.0)])


def ratio(sums: FloatArray) -> FloatArray:
    """First column over second: the aggregate of every mean and share.

    >>> ratio(np.array([[3.0, 4.0], [1.0, 2.0]])).tolist()
    [0.75, 0.5]
    """
    scores: FloatArray = sums[..., 0] / sums[..., 1]
    return scores
