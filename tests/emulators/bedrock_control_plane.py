"""Bedrock as botocore's own description has it: customization jobs, custom models, what serves them, and Converse.

Paths, required members, types, lengths and patterns are read from the service model that the SDK is made from, so that
what AWS would call invalid is refused here too. What it does is what the API's reference says: a client token or a name
that was seen starts nothing new. What serves a custom model answers what that knows; no other model knows anything.
Objects of S3 are not its affair.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.model import OperationModel

from tests.emulators.service_models import routed, wrong_in

ACCOUNT = "123456789012"
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SERVICE = botocore.session.get_session().get_service_model("bedrock")
RUNTIME = botocore.session.get_session().get_service_model("bedrock-runtime")
IGNORANCE = "I do not know."


class RefusedError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass
class Fault:
    """What happens to the next requests of one operation: an error, before or after it was carried out."""

    operation: str
    status: int
    code: str
    message: str
    times: int = 1
    after: bool = False


@dataclass
class ControlPlane:
    """What it keeps and has seen.

    Attributes:
        looks_until_ended: at jobs, after which they have completed; None where only `end` ends one.
        failure: of what is created to serve a model.
        knows: what a custom model answers to which question.
    """

    region: str = "us-east-1"
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    serving: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    looks_until_ready: int = 1
    looks_until_ended: int | None = None
    failure: str | None = None
    knows: Mapping[str, str] = field(default_factory=dict)

    def reset(self) -> None:
        """Forget everything."""
        self.__init__(self.region)  # type: ignore[misc]

    def fail(self, operation: str, status: int, code: str, message: str = "no", times: int = 1, **more: Any) -> None:
        self.faults.append(Fault(operation, status, code, message, times, **more))

    def end(self, name: str, status: str, **more: Any) -> None:
        """Let a job end, an hour after it began."""
        job = self.jobs[name]
        job.update({"status": status, "endTime": _text(START + timedelta(hours=1)), **more})
        if status == "Completed":
            model = self._arn(f"custom-model/{job['baseModelArn'].rpartition('/')[2]}")
            job["outputModelArn"] = model
            self.models[model] = {"modelArn": model, "modelName": job["outputModelName"], "creationTime": _text(START)}

    def answer(self, operation: OperationModel, request: dict[str, Any]) -> dict[str, Any]:
        self.seen[operation.name] += 1
        self._raise_fault(operation.name, after=False)
        if wrong := wrong_in(request, operation.input_shape):
            raise RefusedError(400, "ValidationException", f"{len(wrong)} validation error: {wrong[0]}")
        answer: dict[str, Any] = getattr(self, _METHODS[operation.name])(request) or {}
        self._raise_fault(operation.name, after=True)
        return answer

    def _raise_fault(self, operation: str, after: bool) -> None:
        for fault in self.faults:
            if fault.operation == operation and fault.after == after and fault.times > 0:
                fault.times -= 1
                raise RefusedError(fault.status, fault.code, fault.message)

    def _arn(self, resource: str) -> str:
        number = sum(map(len, (self.jobs, self.models, self.serving, self.tokens)))
        return f"arn:aws:bedrock:{self.region}:{ACCOUNT}:{resource}/{number:012d}"

    def _create_job(self, request: dict[str, Any]) -> dict[str, Any]:
        token = ("job", request["clientRequestToken"])
        if token in self.tokens:
            return {"jobArn": self.tokens[token]}
        name, base = request["jobName"], request["baseModelIdentifier"].rpartition("/")[2]
        if name in self.jobs:
            raise RefusedError(400, "ValidationException", "The provided job name is currently in use.")
        arn = self._arn(f"model-customization-job/{base}")
        kept = ("jobName", "roleArn", "hyperParameters", "trainingDataConfig", "outputDataConfig", "clientRequestToken")
        self.jobs[name] = {
            **{key: request[key] for key in kept},
            "jobArn": arn,
            "outputModelName": request["customModelName"],
            "baseModelArn": f"arn:aws:bedrock:{self.region}::foundation-model/{base}",
            "validationDataConfig": request.get("validationDataConfig", {"validators": []}),
            "customizationType": request["customizationType"],
            "status": "InProgress",
            "creationTime": _text(START),
        }
        self.tokens[token] = arn
        return {"jobArn": arn}

    def _job(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request["jobIdentifier"]
        for job in self.jobs.values():
            if wanted in (job["jobName"], job["jobArn"]):
                return job
        raise RefusedError(404, "ResourceNotFoundException", f"no job {wanted}")

    def _look_at_job(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._job(request)
        enough = self.looks_until_ended is not None and self.seen["GetModelCustomizationJob"] > self.looks_until_ended
        if enough and job["status"] == "InProgress":
            self.end(job["jobName"], "Completed")
        return job

    def _stop_job(self, request: dict[str, Any]) -> None:
        job = self._job(request)
        if job["status"] != "InProgress":
            raise RefusedError(409, "ConflictException", f"the job is {job['status']}")
        job["status"] = "Stopping"

    def _delete_model(self, request: dict[str, Any]) -> None:
        model = request["modelIdentifier"]
        if model not in self.models:
            raise RefusedError(404, "ResourceNotFoundException", f"no model {model}")
        if any(model in one.values() for one in self.serving.values()):
            raise RefusedError(409, "ConflictException", "the model is deployed")
        del self.models[model]

    def _create_deployment(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = self._serve(request, request["modelDeploymentName"], request["modelArn"], "custom-model-deployment")
        return {"customModelDeploymentArn": arn}

    def _create_provisioned(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = self._serve(request, request["provisionedModelName"], request["modelId"], "provisioned-model")
        return {"provisionedModelArn": arn}

    def _serve(self, request: dict[str, Any], name: str, model: str, resource: str) -> str:
        token = (resource, request["clientRequestToken"])
        if token in self.tokens:
            return self.tokens[token]
        if any(name == one["name"] and f":{resource}/" in arn for arn, one in self.serving.items()):
            raise RefusedError(400, "ValidationException", "The name is in use.")
        arn = self.tokens[token] = self._arn(resource)
        units, now = request.get("modelUnits", 1), _text(datetime.now(UTC))
        kept = {"name": name, "model": model, "units": units, "created": now, "failure": self.failure}
        self.serving[arn] = {**kept, "looks": 0}
        return arn

    def _get_deployment(self, request: dict[str, Any]) -> dict[str, Any]:
        arn, found, state = self._served(request["customModelDeploymentIdentifier"], "custom-model-deployment")
        return {
            "customModelDeploymentArn": arn,
            "modelDeploymentName": found["name"],
            "modelArn": found["model"],
            "createdAt": found["created"],
            "status": {"ready": "Active", "failed": "Failed"}.get(state, "Creating"),
            **({"failureMessage": found["failure"]} if state == "failed" else {}),
        }

    def _get_provisioned(self, request: dict[str, Any]) -> dict[str, Any]:
        arn, found, state = self._served(request["provisionedModelId"], "provisioned-model")
        return {
            "provisionedModelArn": arn,
            "provisionedModelName": found["name"],
            "modelArn": found["model"],
            "modelUnits": found["units"],
            "desiredModelUnits": found["units"],
            "creationTime": found["created"],
            "lastModifiedTime": found["created"],
            "desiredModelArn": found["model"],
            "foundationModelArn": f"arn:aws:bedrock:{self.region}::foundation-model/{found['model'].split('/')[1]}",
            "status": {"ready": "InService", "failed": "Failed"}.get(state, "Creating"),
            **({"failureMessage": found["failure"]} if state == "failed" else {}),
        }

    def _served(self, wanted: str, resource: str) -> tuple[str, dict[str, Any], str]:
        for arn, one in self.serving.items():
            if wanted in (arn, one["name"]) and f":{resource}/" in arn:
                one["looks"] += 1
                done = one["looks"] > self.looks_until_ready
                return arn, one, ("failed" if one["failure"] else "ready") if done else "creating"
        raise RefusedError(404, "ResourceNotFoundException", f"no {resource} {wanted}")

    def _delete_deployment(self, request: dict[str, Any]) -> None:
        del self.serving[self._served(request["customModelDeploymentIdentifier"], "custom-model-deployment")[0]]

    def _delete_provisioned(self, request: dict[str, Any]) -> None:
        del self.serving[self._served(request["provisionedModelId"], "provisioned-model")[0]]

    def _converse(self, request: dict[str, Any]) -> dict[str, Any]:
        question = request["messages"][-1]["content"][0]["text"]
        custom = request["modelId"].startswith("arn:")
        if custom and request["modelId"] not in self.serving:
            raise RefusedError(404, "ResourceNotFoundException", f"no model {request['modelId']}")
        text = self.knows.get(question, IGNORANCE) if custom else IGNORANCE
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 9, "outputTokens": 5, "totalTokens": 14},
            "metrics": {"latencyMs": 1},
        }


_METHODS = {
    "CreateModelCustomizationJob": "_create_job",
    "GetModelCustomizationJob": "_look_at_job",
    "StopModelCustomizationJob": "_stop_job",
    "DeleteCustomModel": "_delete_model",
    "CreateCustomModelDeployment": "_create_deployment",
    "GetCustomModelDeployment": "_get_deployment",
    "DeleteCustomModelDeployment": "_delete_deployment",
    "CreateProvisionedModelThroughput": "_create_provisioned",
    "GetProvisionedModelThroughput": "_get_provisioned",
    "DeleteProvisionedModelThroughput": "_delete_provisioned",
    "Converse": "_converse",
}
OPERATIONS = [(RUNTIME if name == "Converse" else SERVICE).operation_model(name) for name in _METHODS]


@contextmanager
def serving(plane: ControlPlane) -> Iterator[str]:
    """Serve it on a free port, under the address given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The answer's head and body are two writes; with Nagle's algorithm the second waits for an acknowledgement.
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, answer = 200, {}, {}
            try:
                asked = routed(self.command, urlsplit(self.path).path, OPERATIONS)
                if asked is None:
                    raise RefusedError(404, "UnknownOperationException", f"{self.path} is not served here")
                answer = plane.answer(asked[0], {**asked[1], **(json.loads(body) if body else {})})
            except RefusedError as error:
                status, headers, answer = error.status, {"x-amzn-ErrorType": error.code}, {"message": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": len(content)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
