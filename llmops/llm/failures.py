"""Why a model did not answer, in the same few kinds for every provider."""

from typing import Literal

from llmops.errors import LlmopsError, ServiceError

FailureKind = Literal[
    "rate_limited",  # 429: too many requests or tokens, try later
    "overloaded",  # 503, 529: the provider has too much to do
    "server",  # another 5xx
    "timeout",
    "connection",  # refused, reset, or cut in the middle of the answer
    "malformed",  # an answer that cannot be read
    "rejected",  # 400, 413, 422: this request will never be answered, another one may be
    "unauthorized",  # 401, 403: no request will be answered
    "not_found",  # 404: there is no such model or address
    "quota",  # the account has no money left: no request will be answered
]

TRANSIENT: frozenset[FailureKind] = frozenset(
    ("rate_limited", "overloaded", "server", "timeout", "connection", "malformed")
)
FATAL: frozenset[FailureKind] = frozenset(("unauthorized", "not_found", "quota"))


class ModelError(LlmopsError):
    """One request that was not answered.

    Attributes:
        kind: why.
        message: the provider's words, in one line.
        retry_after_s: seconds the provider asks to wait before the next request, if it says so.
        attempts: requests that were sent, this one included.
        code: the provider's own name for it, such as ``content_filter``, where its answer has one.
    """

    exit_status = ServiceError.exit_status

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        retry_after_s: float | None = None,
        attempts: int = 1,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = " ".join(message.split())
        self.retry_after_s = retry_after_s
        self.attempts = attempts
        self.code = code

    @property
    def transient(self) -> bool:
        """Whether the same request may be answered later."""
        return self.kind in TRANSIENT

    @property
    def fatal(self) -> bool:
        """Whether no other request to this model will be answered either."""
        return self.kind in FATAL
