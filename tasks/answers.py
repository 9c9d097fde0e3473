"""Collect a model's answers through Prefect: one task a batch, and one line that says how it gets on."""

import time
from collections.abc import Callable, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from llmops.evaluation.answers import AnswerStore, Budget, Collected, CollectionReport, ReplaySource, Source
from llmops.evaluation.answers.batch_workers import Outcome, answer_batches
from llmops.evaluation.answers.budget import UNLIMITED
from llmops.evaluation.answers.collection import collect
from llmops.evaluation.answers.fan_out import Progress
from llmops.evaluation.answers.plan import Plan
from llmops.evaluation.questions import Questions
from llmops.llm.completions import Message, Parameters
from llmops.settings import settings
from tasks.progress import Stage, stage


def answer_store() -> AnswerStore:
    """The store of this home."""
    return AnswerStore(settings().require_home() / "answers")


def collect_answers(
    source: Source,
    questions: Questions,
    messages: Sequence[Sequence[Message]] | None,
    parameters: Parameters,
    *,
    repeats: int = 1,
    budget: Budget = UNLIMITED,
    fresh: bool = False,
    run_id: str,
    title: str,
    batch_size: int = 1000,
) -> Collected:
    """Get an answer to each question, from the store where it is known and from the model where it is not.

    The batches run as tasks of the flow that calls this. See `llmops.evaluation.answers.collection.collect`.

    Args:
        source: who answers.
        questions: what is asked.
        messages: what is sent for each question; where it is None, the question's own messages.
        parameters: how it is asked.
        repeats: how often each question is asked.
        budget: where it stops.
        fresh: ask also what is known.
        run_id: of the MLflow run that pays.
        title: of the line in the terminal and of the progress artifact.
        batch_size: requests of one task.

    Raises:
        InputError: the model or the column does not exist; a budget of money for a model without a price.
        ServiceError: the model refuses everything, or does not answer at all; what was answered is kept.
    """
    with stage(title) as line:
        collected = collect(
            answer_store(),
            source,
            questions,
            messages,
            parameters,
            ask.submit,
            repeats=repeats,
            budget=budget,
            fresh=fresh,
            run_id=run_id,
            batch_size=batch_size,
            tell=_teller(line),
        )
        replayed = isinstance(source, ReplaySource)
        line.finish(f"{collected.report.reused:,} recorded answers" if replayed else say_report(collected.report))
    return collected


@task(
    name="ask",
    task_run_name=lambda: _run_name(**task_run.get_parameters()),
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ask(plan: Plan, numbers: range) -> Outcome:
    """Ask a model the requests of some batches that nobody has answered yet."""
    return answer_batches(plan, numbers)


def _run_name(plan: Plan, numbers: range) -> str:
    return f"ask {plan.source.label}, batch {numbers.start + 1} of {plan.batches}"


def _teller(line: Stage) -> Callable[[Progress], None]:
    started = time.monotonic()

    def tell(progress: Progress) -> None:
        if progress.waiting:
            line.update(0, None, progress.waiting)
            return
        new = progress.done - progress.reused
        said = [f"{new / (time.monotonic() - started):,.0f} a second"]
        if progress.reused:
            said.append(f"{progress.reused:,} reused")
        if progress.spending.cost:
            said.append(f"${progress.spending.cost:.4f} so far")
        line.update(progress.done, progress.total, " · ".join(said))

    return tell


def say_report(report: CollectionReport) -> str:
    """What came of a collection, in one line.

    >>> say_report(CollectionReport(1200, 300, {"timeout": 2}, 0, 0.25, 9000, 3000, 12.5, None, None))
    '1,200 answers in 12.5 s (96 a second), 300 reused, 2 failed (2 timeout), $0.2500'
    """
    said = [f"{report.answered:,} answers in {report.seconds:.1f} s ({report.answered / report.seconds:,.0f} a second)"]
    if not report.answered:
        said = ["no new answers"]
    if report.reused:
        said.append(f"{report.reused:,} reused")
    if report.failed:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(report.failed.items()))
        said.append(f"{sum(report.failed.values()):,} failed ({kinds})")
    if report.cost:
        said.append(f"${report.cost:.4f}")
    if report.stopped:
        said.append(report.stopped)
    elif report.unasked:
        said.append(f"{report.unasked:,} without an answer")
    return ", ".join(said)
