"""Every back end through its SDK against the third-party emulator: what arrived there, and what came back."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from llmops.llm.completions import Message
from llmops.llm.failures import ModelError

pytestmark = pytest.mark.service

# The path that the emulator serves for each provider's call, and the version of Google's API that it knows.
PATHS = {
    "openai": "/v1/chat/completions",
    "azure": "/openai/deployments/some-model/chat/completions?api-version=2025-04-01-preview",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/some-model:generateContent",
    "vertex": ("/v1/projects/some-project/locations/europe-west4/publishers/google/models/some-model:generateContent"),
    "bedrock": "/model/some-model/converse",
    "ollama": "/api/chat",
}
VERSIONS = {"gemini": "v1beta", "vertex": "v1"}
SAID: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "The capital of France?"},
]


@pytest.fixture(params=PATHS)
def provider(request: pytest.FixtureRequest, emulator: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each provider in turn."""
    name = str(request.param)
    if name in VERSIONS:
        monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", VERSIONS[name])
    return name


def test_a_conversation_arrives_whole_and_the_answer_comes_back(provider: str, emulator: Any, complete: Any) -> None:
    usage = {"prompt_tokens": 21, "completion_tokens": 3, "input_tokens": 21, "output_tokens": 3}
    google = {"promptTokenCount": 21, "candidatesTokenCount": 3}
    usage = google if provider in ("gemini", "vertex") else usage
    emulator.answer("capital of France", {"content": "Paris.", "usage": usage})

    answer = complete(f"{provider}/some-model", SAID, max_tokens=50, temperature=0.5)

    assert (answer.text, answer.finish_reason) == ("Paris.", "stop")
    # aimock gives Ollama's answers no counts of tokens from its fixtures.
    assert (answer.input_tokens, answer.output_tokens) == ((0, 0) if provider == "ollama" else (21, 3))
    (received,) = emulator.received()
    assert received["path"] == PATHS[provider]
    body = received["body"]
    assert body["model"] == "some-model"
    assert [(one["role"], _text(one)) for one in body["messages"]] == [(one["role"], one["content"]) for one in SAID]
    limit = "max_completion_tokens" if provider == "azure" else "max_tokens"
    assert body["temperature"] == 0.5 and body[limit] == 50


def test_a_tools_call_and_its_result_arrive_and_a_call_comes_back(provider: str, emulator: Any, complete: Any) -> None:
    emulator.answer("Rain in Bern?", {"toolCalls": [{"name": "weather", "arguments": '{"city": "Bern"}'}]})
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Basel"}'}}
    messages = [
        {"role": "user", "content": "Rain in Basel?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Rain in Bern?"},
    ]
    answer = complete(f"{provider}/some-model", messages)
    assert answer.finish_reason == "tool_calls"
    assert answer.text == '[{"name": "weather", "arguments": {"city": "Bern"}}]'
    (received,) = emulator.received()
    arrived = received["body"]["messages"]
    (received_call,) = next(one["tool_calls"] for one in arrived if one.get("tool_calls"))
    assert received_call["function"]["name"] == "weather"
    assert "Basel" in str(received_call["function"]["arguments"])
    (result,) = [one for one in arrived if one["role"] == "tool"]
    assert "no" in _text(result)


def test_an_answer_that_was_cut_says_so(provider: str, emulator: Any, complete: Any) -> None:
    emulator.answer("a long story", {"content": "Once upon", "finishReason": "length"})
    answer = complete(f"{provider}/some-model", [{"role": "user", "content": "Tell a long story"}])
    # aimock ends every answer of Ollama with stop.
    assert (answer.text, answer.finish_reason) == ("Once upon", "stop" if provider == "ollama" else "length")


def test_the_emulators_failures_and_its_chaos(provider: str, emulator: Any, complete: Any) -> None:
    name = f"{provider}/some-model"
    limited = {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429, "retryAfter": 7}
    emulator.answer("too fast", limited)
    emulator.answer("capital of France", {"content": "Paris."})

    with pytest.raises(ModelError) as failed:
        complete(name, [{"role": "user", "content": "too fast?"}])
    assert (failed.value.kind, failed.value.retry_after_s) == ("rate_limited", 7)

    for chaos, kind in {"dropRate": "server", "malformedRate": "malformed", "disconnectRate": "connection"}.items():
        _chaos(emulator, {chaos: 1})
        with pytest.raises(ModelError) as failed:
            complete(name)
        assert failed.value.kind == kind, chaos
    _chaos(emulator, {})
    assert complete(name).text == "Paris."
    assert len(emulator.received()) == 5


def _chaos(emulator: Any, rates: Mapping[str, float]) -> None:
    httpx.post(f"{emulator.url}/__aimock/chaos", json=dict(rates)).raise_for_status()


def _text(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
