"""Statuses, headers and exceptions of HTTP as a `ModelError`, the body of a request, and its deadline."""

import asyncio
import email.utils
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from llmops.llm.failures import FailureKind, ModelError

_KINDS: dict[int, FailureKind] = {
    401: "unauthorized",
    402: "quota",
    403: "unauthorized",
    404: "not_found",
    408: "timeout",
    # A lock that was not had in time, a model that is still being loaded.
    409: "server",
    425: "server",
    429: "rate_limited",
    503: "overloaded",
    # Anthropic's
    529: "overloaded",
}


def kind_of(status: int) -> FailureKind:
    """What an HTTP status other than 2xx says.

    >>> kind_of(429), kind_of(529), kind_of(502), kind_of(422)
    ('rate_limited', 'overloaded', 'server', 'rejected')
    """
    if status in _KINDS:
        return _KINDS[status]
    return "server" if status >= 500 else "rejected" if status >= 400 else "malformed"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as a response's headers ask: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date.

    >>> retry_after_s({"retry-after": "7"}), retry_after_s({"retry-after-ms": "250"}), retry_after_s({})
    (7.0, 0.25, None)
    """
    lower = {name.lower(): value for name, value in headers.items() if name.lower().startswith("retry-after")}
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(lower[name]) / scale
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    moment = email.utils.parsedate_tz(lower.get("retry-after", ""))
    return None if moment is None else max(0.0, email.utils.mktime_tz(moment) - time.time())


def status_error(
    status: int,
    message: str,
    headers: Mapping[str, str],
    kind: FailureKind | None = None,
    code: str | None = None,
) -> ModelError:
    """The error of an answer whose status is not 2xx.

    Args:
        kind: where the provider's own code says more than the status.
        code: that code.
    """
    return ModelError(kind or kind_of(status), f"{status}: {message}", retry_after_s(headers), code=code)


def connection_error(error: BaseException) -> ModelError:
    """The error of a request that ended without a whole answer: the words of its first cause say the most."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return ModelError("connection", f"{type(cause).__name__}: {cause or error}")


def words_of(body: object) -> str:
    """The provider's words in the body of an error, whose form differs.

    >>> words_of({"error": {"message": "no such model", "code": 404}}), words_of({"error": "busy"}), words_of("<html>")
    ('no such model', 'busy', '<html>')
    """
    if isinstance(body, Mapping):
        for field in ("error", "message", "Message", "detail"):
            if body.get(field):
                return words_of(body[field])
    return str(body)[:500]


def code_of(body: object) -> str | None:
    """The provider's own name for an error in its body, where it has one.

    >>> code_of({"error": {"code": "content_filter"}}), code_of({"error": {"code": 404}}), code_of("<html>")
    ('content_filter', None, None)
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, str) else None


def json_body(body: Mapping[str, Any]) -> bytes:
    """A request's body as JSON.

    Raises:
        ModelError: of the kind rejected, where it holds what JSON cannot.
    """
    try:
        return orjson.dumps(body, default=dict)
    except TypeError as error:
        raise ModelError("rejected", f"the request cannot be written as JSON: {error}") from error


def malformed(what: str, body: object) -> ModelError:
    """The error of an answer that lacks what an answer must have."""
    return ModelError("malformed", f"{what}: {str(body)[:300]}")


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Ends what is inside when the time is over, connection and all; a cancellation from outside passes through.

    Raises:
        ModelError: of the kind timeout.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise ModelError("timeout", f"no answer within {seconds:g} s") from error


def count(value: Any) -> int | None:
    """A number of tokens as a provider's answer says it; None where it does not."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
