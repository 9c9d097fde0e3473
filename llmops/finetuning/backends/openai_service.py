"""A service with OpenAI's API for fine-tuning (OpenAI's own or Azure's), and its failures in our words."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from llmops.finetuning.backends.backend import BackendError
from llmops.llm.providers.http_failures import retry_after_s, words_of

if TYPE_CHECKING:
    from openai import APIError, OpenAI
    from openai.pagination import SyncCursorPage

_Item = TypeVar("_Item")
_OUT_OF_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_LONGEST_WORDS = 400


@dataclass(frozen=True)
class OpenAIService:
    """Where fine-tuning is asked for, and in what the two services differ.

    Attributes:
        name: of the back end, ``openai`` or ``azure``.
        client: the SDK's, which retries single requests by itself.
        endpoint: its address without a login, and the account where that is named.
        key_name: environment variable that holds the key.
        suffix_limit: longest suffix of a model's name.
        keeps_metadata: whether a job carries metadata of ours, by which it is found again.
    """

    name: str
    client: "OpenAI"
    endpoint: str
    key_name: str
    suffix_limit: int
    keeps_metadata: bool

    @property
    def where(self) -> str:
        """The service as messages name it."""
        return f"{self.name} at {self.endpoint}"


def model_suffix(name: str, limit: int) -> str:
    """A registered model's name as part of a fine-tuned model's: the letters, digits, ``-`` and ``_`` of it.

    >>> model_suffix("Support answers (v2)", 64), model_suffix("a-rather-long-model-name", 18)
    ('Support-answers-v2', 'a-rather-long-mode')
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:limit].strip("-_")


@contextmanager
def asking(service: OpenAIService, doing: str) -> Iterator[None]:
    """Turns what the SDK raises inside into a `BackendError` of one line.

    Args:
        doing: what is asked for, as the message says it: ``creating the job``.
    """
    from openai import APIError, OpenAIError

    try:
        yield
    except APIError as error:
        raise _failure(service, doing, error) from error
    # The SDK gives a page that is no JSON as a text, which has no `id` or `data`.
    except (json.JSONDecodeError, AttributeError) as error:
        raise BackendError(f"{service.where} sent a broken answer to {doing}", "unreachable") from error
    except OpenAIError as error:
        raise BackendError(f"{service.where}: {doing}: {_one_line(str(error), service)}", "credentials") from error


def items(first: "SyncCursorPage[_Item]") -> Iterator[_Item]:
    """All items of a list, page by page, until a page brings nothing new.

    Azure does not say of every list whether there is more, nor heeds the cursor for all of them: the SDK's own iterator
    would then go on for ever.
    """
    seen: set[Any] = set()
    for page in first.iter_pages():
        new = [item for item in page.data or [] if getattr(item, "id", None) not in seen]
        if not new:
            return
        yield from new
        seen.update(getattr(item, "id", None) for item in new)


def asked_to_wait_s(error: BackendError) -> float | None:
    """Seconds that a refused request was asked to wait before the next try; None where nothing was said."""
    from openai import APIStatusError

    return retry_after_s(error.__cause__.response.headers) if isinstance(error.__cause__, APIStatusError) else None


def _failure(service: OpenAIService, doing: str, error: "APIError") -> BackendError:
    from openai import APIStatusError

    if not isinstance(error, APIStatusError):
        words = _one_line(str(error.__cause__ or error), service) or "no answer"
        return BackendError(f"{service.where} does not answer to {doing}: {words}", "unreachable")
    status = error.status_code
    words = _one_line(words_of(error.body if error.body is not None else error.message), service)
    said = f"{doing} ({status}: {words})"
    if status == 401:
        # The provider's own words quote a part of the key.
        renew = f"renew {service.key_name} and run the same command again"
        return BackendError(f"{service.where} does not accept the key for {doing} (401): {renew}", "credentials")
    if status == 403:
        allow = f"give the key of {service.key_name} that permission and run the same command again"
        return BackendError(f"{service.where} does not allow {said}: {allow}", "credentials")
    if status == 429 and (error.code in _OUT_OF_MONEY or error.type in _OUT_OF_MONEY):
        pay = "pay in there and run the same command again"
        return BackendError(f"{service.where}: the account has no credit left for {said}: {pay}", "refused")
    if status == 429:
        return BackendError(f"{service.where} takes no more requests now: {said}", "rate limit")
    if status == 408 or status >= 500:
        return BackendError(f"{service.where} fails at {said}", "unreachable")
    return BackendError(f"{service.where} refuses {said}", "missing" if status in (404, 410) else "refused")


def _one_line(text: str, service: OpenAIService) -> str:
    key = service.client.api_key
    hidden = text.replace(key, "…") if key else text
    return " ".join(hidden.split())[:_LONGEST_WORDS]
