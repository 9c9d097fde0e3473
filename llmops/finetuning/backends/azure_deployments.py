"""Deployments of an Azure OpenAI resource, through Azure's management API.

https://learn.microsoft.com/azure/ai-foundry/openai/how-to/fine-tuning-deploy
https://learn.microsoft.com/rest/api/aiservices/accountmanagement/deployments
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from llmops.errors import InputError
from llmops.finetuning.backends.backend import BackendError, Waiting
from llmops.finetuning.backends.polling import UNKNOWN_LOOKS
from llmops.finetuning.backends.settings import AzureSettings
from llmops.finetuning.backends.unbroken_requests import unbroken
from llmops.llm.providers.http_failures import retry_after_s, words_of

API_VERSION = "2024-10-01"
_PUBLIC_CLOUD = "https://management.azure.com"
_TIMEOUT_S = 60.0
_CHECK_PATIENCE_S = 10.0
_LONGEST_PAUSE_S = 120.0
_GROWTH = 1.5
# The first label of such a host is the resource's name.
_RESOURCE_HOSTS = (".azure.com", ".azure.us", ".azure.cn")
_FAILED = ("Failed", "Canceled", "Disabled")
_DELETING = "Deleting"


@dataclass(frozen=True)
class AzureDeployments:
    """The deployments of one resource.

    Attributes:
        account: address of the resource in the management API.
        token: gives a bearer token that is good now.
        waiting: how long and how often a deployment is looked at.
    """

    account: str
    token: Callable[[], str]
    waiting: Waiting

    def check(self) -> None:
        """Whether the resource is there and the token may see it: better known before a training is paid for.

        Raises:
            BackendError: it may not, there is no such resource, or no answer.
        """
        if self._send("GET", "", None, patience_s=_CHECK_PATIENCE_S) is None:
            named = "look at job.azure.subscription, resource_group and account"
            raise BackendError(f"{self._where} has no resource {urlsplit(self.account).path}: {named}", "missing")

    def region(self) -> str | None:
        """Where the resource is, as Azure calls it (``swedencentral``)."""
        location = (self._send("GET", "", None) or {}).get("location")
        return str(location) if location else None

    def serve(self, name: str, model: str, sku: str, capacity: int) -> None:
        """Have a deployment of that name serve the model, and wait until it does; the same again changes nothing.

        One of another kind or capacity is changed, one that is being deleted is made anew.

        Raises:
            BackendError: the name serves another model, or the deployment was refused, failed or was deleted meanwhile.
        """
        found = self._get(name)
        if found is not None and _state(found) == _DELETING:
            self._wait_until_gone(name)
            found = None
        if found is not None and (other := _model_of(found)) != model:
            choose = "undeploy that first, or choose another name"
            raise BackendError(f"the Azure deployment {name} serves {other}, not {model}: {choose}", "refused")
        if found is None or _state(found) in _FAILED or _scaled_otherwise(found, sku, capacity):
            self._send("PUT", _path(name), {
                "sku": {"name": sku, "capacity": capacity},
                "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
            })  # fmt: skip
        self._wait_until_it_serves(name)

    def remove(self, name: str, model: str) -> None:
        """Take the deployment of a model down and wait until it is gone; one that serves another model is left."""
        found = self._get(name)
        if found is None or _model_of(found) not in (model, ""):
            return
        if _state(found) != _DELETING:
            self._send("DELETE", _path(name), None)
        self._wait_until_gone(name)

    def _wait_until_it_serves(self, name: str) -> None:
        missing = 0
        for found in self._looks(name, "is not ready"):
            missing = missing + 1 if found is None else 0
            if missing >= UNKNOWN_LOOKS or (found is not None and _state(found) == _DELETING):
                again = "the same command makes it again"
                raise BackendError(f"the Azure deployment {name} was deleted before it was ready: {again}", "missing")
            if found is not None and _serves(found):
                return

    def _wait_until_gone(self, name: str) -> None:
        for found in self._looks(name, "is not gone"):
            if found is None:
                return

    def _looks(self, name: str, not_yet: str) -> Iterator[dict[str, Any] | None]:
        """The deployment now, and again after a while, up to the deadline."""
        until = None if self.waiting.deadline_hours is None else time.time() + 3600 * self.waiting.deadline_hours
        pause = self.waiting.first_poll_s
        while True:
            yield self._get(name)
            if until is not None and time.time() >= until:
                hours = f"after {self.waiting.deadline_hours:g} hours (--job.waiting.deadline-hours)"
                raise BackendError(f"the Azure deployment {name} {not_yet} {hours}", "unreachable")
            time.sleep(pause)
            pause = min(_GROWTH * pause, self.waiting.longest_poll_s)

    def _get(self, name: str) -> dict[str, Any] | None:
        return self._send("GET", _path(name), None)

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None, patience_s: float | None = None
    ) -> dict[str, Any] | None:
        """One request, asked again while the API is busy or silent, which does no harm. None where there is no such."""
        url = f"{self.account}{path}"
        until = time.monotonic() + (self.waiting.patience_s if patience_s is None else patience_s)
        pause = self.waiting.first_poll_s
        while True:
            asked: float | None = None
            try:
                headers = {"Authorization": f"Bearer {self.token()}"}
                query = {"api-version": API_VERSION}
                request = partial(_client().request, method, url, params=query, headers=headers, json=body)
                answer = unbroken(request) if method == "PUT" else request()
                if answer.is_success:
                    return _object(answer)
                if answer.status_code == 404 and method != "PUT":
                    return None
                failure = self._failure(f"{method} {urlsplit(url).path}", answer)
                asked = retry_after_s(answer.headers)
            except httpx.TransportError as error:
                failure = BackendError(f"{self._where} does not answer: {type(error).__name__}: {error}", "unreachable")
            if not failure.transient or time.monotonic() >= until:
                raise failure
            time.sleep(min(pause if asked is None else asked, _LONGEST_PAUSE_S))
            pause = min(2 * pause, self.waiting.longest_poll_s)

    @property
    def _where(self) -> str:
        parts = urlsplit(self.account)
        return f"Azure's management API at {parts.scheme}://{parts.netloc}"

    def _failure(self, request: str, answer: httpx.Response) -> BackendError:
        status, words = answer.status_code, " ".join(words_of(_object(answer) or answer.text).split())[:400]
        said = f"{request} ({status}: {words})"
        if status == 401:
            renew = "renew AZURE_MANAGEMENT_TOKEN (az account get-access-token) and run the same command again"
            return BackendError(f"{self._where} does not accept the token (401): {renew}", "credentials")
        if status == 403:
            allow = "the role Cognitive Services Contributor on the resource allows it"
            return BackendError(f"{self._where} does not allow {said}: {allow}", "credentials")
        # 409 with this code: another change of the resource is under way, which takes it one at a time.
        if status == 429 or (status == 409 and _code(answer) == "RequestConflict"):
            return BackendError(f"{self._where} takes no more requests now: {said}", "rate limit")
        if status == 408 or status >= 500:
            return BackendError(f"{self._where} fails at {said}", "unreachable")
        return BackendError(f"{self._where} refuses {said}", "missing" if status == 404 else "refused")


def find_deployments(settings: AzureSettings, openai_endpoint: str, waiting: Waiting) -> AzureDeployments:
    """The deployments of the resource that settings and environment name.

    ``AZURE_MANAGEMENT_ENDPOINT`` is the management API of a sovereign cloud, ``AZURE_MANAGEMENT_TOKEN`` a token for
    it; without one azure-identity is asked, where it is installed.

    Raises:
        InputError: all that lacks for a deployment.
    """
    subscription = settings.subscription or os.environ.get("AZURE_SUBSCRIPTION_ID")
    group = settings.resource_group or os.environ.get("AZURE_RESOURCE_GROUP")
    host = urlsplit(openai_endpoint).hostname or ""
    account = settings.account or (host.partition(".")[0] if host.endswith(_RESOURCE_HOSTS) else None)
    cloud = os.environ.get("AZURE_MANAGEMENT_ENDPOINT", _PUBLIC_CLOUD).rstrip("/")
    token = _token_source(cloud)
    lacking = {
        "job.azure.subscription (AZURE_SUBSCRIPTION_ID)": subscription,
        "job.azure.resource_group (AZURE_RESOURCE_GROUP)": group,
        f"job.azure.account (the name of the resource behind {host})": account,
        "AZURE_MANAGEMENT_TOKEN (az account get-access-token), or the package azure-identity": token,
    }
    if missing := [name for name, value in lacking.items() if not value]:
        raise InputError(f"backend azure could not deploy the fine-tuned model: set {'; '.join(missing)}")
    assert token is not None
    path = f"subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.CognitiveServices/accounts"
    return AzureDeployments(f"{cloud}/{path}/{account}", token, waiting)


def _token_source(cloud: str) -> Callable[[], str] | None:
    if token := os.environ.get("AZURE_MANAGEMENT_TOKEN"):
        return lambda: token
    try:
        identity, exceptions = import_module("azure.identity"), import_module("azure.core.exceptions")
    except ImportError:
        return None
    credential = identity.DefaultAzureCredential()

    def ask() -> str:
        try:
            return str(credential.get_token(f"{cloud}/.default").token)
        except exceptions.AzureError as error:
            login = "run `az login` and the same command again, or set AZURE_MANAGEMENT_TOKEN"
            raise BackendError(f"azure-identity has no token for {cloud}: {login}", "credentials") from error

    return ask


@cache
def _client() -> httpx.Client:
    """One for all: most of the time to make one goes into reading certificates."""
    return httpx.Client(timeout=_TIMEOUT_S)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _code(answer: httpx.Response) -> str:
    error = _object(answer).get("error")
    return str(error.get("code")) if isinstance(error, dict) else ""


def _path(deployment: str) -> str:
    return f"/deployments/{quote(deployment, safe='')}"


def _properties(deployment: dict[str, Any]) -> dict[str, Any]:
    properties = deployment.get("properties")
    return properties if isinstance(properties, dict) else {}


def _state(deployment: dict[str, Any]) -> str:
    return str(_properties(deployment).get("provisioningState", ""))


def _model_of(deployment: dict[str, Any]) -> str:
    model = _properties(deployment).get("model")
    return str(model.get("name", "")) if isinstance(model, dict) else ""


def _scaled_otherwise(deployment: dict[str, Any], sku: str, capacity: int) -> bool:
    now = deployment.get("sku") or {}
    return str(now.get("name") or sku).lower() != sku.lower() or (now.get("capacity") or capacity) != capacity


def _serves(deployment: dict[str, Any]) -> bool:
    if _state(deployment) in _FAILED:
        words = words_of(_properties(deployment).get("provisioningError") or _state(deployment))
        name = deployment.get("name", "")
        raise BackendError(f"the Azure deployment {name} failed: {' '.join(words.split())}", "refused")
    return _state(deployment) == "Succeeded"
