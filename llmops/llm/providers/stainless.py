"""One request through the SDKs of OpenAI and Anthropic, which one generator (Stainless) writes."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from llmops.llm.failures import FailureKind, ModelError
from llmops.llm.providers.addresses import basic_login, without_login
from llmops.llm.providers.http_failures import (
    code_of,
    connection_error,
    deadline,
    json_body,
    malformed,
    status_error,
    words_of,
)

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI


async def post(
    client: "AsyncOpenAI | AsyncAnthropic",
    url: str,
    body: Mapping[str, Any],
    timeout_s: float,
    kind_of_error: Callable[[Mapping[str, Any]], FailureKind | None],
) -> dict[str, Any]:
    """Send a body, return the answer's.

    This is the SDK's way for calls it has no method for: it saves building typed objects from what is read here and
    there, which is a third of the SDK's time a request.

    Args:
        kind_of_error: what the body of an error says beyond its status.

    Raises:
        ModelError: no answer, or one that is not a JSON object.
    """
    import httpx2

    content = json_body(body)
    login = basic_login(url)
    # Its HTTP client would refuse to choose between a login in the address and a key.
    options: Any = {"headers": {"Authorization": login}} if login else {}
    async with deadline(timeout_s):
        try:
            response = await client.post(without_login(url), cast_to=httpx2.Response, content=content, options=options)
        except Exception as error:  # noqa: BLE001 (each SDK has its own classes, with the same names and fields)
            _fail(error, kind_of_error)
    try:
        answer = orjson.loads(response.content)
    except ValueError as error:
        raise malformed("the answer is not JSON", response.text) from error
    if not isinstance(answer, dict):
        raise malformed("the answer is not a JSON object", response.text)
    return answer


def _fail(error: Exception, kind_of_error: Callable[[Mapping[str, Any]], FailureKind | None]) -> NoReturn:
    response = getattr(error, "response", None)
    if response is not None and hasattr(error, "status_code"):
        try:
            body = orjson.loads(response.content)
        except ValueError:
            body = response.text
        kind = kind_of_error(body) if isinstance(body, dict) else None
        raise status_error(response.status_code, words_of(body), response.headers, kind, code_of(body)) from error
    if type(error).__name__ in ("APIConnectionError", "APITimeoutError"):
        # The deadline is ours: what the SDK calls a timeout is a server that closed the connection.
        raise connection_error(error) from error
    if type(error).__module__.partition(".")[0] in ("openai", "anthropic"):
        # No credentials, or they could not be had.
        raise ModelError("unauthorized", str(error)) from error
    raise error
