"""What Vertex AI and Cloud Storage keep while Gemini is tuned: objects, tuning jobs, models, endpoints.

Each kind of request is a method of `Cloud`; what it may not do is a `RefusedError` with the status to answer.
"""

import base64
import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

ADAPTER_SIZES = [f"ADAPTER_SIZE_{size}" for size in ("ONE", "TWO", "FOUR", "EIGHT", "SIXTEEN", "THIRTY_TWO")]


class RefusedError(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Cloud:
    """What it keeps, was told and has seen."""

    objects: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, list[str]] = field(default_factory=dict)  # name -> ids of the models deployed there
    models: set[str] = field(default_factory=set)
    operations: Counter[str] = field(default_factory=Counter)
    plan: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fault_on(self, kind: str) -> dict[str, Any] | None:
        for fault in self.faults:
            if fault["on"] == kind and fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return None

    def token(self, _: dict[str, str], __: Any) -> dict[str, Any]:
        return {"access_token": "some-access-token", "expires_in": 3600, "token_type": "Bearer"}

    def look(self, part: dict[str, str], _: Any) -> dict[str, Any]:
        name = f"gs://{part['bucket']}/{unquote(part['object'])}"
        if name not in self.objects:
            raise RefusedError(404, f"No such object: {name.removeprefix('gs://')}")
        content = self.objects[name]
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        return {"kind": "storage#object", "name": name, "size": str(len(content)), "md5Hash": md5}

    def upload(self, part: dict[str, str], body: bytes) -> dict[str, Any]:
        if part["bucket"] == "missing":
            raise RefusedError(404, "The specified bucket does not exist.")
        self.objects[f"gs://{part['bucket']}/{part['name']}"] = body
        return self.look({"bucket": part["bucket"], "object": part["name"]}, None)

    def create(self, part: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        _refuse_unknown(
            body, "baseModel", "description", "labels", "supervisedTuningSpec", "tunedModelDisplayName", "tuningJob"
        )
        spec = body.get("supervisedTuningSpec", {})
        _refuse_unknown(spec, "hyperParameters", "trainingDatasetUri", "validationDatasetUri")
        chosen = spec.get("hyperParameters", {})
        _refuse_unknown(chosen, "adapterSize", "epochCount", "learningRateMultiplier")
        if chosen.get("adapterSize", "ADAPTER_SIZE_ONE") not in ADAPTER_SIZES:
            raise RefusedError(400, f"Invalid value at 'adapter_size': {chosen['adapterSize']}")
        for name in ("trainingDatasetUri", "validationDatasetUri"):
            if name in spec and spec[name] not in self.objects:
                raise RefusedError(400, f"Dataset {spec[name]} cannot be read.")
        name = f"{part['place']}/tuningJobs/{len(self.jobs) + 1}"
        wrong = _wrong_example(self.objects[spec["trainingDatasetUri"]])
        usual = ["JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
        states = list(self.plan.get("states", usual)) if wrong is None else ["JOB_STATE_RUNNING", "JOB_STATE_FAILED"]
        spec.setdefault("hyperParameters", {}).setdefault("epochCount", 3)
        self.jobs[name] = {
            **body,
            "name": name,
            "state": states[0],
            "createTime": _now(),
            "reason": wrong or self.plan.get("reason", "Internal error."),
        }
        self.plans[name] = states[1:]
        return self._told(name)

    def list(self, part: dict[str, str], _: Any) -> dict[str, Any]:
        here = [name for name in reversed(self.jobs) if name.startswith(f"{part['place']}/")]
        start, size = int(part.get("pageToken", 0)), int(part.get("pageSize", 100))
        page: dict[str, Any] = {"tuningJobs": [self._told(name) for name in here[start : start + size]]}
        if start + size < len(here):
            page["nextPageToken"] = str(start + size)
        return page

    def get(self, part: dict[str, str], _: Any) -> dict[str, Any]:
        name = self._job(part)
        told = self._told(name)
        if self.plans[name]:
            self.jobs[name]["state"] = self.plans[name].pop(0)
        return told

    def cancel(self, part: dict[str, str], _: Any) -> dict[str, Any]:
        name = self._job(part)
        if self.jobs[name]["state"] in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
            raise RefusedError(400, f"The TuningJob is in state {self.jobs[name]['state']} and cannot be cancelled.")
        self.jobs[name]["state"], self.plans[name] = "JOB_STATE_CANCELLING", ["JOB_STATE_CANCELLED"]
        return {}

    def generate(self, part: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        name = f"{part['place']}/{part['model']}"
        tuned = part["model"].startswith("endpoints/")
        if tuned and not self.endpoints.get(name):
            raise RefusedError(404, f"{name} is not found.")
        question = body["contents"][-1]["parts"][0]["text"]
        text = self.answers.get(question, f"You said: {question}") if tuned else f"Base: {question}"
        usage = {"promptTokenCount": len(question.split()), "candidatesTokenCount": len(text.split())}
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}

    def endpoint(self, part: dict[str, str], _: Any) -> dict[str, Any]:
        name = self._resource(part)
        return {"name": name, "deployedModels": [{"id": number} for number in self.endpoints[name]]}

    def undeploy(self, part: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        self.endpoints[self._resource(part)].remove(body["deployedModelId"])
        return self._operation(part)

    def delete(self, part: dict[str, str], _: Any) -> dict[str, Any]:
        name = self._resource(part)
        if self.endpoints.get(name):
            raise RefusedError(400, f"Endpoint {name} has deployed models.")
        if name in self.models and any(self.endpoints.values()):
            raise RefusedError(400, f"The Model {name} is deployed.")
        self.endpoints.pop(name, None)
        self.models.discard(name)
        return self._operation(part)

    def operation(self, part: dict[str, str], _: Any) -> dict[str, Any]:
        self.operations[part["id"]] += 1
        return {"name": f"{part['place']}/operations/{part['id']}", "done": self.operations[part["id"]] > 1}

    def _operation(self, part: dict[str, str]) -> dict[str, Any]:
        return {"name": f"{part['place']}/operations/{sum(self.seen.values())}", "done": False}

    def _resource(self, part: dict[str, str]) -> str:
        name = f"{part['place']}/{part['resource']}"
        if name not in self.endpoints and name not in self.models:
            raise RefusedError(404, f"{name} is not found.")
        return name

    def _job(self, part: dict[str, str]) -> str:
        name = f"{part['place']}/tuningJobs/{part['id']}"
        if name not in self.jobs:
            raise RefusedError(404, f"{name} is not found.")
        return name

    def _told(self, name: str) -> dict[str, Any]:
        """A job as the API tells it; the model and its endpoints come into being when it has succeeded."""
        job = {key: value for key, value in self.jobs[name].items() if key != "reason"}
        if job["state"] == "JOB_STATE_RUNNING":
            job["tuningJobState"] = "TUNING_JOB_STATE_TUNING"
        elif job["state"] in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
            job["endTime"] = _now()
        if job["state"] == "JOB_STATE_FAILED":
            job["error"] = {"code": 3, "message": self.jobs[name]["reason"]}
        if job["state"] == "JOB_STATE_SUCCEEDED":
            place, _, number = name.partition("/tuningJobs/")
            model, endpoints = f"{place}/models/m{number}", [f"{place}/endpoints/{number}0{epoch}" for epoch in (1, 2)]
            if "tunedModel" not in self.jobs[name]:
                points = [
                    {"checkpointId": str(n), "epoch": n, "step": 10 * n, "endpoint": endpoints[n - 1]} for n in (1, 2)
                ]
                made = {"model": f"{model}@1", "endpoint": endpoints[-1], "checkpoints": points}
                self.jobs[name]["tunedModel"] = job["tunedModel"] = made
                self.models.add(model)
                self.endpoints.update({endpoint: ["77"] for endpoint in endpoints})
            content = self.objects[job["supervisedTuningSpec"]["trainingDatasetUri"]]
            stats = {
                "tuningDatasetExampleCount": str(content.count(b"\n")),
                "totalBillableTokenCount": str(len(content) // 4),
                "userDatasetExamples": [json.loads(content.partition(b"\n")[0])["contents"][0]],
            }
            job["tuningDataStats"] = {"supervisedTuningDataStats": stats}
        return job

    def told_seen(self) -> dict[str, Any]:
        jobs = [self._told(name) for name in self.jobs]
        return {"requests": dict(self.seen), "jobs": jobs, "objects": sorted(self.objects), "bodies": self.bodies}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _refuse_unknown(given: dict[str, Any], *known: str) -> None:
    for name in given:
        if name not in known:
            raise RefusedError(400, f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')


def _wrong_example(content: bytes) -> str | None:
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            roles = [turn["role"] for turn in json.loads(line)["contents"] if turn["parts"][0]["text"]]
        except (ValueError, KeyError, IndexError, TypeError):
            roles = []
        if not roles or roles[-1] != "model":
            return f"Invalid example at line {number} of the training dataset."
    return None
