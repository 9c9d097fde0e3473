"""What Google's SDK, its credentials and its HTTP sessions raise, as a `BackendError` with one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from llmops.finetuning.backends.backend import BackendError
from llmops.llm.providers.http_failures import words_of

Kind = Literal["credentials", "rate limit", "unreachable", "refused", "missing"]

_TO_DO: dict[Kind, str] = {
    "credentials": "renew the login (gcloud auth application-default login) or check the account's roles",
    "rate limit": "wait, or ask for a higher quota",
    "unreachable": "try again; what was started goes on there",
    "refused": "correct the request",
    "missing": "check the name, the project and the location",
}


def failure_of_status(status: int, words: str, what: str, where: str) -> BackendError:
    """The error of an answer whose HTTP status is not 2xx.

    >>> print(failure_of_status(429, "Quota exceeded.", "the tuning job was not created", "vertex, europe-west4"))
    the tuning job was not created: 429 Quota exceeded (vertex, europe-west4); wait, or ask for a higher quota
    """
    kind: Kind
    if status in (401, 403):
        kind = "credentials"
    elif status == 404:
        kind = "missing"
    elif status == 429:
        kind = "rate limit"
    elif status == 408 or status >= 500:
        kind = "unreachable"
    else:
        kind = "refused"
    return _error(kind, what, f"{status} {words}", where)


@contextmanager
def google_failures(what: str, where: str) -> Iterator[None]:
    """Turns what is raised inside into a `BackendError`.

    Args:
        what: what then has not happened.
        where: provider and region, or the address.
    """
    import google.auth.exceptions
    import httpx2
    import requests
    from google.genai import errors

    try:
        yield
    except errors.APIError as error:
        raise failure_of_status(error.code or 0, str(error.message or words_of(error.details)), what, where) from error
    except (OSError, httpx2.TransportError, requests.RequestException, google.auth.exceptions.TransportError) as error:
        raise _error("unreachable", what, f"no answer ({type(error).__name__})", where) from error
    except google.auth.exceptions.GoogleAuthError as error:
        # The second argument of a RefreshError is the whole answer of the token server.
        raise _error("credentials", what, str(error.args[0] if error.args else error), where) from error
    except (errors.UnknownApiResponseError, ValueError) as error:
        raise _error("unreachable", what, f"the answer cannot be read ({type(error).__name__})", where) from error


def _error(kind: Kind, what: str, words: str, where: str) -> BackendError:
    said = " ".join(words.split())[:300].rstrip(".")
    return BackendError(f"{what}: {said} ({where}); {_TO_DO[kind]}", kind)
