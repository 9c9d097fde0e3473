"""Anthropic's models behind the Messages API."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmops.errors import InputError
from llmops.llm.completions import Completion, FinishReason, Message, Parameters
from llmops.llm.failures import FailureKind
from llmops.llm.providers import stainless
from llmops.llm.providers.addresses import without_login
from llmops.llm.providers.conversation import Part, ToolCall, ToolResult, calls_as_text, conversation_of
from llmops.llm.providers.http_failures import count, malformed

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
# The API wants a limit; no current model has a smaller one.
DEFAULT_MAX_TOKENS = 4096


class AnthropicModel:
    """A model behind the Messages API."""

    def __init__(self, client: "AsyncAnthropic", model: str) -> None:
        base = str(client.base_url).rstrip("/")
        self.name = f"anthropic/{model}"
        self.endpoint = f"{without_login(base)}#{model}"
        self._client = client
        self._model = model
        self._url = f"{base}/v1/messages"

    async def complete(self, messages: Sequence[Message], parameters: Parameters, timeout_s: float) -> Completion:
        """Ask once, see `ChatModel.complete`."""
        body = _body(self._model, messages, parameters)
        started = time.perf_counter()
        answer = await stainless.post(self._client, self._url, body, timeout_s, _kind_of_error)
        return _completion(answer, self._model, time.perf_counter() - started)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


def _body(model: str, messages: Sequence[Message], parameters: Parameters) -> dict[str, Any]:
    conversation = conversation_of(messages)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": parameters.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": [
            {"role": turn.role, "content": [_block(part) for part in turn.parts]} for turn in conversation.turns
        ],
    }
    if conversation.system is not None:
        body["system"] = conversation.system
    for name in ("temperature", "top_p"):
        if (value := getattr(parameters, name)) is not None:
            body[name] = value
    if parameters.stop:
        body["stop_sequences"] = list(parameters.stop)
    return {**body, **parameters.extra}


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
    if isinstance(part, ToolResult):
        return {"type": "tool_result", "tool_use_id": part.id, "content": part.text}
    return {"type": "text", "text": part}


def _kind_of_error(body: Mapping[str, Any]) -> FailureKind | None:
    error = body.get("error")
    if isinstance(error, Mapping):
        if error.get("type") == "billing_error" or "credit balance is too low" in str(error.get("message")):
            return "quota"
        if error.get("type") == "overloaded_error":
            return "overloaded"
    return None


def _completion(answer: dict[str, Any], model: str, latency_s: float) -> Completion:
    try:
        texts = [block["text"] for block in answer["content"] if block["type"] == "text"]
        calls = [(block["name"], block["input"]) for block in answer["content"] if block["type"] == "tool_use"]
        text = "".join(texts)
    except (KeyError, TypeError) as error:
        raise malformed("the answer has no content", answer) from error
    usage = answer.get("usage")
    return Completion(
        text=calls_as_text(calls) if calls and not text else text,
        model=str(answer.get("model") or model),
        input_tokens=_input_tokens(usage) if isinstance(usage, dict) else None,
        output_tokens=count(usage.get("output_tokens")) if isinstance(usage, dict) else None,
        cost=None,
        latency_s=latency_s,
        finish_reason=_FINISH_REASONS.get(str(answer.get("stop_reason")), "other"),
    )


def _input_tokens(usage: Mapping[str, Any]) -> int | None:
    # `input_tokens` leaves out what came from the prompt cache or went into it.
    parts = [
        count(usage.get(name)) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    ]
    return None if parts[0] is None else sum(part or 0 for part in parts)


def connect_anthropic(model: str) -> AnthropicModel:
    """A model of Anthropic: ``ANTHROPIC_API_KEY`` (or another of the SDK's credentials), ``ANTHROPIC_BASE_URL``.

    Raises:
        InputError: the SDK's settings cannot be used.
    """
    from anthropic import AnthropicError, AsyncAnthropic, DefaultAioHttpClient

    try:
        client = AsyncAnthropic(max_retries=0, timeout=None, http_client=DefaultAioHttpClient())
    except AnthropicError as error:
        raise InputError(f"anthropic/{model}: {error}") from error
    if not (client.api_key or client.auth_token or client.credentials):
        raise InputError(f"anthropic/{model}: no API key: set ANTHROPIC_API_KEY")
    return AnthropicModel(client, model)
