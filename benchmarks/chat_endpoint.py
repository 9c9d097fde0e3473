"""An OpenAI-compatible endpoint on this machine: for measurements, and to fail on purpose in tests.

    python -m benchmarks.chat_endpoint --port 8800 --delay 0.1

It answers ``POST /v1/chat/completions`` after a delay, and says of itself:

- ``GET /requests``: how often each last user message was asked, and the bodies where they are kept
- ``DELETE /requests``: forget them, and the faults
- ``POST /answers`` with ``{"question": "answer", …}``: what it shall answer; anything else it repeats
- ``POST /models`` with ``{"model": "answer", …}``: what a model shall answer to anything else
- ``POST /faults`` with a list of ``{"kind": …, "times": n, "match": "text"}``: the next n requests (whose last user
  message contains the text, if one is given) fail that way. Kinds: ``429`` (with ``retry_after``), any other status
  such as ``500``, ``broken_json``, ``hang`` (no answer for an hour), ``cut`` (the connection closes in the middle of
  the body), ``reset`` (it closes before any answer), ``slow`` (answers after ``after_s``).
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Endpoint:
    """What it was told, and what it has seen."""

    delay: float
    answers: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keep_bodies: bool = False
    in_flight: int = 0
    most_in_flight: int = 0

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        question = _last_user_message(body["messages"])
        self.asked[question] += 1
        if self.keep_bodies:
            self.bodies.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            fault = self._next_fault(question)
            if fault is not None:
                failed = await self._fail(fault, request)
                if failed is not None:
                    return failed
            await asyncio.sleep(self.delay)
            return web.json_response(self._answer(body, question))
        finally:
            self.in_flight -= 1

    def _next_fault(self, question: str) -> dict[str, Any] | None:
        for fault in self.faults:
            if fault.get("times", 1) > 0 and fault.get("match", "") in question:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return None

    async def _fail(self, fault: dict[str, Any], request: web.Request) -> web.StreamResponse | None:
        kind = str(fault["kind"])
        if kind == "slow":
            await asyncio.sleep(fault.get("after_s", 1.0))
            return None
        if kind == "hang":
            await asyncio.sleep(3600)
        if kind == "broken_json":
            return web.Response(text='{"id": "x", "choices": [{"mess', content_type="application/json")
        if kind in ("cut", "reset"):
            transport = request.transport
            assert transport is not None
            if kind == "cut":
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
                transport.write(head + b'{"id": "x", "choices": [')
                await asyncio.sleep(0.02)
            transport.close()
            return web.Response()
        headers = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
        error = {"message": fault.get("message", f"told to answer {kind}"), "type": "error", "code": fault.get("code")}
        return web.json_response({"error": error}, status=int(kind), headers=headers)

    def _answer(self, body: dict[str, Any], question: str) -> dict[str, Any]:
        text = self.answers.get(question) or self.models.get(body["model"], f"You said: {question}")
        words = sum(len(str(message.get("content", "")).split()) for message in body["messages"])
        said = len(text.split())
        return {
            "id": "chatcmpl-local",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": words, "completion_tokens": said, "total_tokens": words + said},
        }

    async def requests(self, _request: web.Request) -> web.Response:
        seen = {"total": sum(self.asked.values()), "most_in_flight": self.most_in_flight, "asked": dict(self.asked)}
        return web.json_response({**seen, "bodies": self.bodies})

    async def set_answers(self, request: web.Request) -> web.Response:
        self.answers.update(await request.json())
        return web.json_response({})

    async def set_models(self, request: web.Request) -> web.Response:
        self.models.update(await request.json())
        return web.json_response({})

    async def set_faults(self, request: web.Request) -> web.Response:
        self.faults = await request.json()
        return web.json_response({})

    async def forget(self, _request: web.Request) -> web.Response:
        self.asked.clear()
        self.bodies.clear()
        self.faults.clear()
        self.most_in_flight = 0
        return web.json_response({})


def _last_user_message(messages: list[dict[str, Any]]) -> str:
    return next((str(one["content"]) for one in reversed(messages) if one["role"] == "user"), "")


def application(endpoint: Endpoint) -> web.Application:
    """The endpoint's routes."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.complete)
    app.router.add_get("/requests", endpoint.requests)
    app.router.add_delete("/requests", endpoint.forget)
    app.router.add_post("/answers", endpoint.set_answers)
    app.router.add_post("/models", endpoint.set_models)
    app.router.add_post("/faults", endpoint.set_faults)
    return app


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.1, help="Seconds before every answer.")
    parser.add_argument("--keep-bodies", action="store_true", help="Show whole requests under GET /requests.")
    chosen = parser.parse_args()
    endpoint = Endpoint(delay=chosen.delay, keep_bodies=chosen.keep_bodies)
    web.run_app(application(endpoint), host="127.0.0.1", port=chosen.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
