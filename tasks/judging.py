"""Judges as part of an evaluation: asked like every other model, so that no verdict is paid twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.judges import Ask, Judged, JudgedPairs, judge_answers, judge_pairs
from llmops.evaluation.judges.asking import JudgeReport
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.metrics import judge_metric, value_rows
from llmops.evaluation.metrics.measurement import gather
from llmops.evaluation.metrics.metric import Answers, Measured
from llmops.evaluation.questions import QUESTION_SCHEMA, Questions
from llmops.evaluation.statistics.intervals import Estimate
from llmops.llm.completions import Message, Parameters
from tasks.answers import collect_answers
from tasks.model_sources import find_asked_model
from tasks.scoring import answered


class JudgeSummary(BaseModel):
    """What a panel of judges did: verdicts given and missing, how far it agrees, and what each judge did.

    agreement: Krippendorff's alpha; None where fewer than two judges gave verdicts. judges: a sentence each.
    """

    verdicts: int
    missing: int
    agreement: Estimate | None = None
    judges: list[str]

    @property
    def sentence(self) -> str:
        """All of it in a line."""
        parts = [f"{self.verdicts:,} verdicts"]
        if self.missing:
            parts.append(f"{self.missing:,} without one")
        if self.agreement is not None:
            alpha = self.agreement
            parts.append(f"Krippendorff's alpha {alpha.value:.2f} [{alpha.low:.2f}, {alpha.high:.2f}]")
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


def judge_all(
    judges: Mapping[str, JudgeConfig],
    batches: Sequence[Path],
    questions: Questions,
    evaluation: EvaluationConfig,
    run_id: str,
) -> tuple[dict[str, Measured], dict[str, JudgeSummary]]:
    """Have every panel that judges answers one by one judge all answers.

    Args:
        judges: the panels by the names of their metrics.
        batches: the files of a model's answers.
        questions: all questions that were asked.
        evaluation: how the judges are asked.
        run_id: of the MLflow run that pays.
    """
    if not judges:
        return {}, {}
    place, answers = all_answers(batches, questions)
    if not len(place):
        return {}, {}
    measured, summaries = {}, {}
    for name, config in judges.items():
        judged = judge_answers(config, answers, asker(evaluation, run_id, name))
        summaries[name] = summary_of(judged.judges, judged.missing, len(place), judged)
        if judged.missing < len(place):
            rows = value_rows(config, judged.scores)
            measured[name] = gather(judge_metric(name, config), rows, place, questions.ids, questions.groups)
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
    name: str, config: JudgeConfig, first: Answers, second: Answers, groups: np.ndarray, against: str, ask: Ask
) -> Preference:
    """Which of two models a panel prefers, from their answers to the same questions."""
    pairs = judge_pairs(config, first, second, ask)
    return Preference(
        judge=name,
        against=against,
        win=pairs.win,
        lose=pairs.lose,
        tie=pairs.tie,
        missing=pairs.missing,
        win_rate=pairs.win_rate(groups),
        panel=summary_of(pairs.judges, pairs.missing, len(first), pairs),
    )


def asker(evaluation: EvaluationConfig, run_id: str, name: str) -> Ask:
    """Asks judges through the store of answers: what has been judged before is not paid again."""

    def ask(model: str, prompts: Sequence[Sequence[Message]], parameters: Parameters) -> Sequence[str | None]:
        plain = EvaluationConfig(client=evaluation.client, batch_size=evaluation.batch_size)
        asked = find_asked_model(model, plain)
        chosen = asked.parameters if asked.local and parameters.max_tokens is None else parameters
        replies: list[str | None] = [None] * len(prompts)
        with collect_answers(
            asked.source,
            _as_questions(len(prompts)),
            prompts,
            chosen,
            budget=evaluation.budget,
            fresh=evaluation.fresh,
            run_id=run_id,
            title=f"Judge {name}: {asked.label}",
        ) as collected:
            for table in collected.tables():
                for place, text in zip(table["question"].to_pylist(), table["text"].to_pylist(), strict=True):
                    replies[place] = text
        return replies

    return ask


def _as_questions(number: int) -> Questions:
    rows = [
        {"id": f"{place:016x}", "input": "", "messages": "[]", "references": [], "sample_ids": [], "group": str(place)}
        for place in range(number)
    ]
    return Questions(pa.Table.from_pylist(rows, QUESTION_SCHEMA))


def summary_of(judges: Sequence[JudgeReport], missing: int, total: int, judged: Judged | JudgedPairs) -> JudgeSummary:
    """What a panel did, in a few words."""
    level = "nominal" if judged.config.kind == "pass_fail" else "ordinal"
    alpha = judged.agreement.alpha[level] if judged.agreement is not None else None
    return JudgeSummary(
        verdicts=total - missing, missing=missing, agreement=alpha, judges=[_said(report) for report in judges]
    )


def _said(report: JudgeReport) -> str:
    parts = [f"{report.model}: {report.verdicts:,} verdicts"]
    counted = {"cannot tell": report.cannot_tell, "unreadable": report.malformed, "unanswered": report.unanswered}
    parts += [f"{number:,} {what}" for what, number in counted.items() if number]
    return ", ".join(parts)
