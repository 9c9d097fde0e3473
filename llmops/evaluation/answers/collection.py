"""Collect the answers to some questions: look up what is known, ask the rest, keep every answer as it arrives."""

import time
from collections.abc import Callable, Sequence

from filelock import FileLock

from llmops.errors import InputError, ServiceError
from llmops.evaluation.answers.asking import EVENT_LOOP
from llmops.evaluation.answers.budget import UNLIMITED, Budget, Spending
from llmops.evaluation.answers.collected import Collected, make_report, remove_folder
from llmops.evaluation.answers.fan_out import Asked, Progress, Submit, ask_missing
from llmops.evaluation.answers.plan import (
    Plan,
    asked_elsewhere,
    look_up,
    new_folder,
    remove_abandoned,
    still_asked,
    write_requests,
)
from llmops.evaluation.answers.replay import replay
from llmops.evaluation.answers.sources import EndpointSource, LocalSource, ReplaySource, Source
from llmops.evaluation.answers.store import AnswerStore, model_folder
from llmops.evaluation.questions import Questions
from llmops.llm.catalogue import cost
from llmops.llm.client import open_client
from llmops.llm.completions import Message, Parameters
from llmops.llm.failures import ModelError


def collect(
    store: AnswerStore,
    source: Source,
    questions: Questions,
    messages: Sequence[Sequence[Message]] | None,
    parameters: Parameters,
    submit: Submit,
    *,
    repeats: int = 1,
    budget: Budget = UNLIMITED,
    fresh: bool = False,
    run_id: str = "",
    batch_size: int = 1000,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Collected:
    """Get an answer to each question from the store or from the model.

    Args:
        store: where answers are kept.
        source: who answers.
        questions: what is asked.
        messages: what is sent for each question; where it is None, the question's own messages.
        parameters: how it is asked.
        submit: starts a batch task, which calls `answer_batches` with the plan and the numbers of its batches.
        repeats: how often each question is asked.
        budget: where it stops.
        fresh: ask also what is known; the new answers win from then on.
        run_id: the run that pays, for the records.
        batch_size: requests of one task.
        tell: called a few times a second.

    Raises:
        InputError: the model or the column does not exist; a budget of money for a model without a price.
        ServiceError: the model refuses everything, or does not answer at all; what was answered is kept.
    """
    if repeats < 1:
        raise InputError(f"repeats is {repeats}; a question is asked once or more")
    started = time.monotonic()
    remove_abandoned(store.runs)
    folder, lock = new_folder(store.runs)
    try:
        if isinstance(source, ReplaySource):
            if repeats > 1:
                raise InputError(f"{source.label} has one answer to each question; leave repeats at 1")
            files = replay(source, questions, run_id, folder, batch_size)
            report = make_report(files, len(questions), Spending(cost=None), seconds=time.monotonic() - started)
            return Collected(folder, files, report, lock)
        per_batch = max(1, batch_size // repeats)
        plan = Plan(
            folder=folder,
            store=store.folder,
            model=_identity(source, budget),
            source=source,
            parameters=parameters,
            budget=budget,
            run_id=run_id,
            batches=-(-len(questions) // per_batch),
        )
        write_requests(plan, questions, messages, repeats, per_batch)
        total = len(questions) * repeats
        missing = _register(plan, store, fresh, tell, total)
        asked = ask_missing(plan, missing, total, submit, tell)
        if asked.error is not None:
            raise _said(asked, total - sum(missing) + asked.spending.answered, total) from asked.error
        store.tidy(plan.model)
        files = [plan.answers_file(number) for number in range(plan.batches)]
        report = make_report(
            files,
            total,
            asked.spending,
            seconds=time.monotonic() - started,
            stopped=asked.stopped,
            client=asked.client,
        )
        return Collected(folder, files, report, lock)
    except BaseException:
        remove_folder(folder, lock)
        raise


def _identity(source: EndpointSource | LocalSource, budget: Budget) -> str:
    """What the model's answers are kept under: for an endpoint its name and address."""
    if isinstance(source, LocalSource):
        return source.model

    async def ask_the_client() -> tuple[str, bool]:
        client = open_client(source.name, source.client)
        try:
            return f"{client.name}@{client.endpoint}", cost(client.entry, 1, 1) is not None
        finally:
            await client.close()

    with EVENT_LOOP as portal:
        model, priced = portal.call(ask_the_client)
    if budget.max_cost is not None and not priced:
        raise InputError(
            f"max_cost: the price of {source.name} is not known, so this budget cannot be kept; "
            "give its price in a model catalogue, or set max_tokens instead"
        )
    return model


def _register(plan: Plan, store: AnswerStore, fresh: bool, tell: Callable[[Progress], None], total: int) -> list[int]:
    """Look up what is known, and let others see what will be asked; waits for those who ask some of it already.

    Returns how many requests of each batch are missing.
    """
    while True:
        # One at a time, so that of two that begin together one sees the other.
        with FileLock(store.folder / f".{model_folder(plan.model)}.lock", thread_local=False):
            store.fold_abandoned()
            missing = look_up(plan, store, fresh=fresh)
            other = asked_elsewhere(plan, store.runs)
            if other is None:
                return missing
            plan.missing_file.unlink()
        words = "another command is asking the same questions; waiting for its answers"
        while still_asked(other):
            tell(Progress(0, total, 0, Spending(), words))
            time.sleep(0.2)


def _said(asked: Asked, saved: int, total: int) -> Exception:
    """The error that a person sees; one that is nobody's fault but this program's stays as it is."""
    error = asked.error
    assert error is not None
    kept = f"{saved:,} of {total:,} answers are saved; the same command goes on from there"
    if isinstance(error, ModelError):
        advice = {
            "unauthorized": "check the key, and what it may use",
            "not_found": "check the model's name and the address",
            "quota": "the account has no money or quota left",
        }.get(error.kind, "try again later")
        return ServiceError(f"{asked.label}: {error.message}; {advice}. {kept}")
    if isinstance(error, OSError):
        return ServiceError(f"an answer could not be written ({error}); see to the disk. {kept}")
    return error
