"""Endpoints of Vertex AI, which Google's SDK does not know, by their REST API.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmops.finetuning.backends.backend import BackendError
from llmops.finetuning.backends.google_failures import failure_of_status, google_failures
from llmops.llm.providers.http_failures import words_of

if TYPE_CHECKING:
    import requests

_LONGEST_S = 300.0  # that an undeployment or deletion may take
_Ask = Callable[..., dict[str, Any] | None]


def delete_endpoint(session: "requests.Session", address: str, endpoint: str, where: str) -> None:
    """Undeploy what an endpoint serves, and delete it; one that is gone already is left.

    Args:
        session: with Google's credentials.
        address: of the service.
        endpoint: its resource name.
        where: for messages.

    Raises:
        BackendError: Vertex AI refuses, does not answer, or does not come to an end in five minutes.
    """

    def ask(method: str, resource: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        return _ask(session, f"{address}/v1/{resource}", method, f"{method} {resource} failed", where, body)

    told = ask("GET", endpoint)
    if told is None:
        return
    for deployed in told.get("deployedModels", ()):
        _finish(ask, ask("POST", f"{endpoint}:undeployModel", {"deployedModelId": deployed["id"]}), where)
    _finish(ask, ask("DELETE", endpoint), where)


def _ask(
    session: "requests.Session", address: str, method: str, what: str, where: str, body: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The answer's JSON; None where the resource is missing."""
    with google_failures(what, where):
        answer = session.request(method, address, json=body, timeout=60)
        told = answer.json() if answer.content else {}
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        raise failure_of_status(answer.status_code, words_of(told), what, where)
    return dict(told)


def _finish(ask: _Ask, operation: dict[str, Any] | None, where: str) -> None:
    """Wait for the end of a long-running operation."""
    pause, until = 0.2, time.monotonic() + _LONGEST_S
    while operation is not None and not operation.get("done"):
        if time.monotonic() > until:
            raise BackendError(f"{operation['name']} does not end ({where}); try again later", "unreachable")
        time.sleep(pause)
        pause = min(2 * pause, 10.0)
        operation = ask("GET", operation["name"])
    if operation is not None and "error" in operation:
        raise BackendError(f"{operation['name']} failed: {words_of(operation)} ({where}); try again", "refused")
