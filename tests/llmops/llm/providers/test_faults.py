"""Every provider's SDK against servers that fail: one request each time, one kind of failure, nothing left open."""

import asyncio
import threading
from typing import Any

import pytest

from llmops.llm.completions import Completion, Parameters
from llmops.llm.failures import ModelError
from llmops.llm.providers import connect

pytestmark = pytest.mark.service

# For each SDK the name of a model, and an answer as its API reference writes one (November 2026). azure and gemini are
# the same code as openai and vertex; the emulator's tests have them too.
MODELS: dict[str, str] = {
    "openai": "openai/some-model",
    "anthropic": "anthropic/some-model",
    "vertex": "vertex/some-model",
    "bedrock": "bedrock/some-model",
    "ollama": "ollama/some-model",
}

_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "some-model-2026-10-01",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
}
_GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Paris."}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14},
    "modelVersion": "some-model-2026-10-01",
}

ANSWERS: dict[str, dict[str, Any]] = {
    "openai": _CHAT,
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "some-model-2026-10-01",
        "content": [{"type": "text", "text": "Paris."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 3},
    },
    "vertex": _GEMINI,
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [{"text": "Paris."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 11, "outputTokens": 3, "totalTokens": 14},
        "metrics": {"latencyMs": 1},
    },
    "ollama": {
        "model": "some-model-2026-10-01",
        "created_at": "2026-11-01T00:00:00Z",
        "message": {"role": "assistant", "content": "Paris."},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 11,
        "eval_count": 3,
    },
}

ASKED = [{"role": "user", "content": "The capital of France?"}]


Outcome = tuple[str, float | None]


def ask(provider: str, times: int = 1, timeout_s: float = 120.0) -> list[Completion | Outcome]:
    """Asks one model several times, one after the other; failures as (kind, seconds to wait)."""

    async def all_of_them() -> list[Completion | Outcome]:
        model = connect(MODELS[provider])
        outcomes: list[Completion | Outcome] = []
        for _ in range(times):
            try:
                outcomes.append(await model.complete(ASKED, Parameters(), timeout_s))
            except ModelError as error:
                outcomes.append((error.kind, error.retry_after_s))
        await model.close()
        return outcomes

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("provider", MODELS)
def test_an_answer(provider: str, raw_server: Any) -> None:
    raw_server.reply(ANSWERS[provider])
    (answer,) = ask(provider)
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.input_tokens, answer.output_tokens) == ("Paris.", "stop", 11, 3)
    assert answer.model == ("some-model" if provider == "bedrock" else "some-model-2026-10-01")
    assert answer.cost is None and answer.attempts == 1 and 0 < answer.latency_s < 120
    assert len(raw_server.received) == 1
    assert raw_server.wait_until_left() == 0


@pytest.mark.parametrize("provider", MODELS)
def test_a_status_is_one_kind_of_failure_and_is_asked_once(provider: str, raw_server: Any) -> None:
    kinds = {429: "rate_limited", 500: "server", 503: "overloaded", 400: "rejected", 401: "unauthorized"}
    for status in kinds:
        headers = {"Retry-After": "7"} if status in (429, 503) else {}
        raw_server.reply({"error": {"message": "so it is", "code": status}}, status, headers)
    raw_server.always = ANSWERS[provider]
    *failures, answer = ask(provider, times=6)
    assert failures == [(kind, 7.0 if status in (429, 503) else None) for status, kind in kinds.items()]
    # An SDK that tries again would have sent more.
    assert isinstance(answer, Completion) and len(raw_server.received) == 6
    assert raw_server.wait_until_left() == 0


@pytest.mark.parametrize("provider", MODELS)
def test_what_is_no_answer_is_malformed(provider: str, raw_server: Any) -> None:
    bodies = [b'{"choices": [{"mess', b"<html>busy</html>", b"{}", b"[1]", b"null", b""]
    for body in bodies:
        raw_server.reply(body)
    raw_server.always = ANSWERS[provider]
    *failures, answer = ask(provider, times=7)
    assert dict(zip(bodies, failures, strict=True)) == dict.fromkeys(bodies, ("malformed", None))
    assert isinstance(answer, Completion) and len(raw_server.received) == 7


@pytest.mark.parametrize("provider", MODELS)
def test_a_broken_connection(provider: str, raw_server: Any) -> None:
    raw_server.reply(kind="cut")
    raw_server.reply(kind="reset")
    raw_server.always = ANSWERS[provider]
    cut, reset, answer = ask(provider, times=3)
    # botocore does not compare what it read with the length that was announced.
    assert cut == ("malformed" if provider == "bedrock" else "connection", None)
    assert reset == ("connection", None)
    assert isinstance(answer, Completion) and len(raw_server.received) == 3
    assert raw_server.wait_until_left() == 0


@pytest.mark.parametrize("provider", MODELS)
def test_nobody_there(provider: str, point_at: Any) -> None:
    point_at("http://127.0.0.1:9")
    assert ask(provider) == [("connection", None)]


@pytest.mark.parametrize("provider", MODELS)
def test_a_hanging_server_is_left_after_the_time_that_was_given(provider: str, raw_server: Any) -> None:
    raw_server.reply(kind="hang")
    raw_server.always = ANSWERS[provider]
    late, answer = ask(provider, times=2, timeout_s=1.0)
    assert late == ("timeout", None)
    assert raw_server.dropped.wait(5)
    assert isinstance(answer, Completion) and len(raw_server.received) == 2


@pytest.mark.parametrize("provider", MODELS)
def test_cancelled_is_cancelled_and_closes_the_connection(provider: str, raw_server: Any) -> None:
    raw_server.reply(kind="hang")

    async def cancelled() -> None:
        model = connect(MODELS[provider])
        # A thread of boto3 cannot be stopped: it ends with its own time.
        task = asyncio.create_task(model.complete(ASKED, Parameters(), 1.0 if provider == "bedrock" else 60.0))
        while not raw_server.received:
            await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        finally:
            await model.close()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert raw_server.dropped.wait(5)


@pytest.mark.parametrize("provider", MODELS)
def test_120_requests_are_in_flight_at_once_and_no_connection_is_left(provider: str, raw_server: Any) -> None:
    raw_server.always = ANSWERS[provider]
    # Nobody is answered before all have asked: a pool with a smaller limit would never get there.
    raw_server.gate = threading.Barrier(120)

    async def together() -> list[Completion]:
        model = connect(MODELS[provider])
        try:
            return await asyncio.gather(*(model.complete(ASKED, Parameters(), 20.0) for _ in range(120)))
        finally:
            await model.close()

    answers = asyncio.run(together())
    assert [answer.text for answer in answers] == ["Paris."] * 120
    assert raw_server.wait_until_left() == 0
