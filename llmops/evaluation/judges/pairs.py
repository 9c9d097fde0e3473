"""Have a panel compare two answers to each question, shown in both orders.

Judges favour what they read first (or last). So each pair is judged twice, and an answer wins only where it is
preferred in both orders (Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", section 3.4): a
verdict that changes with the order is a tie, and counted. Where one of the two verdicts is missing, so is the vote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmops.errors import InputError
from llmops.evaluation.judges import pairwise
from llmops.evaluation.judges.agreement import Agreement, agreement
from llmops.evaluation.judges.asking import JudgeReport, ask_judge
from llmops.evaluation.judges.config import Ask, JudgeConfig
from llmops.evaluation.judges.metrics import judge_metric, value_rows
from llmops.evaluation.judges.panel import consensus
from llmops.evaluation.judges.prompts import judge_prompt, surroundings
from llmops.evaluation.metrics.metric import Answers, FloatArray, Measured
from llmops.evaluation.statistics.intervals import Estimate, estimate


@dataclass(frozen=True)
class JudgedPairs:
    """What a panel thinks of m pairs of answers.

    values: (m,) consensus: 1 the first answer is better, 0.5 a tie, 0 the second, NaN no verdict. votes: (m, judges),
    the same of each judge. by_order: (m, judges, 2) the value of the first answer when it was shown first, and when it
    was shown second. reasons: (m, judges) pairs of reasons, by order. judges: what each did, two prompts a pair.
    lengths: (m, 2) of the answers, in characters.
    """

    config: JudgeConfig
    values: FloatArray
    votes: FloatArray
    by_order: FloatArray
    reasons: Sequence[Sequence[tuple[str | None, str | None]]]
    judges: Sequence[JudgeReport]
    lengths: FloatArray
    agreement: Agreement | None

    @property
    def win(self) -> int:
        """Pairs whose first answer is better: more than half of the consensus."""
        return int((self.values > pairwise.TIE).sum())

    @property
    def lose(self) -> int:
        """Pairs whose second answer is better."""
        return int((self.values < pairwise.TIE).sum())

    @property
    def tie(self) -> int:
        """Pairs that are equally good."""
        return int((self.values == pairwise.TIE).sum())

    @property
    def missing(self) -> int:
        """Pairs without a verdict."""
        return int(np.isnan(self.values).sum())

    @property
    def position_flips(self) -> tuple[int, ...]:
        """For each judge the pairs on which it said something else in the other order."""
        one, two = self.by_order[..., 0], self.by_order[..., 1]
        return tuple(int(n) for n in ((one != two) & np.isfinite(one) & np.isfinite(two)).sum(axis=0))

    def win_rate(self, groups: npt.NDArray[np.generic] | None = None) -> Estimate:
        """Mean value of the pairs that have one, a tie half a win, with its 95 % interval.

        Args:
            groups: (m,) which pairs depend on each other; unset, each stands for itself.

        Raises:
            InputError: fewer than two independent pairs have a verdict.
        """
        given = np.isfinite(self.values)
        ids = np.arange(len(self.values))
        groups = ids if groups is None else groups
        rows = value_rows(self.config, self.values)[given]
        return estimate(Measured(judge_metric("win_rate", self.config), rows, groups[given], ids[given]))


def judge_pairs(config: JudgeConfig, first: Answers, second: Answers, ask: Ask) -> JudgedPairs:
    """Ask every judge of the panel about every pair, in both orders.

    Args:
        config: the panel.
        first: m answers; question, context and right answers are taken from here.
        second: m answers to the same questions in the same order.
        ask: sends a judge its prompts.

    Raises:
        InputError: the panel does not compare pairs, the answers are not to the same questions, or `ask` lost a reply.
    """
    if config.kind != "pairwise":
        raise InputError(f"this panel judges answers one by one ({config.kind}); use judge_answers, or kind 'pairwise'")
    if not first.outputs or len(first.outputs) != len(second.outputs) or list(first.inputs) != list(second.inputs):
        raise InputError(
            f"{len(first.outputs)} first and {len(second.outputs)} second answers, or not to the same questions; "
            "give both in the same order"
        )
    pairs = list(zip(first.outputs, second.outputs, strict=True))
    prompts = [
        judge_prompt(
            config,
            pairwise.TASK,
            pairwise.FORM,
            surroundings(config, first, place) | {"FIRST ANSWER": shown[0], "SECOND ANSWER": shown[1]},
        )
        for place, pair in enumerate(pairs)
        for shown in (pair, pair[::-1])
    ]
    replies = [ask_judge(config, model, prompts, pairwise.PAIRWISE, pairwise.FORM, ask) for model in config.models]
    # A vote is the value of what was shown first: turned round where that was the second answer.
    by_order = np.stack([np.stack([one.votes[::2], 1 - one.votes[1::2]], axis=1) for one in replies], axis=1)
    votes = both_orders(by_order)
    return JudgedPairs(
        config=config,
        values=consensus(votes, config),
        votes=votes,
        by_order=by_order,
        reasons=list(zip(*(_by_order(one.reasons) for one in replies), strict=True)),
        judges=[one.report for one in replies],
        lengths=np.array([[len(text) for text in pair] for pair in pairs], dtype=np.float64),
        agreement=agreement(votes),
    )


def _by_order(reasons: Sequence[str | None]) -> list[tuple[str | None, str | None]]:
    return list(zip(reasons[::2], reasons[1::2], strict=True))


def both_orders(by_order: FloatArray) -> FloatArray:
    """One value from the two orders in the last axis: what both say, a tie where they differ, NaN where one is missing.

    >>> both_orders(np.array([[1, 1], [1, 0], [0.5, 0], [1, np.nan]])).tolist()
    [1.0, 0.5, 0.5, nan]
    """
    one, two = by_order[..., 0], by_order[..., 1]
    agreed: FloatArray = np.where(one == two, one, pairwise.TIE)
    return np.where(np.isnan(one) | np.isnan(two), np.nan, agreed)
