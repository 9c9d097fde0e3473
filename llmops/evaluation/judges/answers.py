"""Have a panel judge answers one by one: rubric scores, or pass and fail."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmops.errors import InputError
from llmops.evaluation.judges import pass_fail, rubric
from llmops.evaluation.judges.agreement import Agreement, agreement
from llmops.evaluation.judges.asking import JudgeReport, ask_judge
from llmops.evaluation.judges.config import Ask, JudgeConfig
from llmops.evaluation.judges.panel import consensus
from llmops.evaluation.judges.prompts import judge_prompt, surroundings
from llmops.evaluation.metrics.metric import Answers, FloatArray


@dataclass(frozen=True)
class Judged:
    """What a panel thinks of m answers.

    scores: (m,) consensus, in points of the scale, or 1 pass and 0 fail; NaN where there is no verdict. votes: (m,
    judges), NaN where a judge gave none. reasons: (m, judges) what each wrote before its verdict, None where it did not
    answer. judges: what each of them did. lengths: (m,) of the answers, in characters. agreement: None where no answer
    has two votes.
    """

    config: JudgeConfig
    scores: FloatArray
    votes: FloatArray
    reasons: Sequence[Sequence[str | None]]
    judges: Sequence[JudgeReport]
    lengths: FloatArray
    agreement: Agreement | None

    @property
    def missing(self) -> int:
        """Answers without a verdict."""
        return int(np.isnan(self.scores).sum())


def judge_answers(config: JudgeConfig, answers: Answers, ask: Ask) -> Judged:
    """Ask every judge of the panel about every answer; each judge's prompts go to `ask` together.

    Raises:
        InputError: the panel compares pairs, there is no answer, or `ask` lost a reply.
    """
    if config.kind == "pairwise":
        raise InputError("this panel compares pairs of answers; use judge_pairs, or kind 'rubric' or 'pass_fail'")
    if not answers.outputs:
        raise InputError("there is no answer to judge; give at least one")
    scored = config.kind == "rubric"
    task, shown = (rubric.rubric_task(config), rubric.FORM) if scored else (pass_fail.TASK, pass_fail.FORM)
    form = rubric.rubric_form(config) if scored else pass_fail.PASS_FAIL
    prompts = [
        judge_prompt(config, task, shown, surroundings(config, answers, place) | {"ANSWER": output})
        for place, output in enumerate(answers.outputs)
    ]
    replies = [ask_judge(config, model, prompts, form, shown, ask) for model in config.models]
    votes = np.stack([one.votes for one in replies], axis=1)
    return Judged(
        config=config,
        scores=consensus(votes, config),
        votes=votes,
        reasons=list(zip(*(one.reasons for one in replies), strict=True)),
        judges=[one.report for one in replies],
        lengths=np.array([len(output) for output in answers.outputs], dtype=np.float64),
        agreement=agreement(votes),
    )
