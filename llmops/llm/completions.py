"""What is asked of a model and what comes back: the one vocabulary of all back ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

Message = Mapping[str, Any]
"""One message of a conversation as OpenAI's Chat Completions writes it: ``{"role": "user", "content": "…"}``."""

Prompt = str | Sequence[Message]
"""What is asked: the text of one user message, or a conversation."""

FinishReason = Literal["stop", "length", "refusal", "tool_calls", "other"]
"""stop: it was done · length: cut at the token limit · refusal: the model or a filter declined"""


class Parameters(BaseModel):
    """How a model is asked; what is left unset is left to the provider.

    Two requests with the same messages, model and parameters are the same request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int | None = Field(default=None, ge=1, description="Longest answer, in tokens.")
    temperature: float | None = Field(default=None, ge=0, description="0 is nearly deterministic.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Share of the probability that is sampled from.")
    seed: int | None = Field(default=None, description="For the providers that take one.")
    stop: tuple[str, ...] = Field(default=(), description="Texts that end the answer.")
    extra: dict[str, Any] = Field(default={}, description="Passed to the provider as it is.")


def as_messages(prompt: Prompt) -> Sequence[Message]:
    """A prompt as a conversation.

    >>> as_messages("When?")
    [{'role': 'user', 'content': 'When?'}]
    """
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def texts_of(prompt: Prompt) -> list[str]:
    """The texts of a prompt's messages."""
    return [str(message.get("content") or "") for message in as_messages(prompt)]


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model.

    Attributes:
        text: what it wrote.
        model: the model that the provider says it used.
        input_tokens: tokens of the request as the provider counts them; None where it does not say.
        output_tokens: tokens of the answer, thinking included.
        cost: in US dollars; None where the price is not known, which is not 0.
        latency_s: seconds from sending the request that succeeded to its last byte.
        finish_reason: why it ended.
        attempts: requests that were sent for it, failed ones included.
    """

    text: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    latency_s: float
    finish_reason: FinishReason
    attempts: int = 1


class ChatModel(Protocol):
    """One model behind one provider's client; one request is one attempt, without retries of its own."""

    @property
    def name(self) -> str:
        """How it is named here, e.g. ``openai/gpt-5-mini``."""
        ...

    @property
    def endpoint(self) -> str:
        """Whom its rate limits belong to: the address that is called, and the model where limits are per model."""
        ...

    async def complete(self, messages: Sequence[Message], parameters: Parameters, timeout_s: float) -> Completion:
        """Ask once.

        Raises:
            ModelError: it did not answer, or not with what an answer must have.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
