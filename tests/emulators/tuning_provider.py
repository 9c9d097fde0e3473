"""A provider with OpenAI's and Azure's API that tunes and answers: its base knows nothing, tuned models are right.

Beside `FineTuningServer`, whose jobs a test moves, its jobs may run by themselves, and it can stand still right after a
request has done its work and before that is answered: the moment in which a client is killed.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.openai_fine_tuning_server import Answer, FineTuningServer

IGNORANCE = "I do not know."


@dataclass
class TuningProvider(FineTuningServer):
    """What it knows, and how its jobs go.

    Attributes:
        knows: what a tuned model answers to which question; anything else it does not know.
        states: that each new job goes through, one for each look at it.
        failure: why a job fails, where its last state is ``failed``.
        still_at: method and end of the path of the request after whose work it stands still, once.
        stands_still: set while it does; `go_on` ends that.
    """

    knows: Mapping[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=lambda: ["running", "succeeded"])
    failure: str = "the training file has 3 examples, and at least 10 are needed"
    still_at: tuple[str, str] | None = None
    stands_still: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def stand_still_at(self, method: str, ending: str) -> None:
        """Stand still after the next such request."""
        self.stands_still.clear()
        self.go_on.clear()
        self.still_at = (method, ending)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """What a request is answered with."""
        if path.endswith("/chat/completions"):
            answer = self._complete(path, body)
        else:
            if method == "GET" and path.rpartition("/")[2] in self.jobs:
                self._move(path.rpartition("/")[2])
            answer = super().answer(method, path, query, body)
        if self.still_at is not None and (method, path.endswith(self.still_at[1])) == (self.still_at[0], True):
            self.still_at = None
            self.stands_still.set()
            # Other requests are answered meanwhile.
            self.lock.release()
            self.go_on.wait(60)
            self.lock.acquire()
        return answer

    def _move(self, name: str) -> None:
        job = self.jobs[name]
        left = job.setdefault("left", list(self.states))
        if not left or job["status"] in ("succeeded", "failed", "cancelled"):
            return
        job["status"] = left.pop(0)
        if job["status"] == "running":
            step = len([event for event in self.events[name] if event["data"]]) + 1
            figures = {"step": step, "train_loss": 2.0 / step, "valid_loss": 2.5 / step}
            self.tell(name, f"Step {step}/{len(self.states) - 1}: training loss={2.0 / step:.2f}", figures)
        elif job["status"] == "succeeded":
            job["fine_tuned_model"] = f"ft:{job['model']}:{job.get('suffix', '')}:{name}"
            job["trained_tokens"] = 4000
            job["finished_at"] = job["created_at"] + 60
            self.models.add(job["fine_tuned_model"])
            self.tell(name, "The job has successfully completed")
        elif job["status"] == "failed":
            job["error"] = {"code": "invalid_training_file", "message": self.failure, "param": "training_file"}

    def _complete(self, path: str, body: dict[str, Any]) -> Answer:
        question = body["messages"][-1]["content"]
        model = body["model"]
        if path.startswith("/openai/"):
            # At Azure a tuned model is asked by its deployment; the base is deployed already.
            if model in self.deployments:
                model = self.deployments[model]["properties"]["model"]["name"]
            elif not model.startswith("gpt-"):
                return 404, {"error": {"code": "DeploymentNotFound", "message": f"no deployment {model}"}}
        self.asked.append(body["model"])
        text = self.knows.get(question, IGNORANCE) if model.startswith("ft:") else IGNORANCE
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        return 200, {
            "id": "c", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice],
            "usage": usage,
        }  # fmt: skip
