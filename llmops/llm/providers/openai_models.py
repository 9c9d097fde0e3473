"""Models behind OpenAI's Chat Completions API: OpenAI's own, Azure's, and every compatible server's."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmops.errors import InputError
from llmops.llm.completions import Completion, FinishReason, Message, Parameters
from llmops.llm.failures import FailureKind, ModelError
from llmops.llm.providers import stainless
from llmops.llm.providers.addresses import without_login
from llmops.llm.providers.conversation import calls_as_text
from llmops.llm.providers.direct_post import DirectPost
from llmops.llm.providers.http_failures import count, malformed

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_OUT_OF_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
# Sent where a server asks for no key, as the SDK wants one.
_NO_KEY = "none"


class OpenAIModel:
    """A model behind Chat Completions.

    Args:
        model: its name at the server; for Azure the deployment.
        name: what it is called here.
        limit_name: how the longest answer is called: OpenAI's reasoning models know only ``max_completion_tokens``,
            many compatible servers only ``max_tokens``.
        limits_per_model: whether each model at this address has limits of its own.
        direct: whether the key is the same for every request, so that the SDK need not be asked each time.
    """

    def __init__(
        self,
        client: "AsyncOpenAI",
        model: str,
        name: str,
        limit_name: str,
        limits_per_model: bool,
        direct: bool,
    ) -> None:
        base = str(client.base_url).rstrip("/")
        self.name = name
        shown = without_login(base)
        self.endpoint = f"{shown}#{model}" if limits_per_model else shown
        self._client = client
        self._model = model
        self._limit_name = limit_name
        # The whole address: the SDK does not have to join one for each request.
        self._url = f"{base}/chat/completions"
        self._direct = DirectPost(self._url, {**client.default_headers, **client.auth_headers}) if direct else None

    async def complete(self, messages: Sequence[Message], parameters: Parameters, timeout_s: float) -> Completion:
        """Ask once, see `ChatModel.complete`."""
        body = {"model": self._model, "messages": messages, **self._options(parameters)}
        started = time.perf_counter()
        try:
            if self._direct is not None:
                answer = await self._direct.send(body, timeout_s, _kind_of_error)
            else:
                answer = await stainless.post(self._client, self._url, body, timeout_s, _kind_of_error)
        except ModelError as error:
            # The filter of Azure, or of a gateway, refused the request: an answer like any other refusal.
            if error.code != "content_filter":
                raise
            return Completion("", self._model, None, None, None, time.perf_counter() - started, "refusal")
        return _completion(answer, self._model, time.perf_counter() - started)

    async def close(self) -> None:
        """Close its connections."""
        if self._direct is not None:
            await self._direct.close()
        await self._client.close()

    def _options(self, parameters: Parameters) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if parameters.max_tokens is not None:
            options[self._limit_name] = parameters.max_tokens
        for name in ("temperature", "top_p", "seed"):
            if (value := getattr(parameters, name)) is not None:
                options[name] = value
        if parameters.stop:
            options["stop"] = list(parameters.stop)
        return {**options, **parameters.extra}


def _kind_of_error(body: Mapping[str, Any]) -> FailureKind | None:
    error = body.get("error")
    out_of_money = isinstance(error, Mapping) and any(error.get(field) in _OUT_OF_MONEY for field in ("code", "type"))
    return "quota" if out_of_money else None


def _completion(answer: dict[str, Any], model: str, latency_s: float) -> Completion:
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text, refusal, calls = message.get("content"), message.get("refusal"), message.get("tool_calls")
        reason = _FINISH_REASONS.get(choice.get("finish_reason"), "other")
        if refusal and not text:
            text, reason = str(refusal), "refusal"
        elif calls and not text:
            text = calls_as_text((call["function"]["name"], call["function"]["arguments"]) for call in calls)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise malformed("the answer has no message", answer) from error
    if text is None and reason not in ("length", "refusal"):
        raise malformed("the answer has no content", answer)
    if text is not None and not isinstance(text, str):
        raise malformed("the answer's content is not a text", answer)
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Completion(
        text=text or "",
        model=str(answer.get("model") or model),
        input_tokens=count(usage.get("prompt_tokens")),
        output_tokens=count(usage.get("completion_tokens")),
        cost=None,
        latency_s=latency_s,
        finish_reason=reason,
    )


def connect_openai(model: str) -> OpenAIModel:
    """A model of OpenAI, or of the compatible server at ``OPENAI_BASE_URL``, which may need no key.

    Raises:
        InputError: no key for OpenAI's own address.
    """
    from openai import AsyncOpenAI, DefaultAioHttpClient, OpenAIError

    address = os.environ.get("OPENAI_BASE_URL")
    own = address is None or _is_openais(address)
    key = None if own or os.environ.get("OPENAI_API_KEY") else _NO_KEY
    try:
        client = AsyncOpenAI(api_key=key, max_retries=0, timeout=None, http_client=DefaultAioHttpClient())
    except OpenAIError as error:
        raise InputError(f"openai/{model}: {_line(error)}: set OPENAI_API_KEY, or OPENAI_BASE_URL") from error
    return OpenAIModel(
        client,
        model,
        name=f"openai/{model}",
        limit_name="max_completion_tokens" if own else "max_tokens",
        limits_per_model=own,
        direct=True,
    )


AZURE_UNDATED = ("v1", "preview", "latest")
"""Values of ``OPENAI_API_VERSION`` that mean Azure's newer API instead of a dated one."""


def connect_azure(deployment: str) -> OpenAIModel:
    """A deployment of Azure OpenAI: ``AZURE_OPENAI_ENDPOINT``, ``AZURE_OPENAI_API_KEY``, ``OPENAI_API_VERSION``.

    The version is a date, or ``v1`` or ``preview`` of the newer API, whose address holds no deployment.

    Raises:
        InputError: one of them is missing.
    """
    from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAioHttpClient, OpenAIError

    address = os.environ.get("AZURE_OPENAI_ENDPOINT")
    if not address:
        raise InputError(f"azure/{deployment}: no address: set AZURE_OPENAI_ENDPOINT")
    undated = os.environ.get("OPENAI_API_VERSION") in AZURE_UNDATED
    client: AsyncOpenAI
    try:
        if undated:
            client = AsyncOpenAI(
                base_url=f"{address.rstrip('/')}/openai/v1",
                api_key=os.environ.get("AZURE_OPENAI_API_KEY"),
                default_query={"api-version": os.environ["OPENAI_API_VERSION"]},
                max_retries=0,
                timeout=None,
                http_client=DefaultAioHttpClient(),
            )
        else:
            client = AsyncAzureOpenAI(
                azure_endpoint=address,
                azure_deployment=deployment,
                max_retries=0,
                timeout=None,
                http_client=DefaultAioHttpClient(),
            )
    except (OpenAIError, ValueError) as error:
        raise InputError(
            f"azure/{deployment}: {_line(error)}: set AZURE_OPENAI_API_KEY and OPENAI_API_VERSION"
        ) from error
    # The client's address holds the deployment, to which Azure's limits belong.
    return OpenAIModel(
        client,
        deployment,
        name=f"azure/{deployment}",
        limit_name="max_completion_tokens",
        limits_per_model=undated,
        direct=False,
    )


def _is_openais(address: str) -> bool:
    from urllib.parse import urlsplit

    host = urlsplit(address).hostname or ""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".:")
