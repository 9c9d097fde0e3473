"""Answers measured batch by batch: what is kept of a question are numbers, so memory does not grow with the texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from llmops.evaluation.answers.collected import table_of
from llmops.evaluation.metrics.measurement import gather
from llmops.evaluation.metrics.metric import Answers, FloatArray, Measured, Metric, Usage
from llmops.evaluation.metrics.scoring import score
from llmops.evaluation.questions import Questions
from tasks.progress import stage

PROCESSES = 2


@dataclass
class Rows:
    """The statistics of every answer measured so far, and which question each belongs to."""

    metrics: Sequence[Metric]
    repeats: int = 1
    question: list[np.ndarray] = field(default_factory=list)
    rows: dict[str, list[FloatArray]] = field(default_factory=dict)

    def add(self, question: np.ndarray, rows: Mapping[str, FloatArray]) -> None:
        """Take in one batch."""
        self.question.append(question)
        for name, one in rows.items():
            self.rows.setdefault(name, []).append(one)

    def measured(self, questions: Questions) -> dict[str, Measured]:
        """Each metric that at least one question was measured by."""
        if not self.question:
            return {}
        place = np.concatenate(self.question)
        found = {}
        for metric in self.metrics:
            rows = np.concatenate(self.rows[metric.name])
            if np.isfinite(rows).all(axis=1).any():
                found[metric.name] = gather(metric, rows, place, questions.ids, questions.groups, self.repeats)
        return found


@task(
    name="score",
    task_run_name=lambda: f"score {task_run.get_parameters()['label']}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def score_answers(
    label: str,
    batches: Sequence[Path],
    questions: Questions,
    metrics: Sequence[Metric],
    token_scores: FloatArray | None = None,
    repeats: int = 1,
) -> dict[str, Measured]:
    """Measure a model's answers by every metric; one that nothing could be measured by is left out.

    Args:
        label: what the model is called.
        batches: the files of its answers.
        questions: all questions that were asked.
        metrics: what is measured.
        token_scores: (n, 3) a row a question, see `Answers`; None where there are none.
        repeats: how often each question was asked.
    """
    found = Rows(metrics, repeats)
    with stage(f"Score {label}") as line:
        done = 0
        for place, answers in answered(batches, questions, token_scores):
            found.add(place, score(metrics, answers, processes=PROCESSES))
            done += len(place)
            line.update(done, None, f"{done:,} answers")
        line.finish(f"{done:,} answers by {len(metrics)} metrics")
    return found.measured(questions)


def answered(
    batches: Sequence[Path], questions: Questions, token_scores: FloatArray | None = None
) -> Iterator[tuple[np.ndarray, Answers]]:
    """The answers of each batch that has any, and the places (m,) of their questions."""
    for file in batches:
        table = table_of(file)
        table = table.filter(pc.is_valid(table["text"]))
        if len(table):
            yield table["question"].to_numpy(), answers_of(table, questions, token_scores)


def answers_of(table: pa.Table, questions: Questions, token_scores: FloatArray | None = None) -> Answers:
    """The answers in a batch with all that a metric may want to know of them."""
    place = table["question"].to_numpy()
    asked = Questions(questions.table.take(pa.array(place)))
    return Answers(
        outputs=table["text"].to_pylist(),
        references=asked.references,
        inputs=asked.inputs,
        contexts=asked.contexts,
        metadata=asked.metadata,
        usage=usage_of(table),
        token_scores=None if token_scores is None else token_scores[place],
        ids=asked.table["id"].to_pylist(),
    )


def usage_of(table: pa.Table) -> Usage:
    """What the answers in a batch took."""
    latency, tokens_in, tokens_out, cost = (
        table[name].cast(pa.float64()).combine_chunks().fill_null(np.nan).to_numpy(zero_copy_only=False)
        for name in ("latency_s", "input_tokens", "output_tokens", "cost")
    )
    reasons = pc.fill_null(table["finish_reason"], "other").to_pylist()
    return Usage(latency, tokens_in, tokens_out, cost, reasons)
