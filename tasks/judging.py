"""Judges as part of an evaluation: asked like every other model, so that no verdict is paid twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.judges import Judged, JudgedPairs, judge_answers, judge_pairs
from llmops.evaluation.judges.asking import JudgeReport
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.metrics import judge_metric, value_rows
from llmops.evaluation.metrics.measurement import gather
from llmops.evaluation.metrics.metric import Answers, Measured
from llmops.evaluation.questions import QUESTION_SCHEMA, Questions
from llmops.evaluation.statistics.intervals import Estimate
from llmops.llm.completions import Message, Parameters
from tasks.answers import collect_answers
from tasks.asking import Asking
from tasks.model_sources import find_asked_model
from tasks.run_budget import RunBudget
from tasks.scoring import answered


class JudgeSummary(BaseModel):
    """What a panel of judges did: verdicts given and missing, how far it agrees, what each judge did and what it took.

    agreement: Krippendorff's alpha; None where it is not defined, as where all verdicts are the same. judges: a
    sentence each. asking: one for each time that a judge was asked.
    """

    verdicts: int
    missing: int
    agreement: Estimate | None = None
    all_agree: bool = False
    judges: list[str]
    asking: list[Asking] = []

    @property
    def stopped(self) -> str | None:
        """Why the judges were not asked everything; None where they were."""
        return next((one.stopped for one in self.asking if one.stopped), None)

    @property
    def sentence(self) -> str:
        """All of it in a line."""
        parts = [f"{self.verdicts:,} verdicts"]
        if self.missing:
            parts.append(f"{self.missing:,} without one")
        if self.agreement is not None:
            alpha = self.agreement
            parts.append(f"Krippendorff's alpha {alpha.value:.2f} [{alpha.low:.2f}, {alpha.high:.2f}]")
        elif self.all_agree:
            parts.append("the judges always agree")
        answered = sum(one.answered for one in self.asking)
        if answered:
            costs = [one.cost for one in self.asking if one.answered]
            known = None if None in costs else sum(cost for cost in costs if cost is not None)
            parts.append(f"{answered:,} newly asked, {'cost not known' if known is None else f'${known:,.4f}'}")
        return f"{', '.join(parts)} ({'; '.join(self.judges)})."


class Preference(BaseModel):
    """Which of two models a panel prefers, question by question; win_rate counts a tie as half a win."""

    judge: str
    against: str
    win: int
    lose: int
    tie: int
    missing: int
    win_rate: Estimate
    panel: JudgeSummary

    @property
    def sentence(self) -> str:
        """All of it in a line."""
        rate = self.win_rate
        return (
            f"{self.judge}: better than {self.against} on {self.win:,}, worse on {self.lose:,}, equal on {self.tie:,}"
            f"{f', no verdict on {self.missing:,}' if self.missing else ''}; wins {100 * rate.value:.1f} % "
            f"[{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
        )


class JudgeAsker:
    """Asks judges through the store of answers: what has been judged before is not paid again, not even by a fresh run.

    Args:
        evaluation: how many requests at once, and how long they are waited for.
        budget: what may still be spent.
        run_id: of the MLflow run that pays.
        name: of the metric that the judges make.
    """

    def __init__(self, evaluation: EvaluationConfig, budget: RunBudget, run_id: str, name: str) -> None:
        self._plain = EvaluationConfig(client=evaluation.client, batch_size=evaluation.batch_size)
        self._budget = budget
        self._run_id = run_id
        self._name = name
        self.asking: list[Asking] = []

    def __call__(
        self, model: str, prompts: Sequence[Sequence[Message]], parameters: Parameters
    ) -> Sequence[str | None]:
        """See `llmops.evaluation.judges.config.Ask`."""
        asked = find_asked_model(model, self._plain)
        chosen = asked.parameters if asked.local and parameters.max_tokens is None else parameters
        replies: list[str | None] = [None] * len(prompts)
        with collect_answers(
            asked.source,
            _as_questions(len(prompts)),
            prompts,
            chosen,
            budget=self._budget.left(),
            run_id=self._run_id,
            title=f"Judge {self._name}: {asked.label}",
        ) as collected:
            for table in collected.tables():
                for place, text in zip(table["question"].to_pylist(), table["text"].to_pylist(), strict=True):
                    replies[place] = text
        self._budget.take(collected.report)
        self.asking.append(Asking.of(collected.report, None, replayed=False))
        return replies


def judge_all(
    judges: Mapping[str, JudgeConfig],
    batches: Sequence[Path],
    questions: Questions,
    evaluation: EvaluationConfig,
    budget: RunBudget,
    run_id: str,
    repeats: int = 1,
) -> tuple[dict[str, Measured], dict[str, JudgeSummary]]:
    """Have every panel that judges answers one by one judge all answers.

    Args:
        judges: the panels by the names of their metrics.
        batches: the files of a model's answers.
        questions: all questions that were asked.
        evaluation: how the judges are asked.
        budget: what is left for them.
        run_id: of the MLflow run that pays.
        repeats: how often each question was asked.
    """
    if not judges:
        return {}, {}
    place, answers = all_answers(batches, questions)
    if not len(place):
        return {}, {}
    measured, summaries = {}, {}
    for name, config in judges.items():
        ask = JudgeAsker(evaluation, budget, run_id, name)
        judged = judge_answers(config, answers, ask)
        summaries[name] = summary_of(judged, len(place), ask)
        if judged.missing < len(place):
            rows = value_rows(config, judged.scores)
            measured[name] = gather(judge_metric(name, config), rows, place, questions.ids, questions.groups, repeats)
    return measured, summaries


def all_answers(batches: Sequence[Path], questions: Questions) -> tuple[np.ndarray, Answers]:
    """All answers at once, and the places (m,) of their questions: judges are asked about all of them together."""
    places, outputs = [np.empty(0, dtype=np.int64)], []
    for place, answers in answered(batches, questions):
        places.append(place)
        outputs += answers.outputs
    place = np.concatenate(places).astype(np.int64)
    asked = Questions(questions.table.take(pa.array(place)))
    return place, Answers(
        outputs, asked.references, asked.inputs, asked.contexts, asked.metadata, ids=asked.table["id"].to_pylist()
    )


def prefer(
    name: str, config: JudgeConfig, first: Answers, second: Answers, groups: np.ndarray, against: str, ask: JudgeAsker
) -> Preference | None:
    """Which of two models a panel prefers, from their answers to the same questions; None without two verdicts."""
    pairs = judge_pairs(config, first, second, ask)
    if len(np.unique(groups[np.isfinite(pairs.values)])) < 2:
        return None
    return Preference(
        judge=name,
        against=against,
        win=pairs.win,
        lose=pairs.lose,
        tie=pairs.tie,
        missing=pairs.missing,
        win_rate=pairs.win_rate(groups),
        panel=summary_of(pairs, len(first), ask),
    )


def _as_questions(number: int) -> Questions:
    rows = [
        {"id": f"{place:016x}", "input": "", "messages": "[]", "references": [], "sample_ids": [], "group": str(place)}
        for place in range(number)
    ]
    return Questions(pa.Table.from_pylist(rows, QUESTION_SCHEMA))


def summary_of(judged: Judged | JudgedPairs, total: int, ask: JudgeAsker) -> JudgeSummary:
    """What a panel did, in a few words."""
    level = "nominal" if judged.config.kind == "pass_fail" else "ordinal"
    alpha = judged.agreement.alpha.get(level) if judged.agreement is not None else None
    return JudgeSummary(
        verdicts=total - judged.missing,
        missing=judged.missing,
        agreement=alpha,
        all_agree=judged.agreement is not None and judged.agreement.all_agree,
        judges=[_said(report) for report in judged.judges],
        asking=ask.asking,
    )


def _said(report: JudgeReport) -> str:
    parts = [f"{report.model}: {report.verdicts:,} verdicts"]
    counted = {"cannot tell": report.cannot_tell, "unreadable": report.malformed, "unanswered": report.unanswered}
    parts += [f"{number:,} {what}" for what, number in counted.items() if number]
    return ", ".join(parts)
