"""Ask a model many things at once, without losing a question and without overrunning the endpoint."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from llmops.llm.catalogue import CatalogueEntry, cost, find_entry, load_catalogue
from llmops.llm.completions import ChatModel, Completion, Message, Parameters
from llmops.llm.endpoint_gate import EndpointGate, Permit, gate_of
from llmops.llm.failures import FailureKind, ModelError
from llmops.llm.retries import backoff_s


class ClientConfig(BaseModel):
    """How a model is asked many things."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(default=32, ge=1, description="Most requests in flight; fewer where the endpoint refuses.")
    timeout_s: float = Field(default=120, gt=0, description="Seconds a single request may take.")
    max_attempts: int = Field(default=6, ge=1, description="Requests sent for one answer before it is given up.")
    patience_s: float = Field(
        default=300, gt=0, description="Seconds an endpoint that answers nothing is waited for, before all is given up."
    )


@dataclass(frozen=True)
class ClientReport:
    """What a client has done so far.

    Attributes:
        requests: requests sent, retries included. They were answered, failed, are under way or were cancelled.
        answered: requests that were answered.
        retried: how many of the requests were a question sent again.
        failures: how many of the requests failed, by kind; whether or not the question was answered later.
        waited_s: seconds in which nobody might send because the endpoint had asked for a rest, on whoever's account.
        most_in_flight: most of this client's requests under way at once.
        breaker_opened: how often the endpoint was found to be down.
    """

    requests: int
    answered: int
    retried: int
    failures: Mapping[FailureKind, int]
    waited_s: float
    most_in_flight: int
    breaker_opened: int


class ModelClient:
    """One model, asked by any number of coroutines at once.

    It adds to a provider's connection: a bound on the requests in flight that follows the endpoint
    (`adaptive_concurrency`), retries (`retries`), a circuit breaker (`circuit_breaker`) and the cost (`catalogue`).
    Bound and breaker are the endpoint's, shared by all clients of the event loop that talk to it.

    What counts towards ``max_attempts`` is a failure that may be the request's own doing. A 429, and a failure while
    the endpoint is down for others too, are not: such a request is tried again for ``patience_s``.
    """

    def __init__(self, model: ChatModel, config: ClientConfig, entry: CatalogueEntry | None) -> None:
        self._model = model
        self.config = config
        self.entry = entry
        self._gate: EndpointGate | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own_slots = asyncio.Semaphore(config.concurrency)
        self._fatal: ModelError | None = None
        self._requests = 0
        self._answered = 0
        self._retried = 0
        self._failures: Counter[FailureKind] = Counter()
        self._in_flight = 0
        self._most_in_flight = 0
        self._held_before_s = 0.0
        self._opened_before = 0

    @property
    def name(self) -> str:
        """How the model is named here, e.g. ``openai/gpt-5-mini``."""
        return self._model.name

    @property
    def endpoint(self) -> str:
        """Whom the rate limits belong to."""
        return self._model.endpoint

    async def complete(self, messages: Sequence[Message], parameters: Parameters) -> Completion:
        """Ask until there is an answer or no hope of one; the cost is filled in where it is known.

        Raises:
            ModelError: there is no answer; ``attempts`` says how many requests were sent for it. After a fatal one
                (no such model, no valid key, no money) nothing more is sent, and every call fails at once.
        """
        gate = self._join_gate()
        question = _Question(asyncio.get_running_loop().time())
        while True:
            async with self._own_slots:
                permit = await self._enter(gate, question)
                question.attempts += 1
                outcome = await self._send(gate, permit, question, messages, parameters)
            if isinstance(outcome, Completion):
                spent = cost(self.entry, outcome.input_tokens, outcome.output_tokens)
                return replace(outcome, attempts=question.attempts, cost=spent)
            if not self._worth_a_retry(gate, question, outcome):
                outcome.attempts = question.attempts
                raise outcome
            if not outcome.retry_after_s:  # else the gate lets nobody through before that
                await asyncio.sleep(backoff_s(question.attempts))

    def report(self) -> ClientReport:
        """What it has done so far."""
        gate = self._gate
        return ClientReport(
            requests=self._requests,
            answered=self._answered,
            retried=self._retried,
            failures=dict(self._failures),
            waited_s=self._held_before_s + (gate.held_s if gate else 0.0),
            most_in_flight=self._most_in_flight,
            breaker_opened=self._opened_before + (gate.breaker.opened if gate else 0),
        )

    async def close(self) -> None:
        """Close the model's connections."""
        await self._model.close()

    def _join_gate(self) -> EndpointGate:
        loop = asyncio.get_running_loop()
        if self._gate is None or self._loop is not loop:
            if self._gate is not None:
                self._held_before_s += self._gate.held_s
                self._opened_before += self._gate.breaker.opened
                self._own_slots = asyncio.Semaphore(self.config.concurrency)
            self._loop = loop
            self._gate = gate_of(self.endpoint, self.config.concurrency)
            # What the gate went through before belongs to others.
            self._held_before_s -= self._gate.held_s
            self._opened_before -= self._gate.breaker.opened
        return self._gate

    async def _enter(self, gate: EndpointGate, question: "_Question") -> Permit:
        if self._fatal is None:
            try:
                permit = await gate.enter(self.config.patience_s)
            except ModelError as error:
                error.attempts = question.attempts
                raise
            if self._fatal is None:
                return permit
            gate.abandoned(permit)
        raise ModelError(self._fatal.kind, self._fatal.message, attempts=question.attempts)

    async def _send(
        self,
        gate: EndpointGate,
        permit: Permit,
        question: "_Question",
        messages: Sequence[Message],
        parameters: Parameters,
    ) -> Completion | ModelError:
        """One request; a failure is returned, so that it is told to the gate like an answer."""
        self._requests += 1
        self._retried += question.attempts > 1
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        timeout_s = self.config.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                completion = await self._model.complete(messages, parameters, timeout_s)
        except ModelError as error:
            failure = error
        except TimeoutError:
            failure = ModelError("timeout", f"no answer within {timeout_s:g} s")
        except BaseException:
            gate.abandoned(permit)
            raise
        else:
            self._answered += 1
            gate.answered(permit)
            return completion
        finally:
            self._in_flight -= 1
        self._failures[failure.kind] += 1
        if failure.fatal:
            self._fatal = failure
        gate.failed(permit, failure, question)
        return failure

    def _worth_a_retry(self, gate: EndpointGate, question: "_Question", failure: ModelError) -> bool:
        if not failure.transient or gate.answers_nothing(self.config.patience_s):
            return False
        refused = failure.kind == "rate_limited"
        if not refused and not gate.breaker.blames_endpoint:
            question.failures += 1
        if question.failures >= self.config.max_attempts:
            return False
        waited_s = asyncio.get_running_loop().time() - question.asked_at
        return not refused or question.attempts < self.config.max_attempts or waited_s < self.config.patience_s


@dataclass(slots=True, eq=False)
class _Question:
    """What is known of one call: requests sent for it, and those whose failure may be its own doing."""

    asked_at: float
    attempts: int = 0
    failures: int = 0


def open_client(name: str, config: ClientConfig = ClientConfig()) -> ModelClient:
    """A client of the model named ``provider/model``, with its price where the catalogue knows it.

    Raises:
        InputError: there is no such provider, its SDK is not installed, or the catalogue cannot be read.
    """
    from llmops.llm.providers import connect

    return ModelClient(connect(name), config, find_entry(load_catalogue(), name))
