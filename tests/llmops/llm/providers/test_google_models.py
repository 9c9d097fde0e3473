"""``generateContent`` of Vertex AI and the Gemini API: what is sent, and what each form of answer means."""

from typing import Any

import pytest

from llmops.llm.failures import ModelError

pytestmark = pytest.mark.service


def answer(parts: list[dict[str, Any]] | None, finish_reason: str = "STOP", **usage: int) -> dict[str, Any]:
    """A response of one candidate."""
    content = {"role": "model"} if parts is None else {"role": "model", "parts": parts}
    candidate = {"content": content, "finishReason": finish_reason, "index": 0}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x-001"}


@pytest.mark.parametrize("provider", ["gemini", "vertex"])
def test_the_request_is_written_as_google_wants_it(provider: str, shared_server: Any, complete: Any) -> None:
    shared_server.always = answer([{"text": "a"}])
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    complete(
        *(f"{provider}/gemini-x", messages),
        max_tokens=9,
        temperature=0,
        top_p=0.5,
        seed=7,
        stop=("x",),
        extra={"top_k": 3},
    )
    (received,) = shared_server.received
    if provider == "vertex":
        model = "projects/some-project/locations/europe-west4/publishers/google/models/gemini-x"
        assert received.path.endswith(f"/{model}:generateContent")
        assert received.headers["authorization"] == "Bearer t"
    else:
        assert received.path.endswith("/models/gemini-x:generateContent")
        assert received.headers["x-goog-api-key"] == "test"
    assert received.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert [turn["role"] for turn in received.body["contents"]] == ["user", "model", "user"]
    assert [part for turn in received.body["contents"] for part in turn["parts"]] == [
        {"text": "Rain?"},
        {"functionCall": {"name": "weather", "args": {"city": "Bern"}}},
        {"functionResponse": {"name": "weather", "response": {"result": "no"}}},
    ]
    assert received.body["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0,
        "topP": 0.5,
        "topK": 3,
        "seed": 7,
        "stopSequences": ["x"],
    }


@pytest.mark.parametrize(
    ("parts", "finish_reason", "text", "reason"),
    [
        ([{"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"}], "STOP", "ab", "stop"),
        (None, "MAX_TOKENS", "", "length"),
        (None, "SAFETY", "", "refusal"),
        ([{"text": "a"}], "RECITATION", "a", "refusal"),
        ([{"text": ""}], "STOP", "", "stop"),
        ([{"text": "a"}], "LANGUAGE", "a", "other"),
        (
            [{"functionCall": {"name": "f", "args": {"x": 1}}}],
            *("STOP", '[{"name": "f", "arguments": {"x": 1}}]', "tool_calls"),
        ),
    ],
)
def test_what_an_answer_means(
    parts: list[dict[str, Any]] | None, finish_reason: str, text: str, reason: str, shared_server: Any, complete: Any
) -> None:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 40}
    shared_server.reply(answer(parts, finish_reason, **usage))
    got = complete("gemini/gemini-x")
    assert (got.text, got.finish_reason, got.model) == (text, reason, "gemini-x-001")
    # Thinking is paid as output.
    assert (got.input_tokens, got.output_tokens) == (5, 42)


def test_a_prompt_that_is_blocked_is_a_refusal(shared_server: Any, complete: Any) -> None:
    shared_server.reply({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}})
    got = complete("gemini/gemini-x")
    assert (got.text, got.finish_reason, got.input_tokens, got.output_tokens) == ("", "refusal", 5, None)


@pytest.mark.parametrize(
    "body", [answer(None), answer([]), answer(None, "MALFORMED_FUNCTION_CALL"), {"candidates": []}]
)
def test_an_answer_without_a_text_is_malformed(body: dict[str, Any], shared_server: Any, complete: Any) -> None:
    shared_server.reply(body)
    with pytest.raises(ModelError) as failed:
        complete("gemini/gemini-x")
    assert failed.value.kind == "malformed"


def test_the_seconds_to_wait_stand_in_the_errors_details(shared_server: Any, complete: Any) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    error = {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": [info]}
    shared_server.reply({"error": error}, 429)
    with pytest.raises(ModelError, match="429: Quota exceeded") as failed:
        complete("gemini/gemini-x")
    assert (failed.value.kind, failed.value.retry_after_s) == ("rate_limited", 34.5)


def test_a_wrong_key_is_a_400_that_no_request_survives(shared_server: Any, complete: Any) -> None:
    message = "API key not valid. Please pass a valid API key."
    shared_server.reply({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}, 400)
    with pytest.raises(ModelError) as failed:
        complete("gemini/gemini-x")
    assert failed.value.kind == "unauthorized"


def test_a_parameter_that_the_sdk_does_not_know_is_rejected(shared_server: Any, complete: Any) -> None:
    with pytest.raises(ModelError, match="top_kk") as failed:
        complete("gemini/gemini-x", extra={"top_kk": 3})
    assert failed.value.kind == "rejected" and shared_server.received == []
