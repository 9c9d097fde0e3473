"""Models of an Ollama server."""

import inspect
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmops.errors import InputError
from llmops.llm.completions import Completion, FinishReason, Message, Parameters
from llmops.llm.failures import ModelError
from llmops.llm.providers.conversation import calls_as_text, text_of, tool_calls_of
from llmops.llm.providers.http_failures import connection_error, count, deadline, malformed, status_error, words_of

if TYPE_CHECKING:
    from ollama import AsyncClient, ChatResponse

_FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class OllamaModel:
    """A model behind ``/api/chat``."""

    def __init__(self, client: "AsyncClient", model: str, address: str) -> None:
        self.name = f"ollama/{model}"
        self.endpoint = address.rstrip("/")
        self._client = client
        self._model = model
        self._fields = frozenset(inspect.signature(client.chat).parameters) - {"model", "messages", "stream"}

    async def complete(self, messages: Sequence[Message], parameters: Parameters, timeout_s: float) -> Completion:
        """Ask once, see `ChatModel.complete`."""
        import httpx
        import ollama
        from pydantic import ValidationError

        request = self._request(messages, parameters)
        started = time.perf_counter()
        async with deadline(timeout_s):
            try:
                answer = await self._client.chat(**request)
            except ollama.ResponseError as error:
                # The SDK keeps the status, and what it read it from only as the context.
                response = getattr(error.__context__, "response", None)
                headers = {} if response is None else response.headers
                raise status_error(error.status_code, words_of(error.error), headers) from error
            except (ConnectionError, httpx.TransportError) as error:
                raise connection_error(error) from error
            except (ValidationError, ValueError, TypeError) as error:
                raise malformed("the answer cannot be read", error) from error
        return _completion(answer, self._model, time.perf_counter() - started)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    def _request(self, messages: Sequence[Message], parameters: Parameters) -> dict[str, Any]:
        options = {
            "num_predict": parameters.max_tokens,
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "seed": parameters.seed,
            "stop": list(parameters.stop) or None,
        }
        # Arguments of the SDK's call by name; anything else is an option of the model.
        extra = {name: value for name, value in parameters.extra.items() if name in self._fields}
        other = {name: value for name, value in parameters.extra.items() if name not in self._fields}
        given = {name: value for name, value in options.items() if value is not None}
        sent = {**given, **other, **extra.pop("options", {})}
        return {"model": self._model, "messages": _messages(messages), "options": sent or None, **extra}


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as Ollama writes them: texts, a tool's name, arguments as objects."""
    sent: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for number, message in enumerate(messages, start=1):
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            raise ModelError("rejected", f"message {number} cannot be sent: its role is {role!r}")
        one: dict[str, Any] = {"role": "system" if role == "developer" else role, "content": text_of(message, number)}
        if calls := tool_calls_of(message, number):
            names.update({call.id: call.name for call in calls})
            one["tool_calls"] = [{"function": {"name": call.name, "arguments": call.arguments}} for call in calls]
        if role == "tool":
            called = str(message.get("tool_call_id", ""))
            one["tool_name"] = str(message.get("name") or names.get(called, called))
        sent.append(one)
    return sent


def _completion(answer: "ChatResponse", model: str, latency_s: float) -> Completion:
    calls = [(call.function.name, dict(call.function.arguments)) for call in answer.message.tool_calls or ()]
    text = answer.message.content
    reason = _FINISH_REASONS.get(answer.done_reason or "", "other")
    if calls:
        reason, text = "tool_calls", text or calls_as_text(calls)
    if text is None or not answer.done:
        raise malformed("the answer has no content, or is not done", answer.model_dump(exclude_none=True))
    return Completion(
        text=text,
        model=answer.model or model,
        input_tokens=count(answer.prompt_eval_count),
        output_tokens=count(answer.eval_count),
        cost=None,
        latency_s=latency_s,
        finish_reason=reason,
    )


def connect_ollama(model: str) -> OllamaModel:
    """A model of the Ollama server at ``OLLAMA_HOST``, or on this machine.

    Raises:
        InputError: the address cannot be used.
    """
    import httpx
    from ollama import AsyncClient

    try:
        # httpx has a limit of 100 connections, which would queue what our own limit lets through.
        client = AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))
    except (ValueError, httpx.InvalidURL) as error:
        raise InputError(f"ollama/{model}: {error}: see OLLAMA_HOST") from error
    return OllamaModel(client, model, str(client._client.base_url))
