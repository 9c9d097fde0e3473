"""What answers with a custom model on Bedrock: a deployment on demand, or provisioned throughput.

https://docs.aws.amazon.com/bedrock/latest/userguide/deploy-custom-model-on-demand.html (paid by the token)
https://docs.aws.amazon.com/bedrock/latest/userguide/prov-throughput.html (paid by the hour, without commitment here)
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import Any

from llmops.finetuning.backends.aws_failures import aws_failures
from llmops.finetuning.backends.backend import BackendError, JobState, JobStatus, Waiting
from llmops.finetuning.backends.polling import poll
from llmops.finetuning.backends.unbroken_requests import unbroken


@dataclass(frozen=True)
class _Kind:
    """The same four things by the names that the API has for each kind of serving."""

    noun: str
    """The operations are ``create_…``, ``get_…`` and ``delete_…`` of it."""
    name: str
    model: str
    identifier: str
    arn: str
    ready: str


_KINDS = {
    "on-demand": _Kind(
        noun="custom_model_deployment",
        name="modelDeploymentName",
        model="modelArn",
        identifier="customModelDeploymentIdentifier",
        arn="customModelDeploymentArn",
        ready="Active",
    ),
    "provisioned": _Kind(
        noun="provisioned_model_throughput",
        name="provisionedModelName",
        model="modelId",
        identifier="provisionedModelId",
        arn="provisionedModelArn",
        ready="InService",
    ),
}
_MOST_LETTERS = 63

_log = logging.getLogger(__name__)


def resource_name(name: str, suffix: str) -> str:
    """A name that Bedrock takes for a custom model or what serves one: ``([0-9a-zA-Z][_-]?){1,63}``.

    >>> resource_name("Support bot/v2", "1a2b-1")
    'Support-bot-v2-1a2b-1'
    """
    words = "-".join(re.findall("[0-9A-Za-z]+", name)) or "model"
    return f"{words[: _MOST_LETTERS - 1 - len(suffix)].rstrip('-')}-{suffix}"


def deployment_name(name: str, model_arn: str) -> str:
    """The name of what serves a model: unique in an account and region, by a digest of the model's ARN."""
    return resource_name(name, hashlib.sha256(model_arn.encode()).hexdigest()[:8])


class Deployments:
    """The deployments of custom models through one client of Bedrock's control plane."""

    def __init__(self, bedrock: Any, where: str, waiting: Waiting) -> None:
        self._bedrock = bedrock
        self._where = where
        self._waiting = waiting

    def create(self, serving: str, name: str, model_arn: str, units: int, answering: str | None = None) -> str:
        """Have a custom model answer; returns the ARN to ask, once it does.

        The name is that of `deployment_name`: the same again finds it. Where `answering`, the ARN of what answers for
        the model so far, is given and this fails or is interrupted, that alone stays.

        Raises:
            BackendError: it was refused or failed, serves with other units, or was not ready by the deadline and has
                been taken down.
        """
        name = deployment_name(name, model_arn)
        try:
            return self._serve(serving, name, model_arn, units)
        except BaseException:
            if answering is not None:
                self._keep_alone(answering, name, serving)
            raise

    def _serve(self, serving: str, name: str, model_arn: str, units: int) -> str:
        kind = _KINDS[serving]
        found = self._get(kind, name)
        if found and found["status"] == "Failed":
            self.delete(found[kind.arn])
            found = None
        if found and (now := found.get("modelUnits", units)) != units:
            why = f"has {now} model units, which cannot change: set job.bedrock.model_units to {now}"
            raise BackendError(f"{name} at {self._where} {why}, or take it down first", "refused")
        arn: str = found[kind.arn] if found else self._create(kind, name, model_arn, units)
        waiting, told = self._waiting, lambda status: None
        last = poll(lambda arn: self._status(kind, arn), arn, told, waiting, self.delete)
        if last.state != "succeeded":
            reason = last.reason or f"it is {last.provider_state or 'not known there any more'}"
            raise BackendError(f"serving {model_arn} as {name} failed at {self._where}: {reason}", "refused")
        return arn

    def delete(self, deployment: str, serving: str = "on-demand", but: str | None = None) -> None:
        """Take a deployment down; nothing happens where it is gone.

        Args:
            deployment: its ARN, or its name, by which both kinds are looked for.
            serving: the kind that is expected under that name; the other one may be out of reach.
            but: ARN of the one of that name that stays.
        """
        if deployment.startswith("arn:"):
            self._delete(_KINDS["provisioned" if ":provisioned-model/" in deployment else "on-demand"], deployment)
            return
        failed: list[BackendError] = []
        for one, kind in _KINDS.items():
            try:
                found = self._get(kind, deployment)
            except BackendError as error:
                # Who may not look at the other kind has made none of it.
                if one == serving or error.kind != "credentials":
                    failed.append(error)
                continue
            if found is not None and found[kind.arn] != but:
                try:
                    self._delete(kind, found[kind.arn])
                except BackendError as error:
                    failed.append(error)
        if failed:
            raise failed[0]

    def _keep_alone(self, arn: str, name: str, serving: str) -> None:
        """Take down whatever else has that name; where it cannot be, that must not hide why it is not wanted."""
        try:
            self.delete(name, serving, but=arn)
        except BackendError as error:
            _log.warning("%s, which was to serve instead of %s, may still run and cost: %s", name, arn, error)

    def _delete(self, kind: _Kind, arn: str) -> None:
        try:
            self._ask("delete", kind, f"taking {arn} down", {kind.identifier: arn})
        except BackendError as error:
            if error.kind != "missing":
                raise

    def _create(self, kind: _Kind, name: str, model_arn: str, units: int) -> str:
        request: dict[str, Any] = {kind.name: name, kind.model: model_arn}
        if kind.noun.startswith("provisioned"):
            request["modelUnits"] = units
        what = f"serving {model_arn} as {name}"
        first = {**request, "clientRequestToken": name}
        arn: str = unbroken(lambda: self._ask("create", kind, what, first))[kind.arn]
        if self._get(kind, arn) is None:
            # Bedrock ignores a token that it has seen: what the answer names was taken down since. The SDK makes a new
            # one; where the first request is only slow to show, its name is taken and this one is refused.
            try:
                arn = unbroken(lambda: self._ask("create", kind, what, request))[kind.arn]
            except BackendError:
                if self._get(kind, arn) is None:
                    raise
        return arn

    def _get(self, kind: _Kind, identifier: str) -> dict[str, Any] | None:
        """None where there is none; Bedrock may call a name that nothing has invalid instead of missing."""
        try:
            return self._ask("get", kind, f"looking at {identifier}", {kind.identifier: identifier})
        except BackendError as error:
            if error.kind == "missing" or "ValidationException" in str(error):
                return None
            raise

    def _status(self, kind: _Kind, arn: str) -> JobStatus:
        found = self._get(kind, arn)
        if found is None:
            return JobStatus(state="unknown")
        states: dict[str, JobState] = {kind.ready: "succeeded", "Failed": "failed"}
        return JobStatus(
            state=states.get(found["status"], "running"),
            provider_state=found["status"],
            reason=found.get("failureMessage"),
            created_at=found.get("createdAt") or found.get("creationTime"),
        )

    def _ask(self, verb: str, kind: _Kind, what: str, request: dict[str, Any]) -> dict[str, Any]:
        with aws_failures(what, self._where):
            answer: dict[str, Any] = getattr(self._bedrock, f"{verb}_{kind.noun}")(**request)
        return answer
