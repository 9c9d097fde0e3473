"""Gemini models, behind Vertex AI or the Gemini API."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmops.errors import InputError
from llmops.llm.completions import Completion, FinishReason, Message, Parameters
from llmops.llm.failures import FailureKind, ModelError
from llmops.llm.providers.addresses import without_login
from llmops.llm.providers.conversation import Part, ToolCall, ToolResult, calls_as_text, conversation_of
from llmops.llm.providers.http_failures import connection_error, count, deadline, malformed, retry_after_s, status_error

if TYPE_CHECKING:
    from google.genai import Client, errors, types

_FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "refusal",
    "RECITATION": "refusal",
    "BLOCKLIST": "refusal",
    "PROHIBITED_CONTENT": "refusal",
    "SPII": "refusal",
    "MODEL_ARMOR": "refusal",
}


class GoogleModel:
    """A model behind ``generateContent``.

    Args:
        name: what it is called here.
    """

    def __init__(self, client: "Client", model: str, name: str, address: str) -> None:
        self.name = name
        self.endpoint = f"{without_login(address).rstrip('/')}#{model}"
        self._client = client
        self._model = model

    async def complete(self, messages: Sequence[Message], parameters: Parameters, timeout_s: float) -> Completion:
        """Ask once, see `ChatModel.complete`."""
        from google.genai import errors, types
        from pydantic import ValidationError

        conversation = conversation_of(messages)
        contents = [
            types.Content(
                role="model" if turn.role == "assistant" else "user", parts=[_part(part) for part in turn.parts]
            )
            for turn in conversation.turns
        ]
        try:
            config = types.GenerateContentConfig(
                **{**_options(parameters), "system_instruction": conversation.system, **parameters.extra}
            )
        except ValidationError as error:
            raise ModelError("rejected", f"{self.name} knows no such parameters: {error}") from error
        started = time.perf_counter()
        async with deadline(timeout_s):
            try:
                answer = await self._client.aio.models.generate_content(
                    model=self._model, contents=contents, config=config
                )
            except errors.APIError as error:
                raise _status_error(error) from error
            except Exception as error:
                failure = _other_error(error)
                if failure is None:
                    raise
                raise failure from error
        return _completion(answer, self._model, time.perf_counter() - started)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aio.aclose()


def _options(parameters: Parameters) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_output_tokens": parameters.max_tokens,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "seed": parameters.seed,
        "stop_sequences": list(parameters.stop) or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _part(part: Part) -> "types.Part":
    from google.genai import types

    if isinstance(part, ToolCall):
        return types.Part.from_function_call(name=part.name, args=part.arguments)
    if isinstance(part, ToolResult):
        return types.Part.from_function_response(name=part.name, response={"result": part.text})
    return types.Part.from_text(text=part)


def _completion(answer: "types.GenerateContentResponse", model: str, latency_s: float) -> Completion:
    candidate = answer.candidates[0] if answer.candidates else None
    blocked = answer.prompt_feedback is not None and answer.prompt_feedback.block_reason is not None
    parts = (candidate.content.parts if candidate and candidate.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    calls = [(part.function_call.name or "", part.function_call.args) for part in parts if part.function_call]
    said = candidate.finish_reason.value if candidate and candidate.finish_reason else ""
    reason = "refusal" if blocked else _FINISH_REASONS.get(said, "other")
    if calls:
        reason, text = "tool_calls", text or calls_as_text(calls)
    elif not text and not any(part.text == "" for part in parts) and reason not in ("length", "refusal"):
        raise malformed(
            f"the answer has no text (finish reason {said or 'none'})", answer.model_dump(exclude_none=True)
        )
    usage = answer.usage_metadata
    return Completion(
        text=text,
        model=answer.model_version or model,
        input_tokens=_sum(usage.prompt_token_count, usage.tool_use_prompt_token_count) if usage else None,
        output_tokens=_sum(usage.candidates_token_count, usage.thoughts_token_count) if usage else None,
        cost=None,
        latency_s=latency_s,
        finish_reason=reason,
    )


def _sum(first: int | None, second: int | None) -> int | None:
    given = [number for number in (count(first), count(second)) if number is not None]
    return sum(given) if given else None


def _status_error(error: "errors.APIError") -> ModelError:
    message = str(error.message or error.details)
    kind: FailureKind | None = None
    if "API key not valid" in message or "API_KEY_INVALID" in str(error.details):
        kind = "unauthorized"
    headers = dict(getattr(error.response, "headers", None) or {})
    failed = status_error(error.code or 0, message, headers, kind)
    if retry_after_s(headers) is None:
        failed.retry_after_s = _retry_delay_s(error.details)
    return failed


def _retry_delay_s(details: Any) -> float | None:
    """Seconds of the ``google.rpc.RetryInfo`` among an error's details: ``"retryDelay": "34s"``."""
    error = details.get("error", details) if isinstance(details, Mapping) else {}
    for detail in (error.get("details") if isinstance(error, Mapping) else None) or ():
        delay = (
            re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay"))) if isinstance(detail, Mapping) else None
        )
        if delay:
            return float(delay.group(1))
    return None


def _other_error(error: Exception) -> ModelError | None:
    import google.auth.exceptions
    import httpx2

    failures: tuple[type[Exception], ...] = (OSError, httpx2.TransportError, google.auth.exceptions.TransportError)
    try:
        import aiohttp

        failures = (*failures, aiohttp.ClientError)
    except ImportError:
        pass
    if isinstance(error, google.auth.exceptions.GoogleAuthError) and not isinstance(error, failures):
        return ModelError("unauthorized", str(error))
    if isinstance(error, failures) and not isinstance(error, TimeoutError):
        return connection_error(error)
    if isinstance(error, ValueError):
        # What is not JSON, or not the JSON of an answer (pydantic's errors are ValueErrors too).
        return malformed("the answer cannot be read", error)
    return None


def connect_gemini(model: str) -> GoogleModel:
    """A model of the Gemini API: ``GEMINI_API_KEY`` or ``GOOGLE_API_KEY``, ``GOOGLE_GEMINI_BASE_URL``.

    Raises:
        InputError: no key.
    """
    return _connect("gemini", model, vertexai=False, needs="GEMINI_API_KEY")


def connect_vertex(model: str) -> GoogleModel:
    """A model of Vertex AI: ``GOOGLE_CLOUD_PROJECT``, ``GOOGLE_CLOUD_LOCATION``, ``GOOGLE_VERTEX_BASE_URL``.

    A tuned model is the resource name of its endpoint, ``projects/…/locations/…/endpoints/…``. Google's default
    credentials are used (``GOOGLE_APPLICATION_CREDENTIALS``, or ``gcloud auth application-default login``), or
    ``GOOGLE_API_KEY`` where no project is named.

    Raises:
        InputError: no project, or no credentials.
    """
    return _connect("vertex", model, vertexai=True, needs="GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION")


def _connect(provider: str, model: str, vertexai: bool, needs: str) -> GoogleModel:
    import google.auth.exceptions
    from google.genai import Client, types

    project, location = os.environ.get("GOOGLE_CLOUD_PROJECT"), os.environ.get("GOOGLE_CLOUD_LOCATION")
    if vertexai and (resource := re.match(r"projects/([^/]+)/locations/([^/]+)/", model)):
        # The endpoint of a tuned model answers where it is, whatever the environment says.
        project, location = resource.groups()
    # With no attempts said, the SDK sends a request again when its connection fails.
    options = types.HttpOptions(retry_options=types.HttpRetryOptions(attempts=1))
    try:
        if vertexai and project:
            # Said here because the SDK drops both from the environment where an address is set.
            location = location or "global"
            client = Client(vertexai=True, project=project, location=location, http_options=options)
        else:
            client = Client(vertexai=vertexai, http_options=options)
    except (ValueError, google.auth.exceptions.GoogleAuthError) as error:
        message = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"{provider}/{model}: {message}: set {needs}") from error
    if not vertexai:
        address = os.environ.get("GOOGLE_GEMINI_BASE_URL") or "https://generativelanguage.googleapis.com"
    else:
        address = os.environ.get("GOOGLE_VERTEX_BASE_URL") or "https://aiplatform.googleapis.com"
        if project:
            address = f"{address.rstrip('/')}/projects/{project}/locations/{location}"
    return GoogleModel(client, model, f"{provider}/{model}", address)
