"""Ask models the questions of a split, measure their answers, and leave the figures in MLflow."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmops.digests import content_digest
from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.evaluation import Estimate, Measured, copy_nearest, estimates, measure
from llmops.evaluation.answers.collected import Collected
from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.metrics.metric import Answers, FloatArray
from llmops.evaluation.questions import Questions
from llmops.evaluation.statistics.repeats import flakiness, pass_all, pass_at, with_answers
from llmops.llm import LocalModel
from llmops.llm.completions import Message, Prompt, texts_of
from tasks.answers import collect_answers
from tasks.asking import Asking
from tasks.earlier_runs import VOCABULARY_TAG
from tasks.evaluated_samples import log_samples
from tasks.evaluation_result import Example
from tasks.judging import JudgeSummary, all_answers, judge_all
from tasks.model_sources import AskedModel
from tasks.progress import stage
from tasks.run_budget import RunBudget
from tasks.scoring import score_answers, usage_of
from tasks.tracking import log_metrics, set_tags
from tasks.wanted_metrics import Wanted

EXAMPLES = 5


@dataclass(frozen=True)
class Assessed:
    """A model's answers, and what they are worth.

    ``vocabulary`` names the tokenizer's vocabulary: figures per token compare only where it is the same. ``examples``
    are answers by the numbers of their questions. ``answers`` are all of them, where a judge is to compare them, with
    the places of their questions.
    """

    label: str
    measured: Mapping[str, Measured]
    figures: Mapping[str, Estimate]
    vocabulary: str | None = None
    asking: Asking | None = None
    judges: Mapping[str, JudgeSummary] = field(default_factory=dict)
    examples: Mapping[int, str | None] = field(default_factory=dict)
    answers: tuple[np.ndarray, Answers] | None = None
    seconds: float = 0.0

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know: they rest on a part of the questions."""
        notes = []
        if self.asking is not None and self.asking.stopped:
            notes.append(f"{self.label}: partial result. {self.asking.stopped}")
        if self.asking is not None and self.asking.failed:
            failed = sum(self.asking.failed.values())
            notes.append(f"{self.label}: {failed:,} requests failed; their questions are not in the figures.")
        for name, panel in self.judges.items():
            if panel.stopped:
                notes.append(f"{self.label}: not all answers were judged by {name}. {panel.stopped}")
        return notes


def assess(
    run_id: str,
    model: AskedModel,
    questions: Questions,
    messages: Sequence[Sequence[Message]] | None,
    wanted: Wanted,
    evaluation: EvaluationConfig,
    budget: RunBudget,
) -> Assessed:
    """Ask one model every question, measure the answers, and leave all of it beside an MLflow run.

    Args:
        run_id: the run.
        model: who is asked.
        questions: what is asked.
        messages: what is sent for each question, where a prompt stands around it.
        wanted: what is measured.
        evaluation: how the model is asked.
        budget: what it and the judges may spend.
    """
    started = time.monotonic()
    repeats = 1 if model.replayed_column else evaluation.repeats
    with collect_answers(
        model.source,
        questions,
        messages,
        model.parameters,
        repeats=repeats,
        budget=budget.left(),
        fresh=evaluation.fresh,
        run_id=run_id,
        title=f"Ask {model.label}",
    ) as collected:
        scores, vocabulary = None, None
        if model.local is not None and any(metric.needs_token_scores for metric in wanted.metrics):
            scores, vocabulary = token_scores(model, questions, messages, evaluation)
        metrics = [metric for metric in wanted.metrics if scores is not None or not metric.needs_token_scores]
        measured = score_answers(model.label, collected.batches, questions, metrics, scores, repeats)
        budget.take(collected.report)
        judged, panels = judge_all(wanted.judges, collected.batches, questions, evaluation, budget, run_id, repeats)
        measured |= judged
        measured |= repeat_figures(measured, repeats)
        if not measured:
            raise _nothing_measured(model, collected)
        assessed = Assessed(
            label=model.label,
            measured=measured,
            figures=estimates(measured, seed=evaluation.seed),
            vocabulary=vocabulary,
            asking=Asking.of(collected.report, _latencies(collected), replayed=model.replayed_column is not None),
            judges=panels,
            examples=_examples(collected, questions),
            answers=all_answers(collected.batches, questions) if wanted.pairwise else None,
            seconds=time.monotonic() - started,
        )
        record_evaluation(run_id, assessed, questions, collected.batches)
    return assessed


def _nothing_measured(model: AskedModel, collected: Collected) -> LlmopsError:
    report = collected.report
    if report.stopped:
        return InputError(f"{model.label}: nothing was answered. {report.stopped}")
    if report.failed:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in report.failed.items())
        return ServiceError(f"{model.label} answered nothing (failed requests: {kinds}); try again later")
    return InputError(f"{model.label}: no answer could be measured by the metrics that were named")


def token_scores(
    model: AskedModel,
    questions: Questions,
    messages: Sequence[Sequence[Message]] | None,
    evaluation: EvaluationConfig,
) -> tuple[FloatArray, str]:
    """How well a model on this machine predicts the right answers, (n, 3), see `Answers`; its vocabulary's digest."""
    assert model.local is not None
    asked = questions.messages if messages is None else messages
    pairs: list[tuple[Prompt, str]] = []
    counts = []
    for prompt, rights in zip(asked, questions.references, strict=True):
        pairs += [(prompt, right) for right in rights]
        counts.append(len(rights))
    with stage(f"Predict the answers with {model.label}") as line:
        loaded = LocalModel.load(model.local.path)
        line.update(0, None, f"{len(pairs):,} references")
        scored = loaded.score(pairs, batch_size=evaluation.batch_size)
        line.finish(f"{len(pairs):,} references")
    per_pair = np.array([(one.nll, one.tokens, one.correct) for one in scored], dtype=np.float64).reshape(-1, 3)
    sums = np.add.reduceat(per_pair, np.cumsum([0, *counts[:-1]]), axis=0)
    return sums, content_digest(loaded.tokenizer.get_vocab())


def _latencies(collected: Collected) -> tuple[float, float] | None:
    if collected.report.client is None:
        return None
    latencies = np.concatenate([usage_of(table).latency_s for table in collected.tables()])
    known = latencies[np.isfinite(latencies)]
    return (float(np.quantile(known, 0.5)), float(np.quantile(known, 0.95))) if known.size else None


def _examples(collected: Collected, questions: Questions) -> dict[int, str | None]:
    """First answers to some questions, evenly spread over the split."""
    wanted = set(list(range(0, len(questions), max(1, len(questions) // EXAMPLES)))[:EXAMPLES])
    found: dict[int, str | None] = dict.fromkeys(sorted(wanted))
    places = pa.array(sorted(wanted), pa.int32())
    for table in collected.tables():
        first = table.filter(pc.and_(pc.equal(table["repeat"], 0), pc.is_in(table["question"], places)))
        found |= dict(zip(first["question"].to_pylist(), first["text"].to_pylist(), strict=True))
    return found


def pick_examples(
    questions: Questions,
    messages: Sequence[Sequence[Message]] | None,
    candidate: Assessed,
    before: Assessed | None,
) -> list[Example]:
    """Some questions with what each model answered."""
    found = []
    for place, output in candidate.examples.items():
        one = questions.slice(place, place + 1)
        found.append(
            Example(
                input=one.inputs[0],
                messages=[dict(message) for message in (messages[place] if messages else one.messages[0])],
                expected=one.references[0][0],
                baseline=before.examples.get(place) if before else None,
                output=output,
            )
        )
    return found


@task(name="copy the nearest training answer", cache_policy=NO_CACHE)
def assess_copying(training: Sequence[tuple[Prompt, str]], questions: Questions, names: Sequence[str]) -> Assessed:
    """The baseline that needs no model: the answer to the most similar training prompt."""
    started = time.monotonic()
    prompts = ["\n\n".join(texts_of(prompt)) for prompt, _ in training]
    asked = ["\n\n".join(texts_of(messages)) for messages in questions.messages]
    outputs = copy_nearest(prompts, [expected for _, expected in training], asked)
    measured = measure(outputs, questions.references, None, list(questions.groups), names)
    return Assessed("nearest training prompt", measured, estimates(measured), seconds=time.monotonic() - started)


@task(name="record evaluation", cache_policy=NO_CACHE, persist_result=False)
def record_evaluation(run_id: str, assessed: Assessed, questions: Questions, batches: Sequence[Path]) -> None:
    """Figures with their intervals, and tables of every question, answer and reference, into an MLflow run."""
    log_figures(run_id, assessed.figures)
    numbers = {"inputs": float(len(questions)), "seconds": assessed.seconds}
    if assessed.asking is not None:
        counted = assessed.asking.model_dump(exclude={"failed", "failures", "stopped", "replayed"}, exclude_none=True)
        numbers |= {f"asking.{name}": float(value) for name, value in counted.items()}
        numbers["asking.failed"] = float(sum(assessed.asking.failed.values()))
    log_metrics(run_id, numbers)
    if assessed.vocabulary:
        set_tags(run_id, {VOCABULARY_TAG: assessed.vocabulary})
    log_samples(run_id, questions, batches, assessed.measured)


def log_figures(run_id: str, figures: Mapping[str, Estimate]) -> None:
    """Each metric as `NAME`, `NAME.low` and `NAME.high`."""
    flat = {}
    for name, one in figures.items():
        flat |= {name: one.value, f"{name}.low": one.low, f"{name}.high": one.high}
    log_metrics(run_id, flat)


def repeat_figures(measured: Mapping[str, Measured], repeats: int) -> dict[str, Measured]:
    """pass@k, pass^k and flakiness of every metric that says right or wrong, on the questions answered every time."""
    found: dict[str, Measured] = {}
    for one in measured.values():
        metric = one.metric
        if repeats < 2 or metric.scale != "share" or metric.needs_token_scores or not metric.higher_is_better:
            continue
        if (whole := with_answers(one, repeats)) is not None:
            for made in (pass_at(whole, repeats), pass_all(whole, repeats), flakiness(whole)):
                found[made.metric.name] = made
    return found
