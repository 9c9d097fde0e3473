"""Converse: what is sent, and what each form of answer means."""

from typing import Any

import pytest

from llmops.llm.failures import ModelError
from llmops.llm.providers import connect

pytestmark = pytest.mark.service


def answer(content: list[dict[str, Any]], stop_reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    """An answer of Converse."""
    output = {"message": {"role": "assistant", "content": content}}
    usage = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 107, "cacheReadInputTokens": 100}
    return {"output": output, "stopReason": stop_reason, "usage": usage, **more}


def test_the_request_is_written_as_converse_wants_it(shared_server: Any, complete: Any) -> None:
    shared_server.always = answer([{"text": "a"}])
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    complete("bedrock/anthropic.claude-x:0")
    complete(
        *("bedrock/anthropic.claude-x:0", messages),
        max_tokens=9,
        temperature=0,
        top_p=0.5,
        seed=7,
        stop=("x",),
        extra={"top_k": 3, "requestMetadata": {"team": "a"}},
    )
    plain, full = shared_server.received
    assert plain.path == "/model/anthropic.claude-x%3A0/converse"
    assert plain.body == {"messages": [{"role": "user", "content": [{"text": "The capital of France?"}]}]}
    assert full.body == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Rain?"}]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Bern"}}}],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "no"}]}}]},
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0, "topP": 0.5, "stopSequences": ["x"]},
        "additionalModelRequestFields": {"top_k": 3},
        "requestMetadata": {"team": "a"},
    }


@pytest.mark.parametrize(
    ("content", "stop_reason", "text", "reason"),
    [
        ([{"text": "a"}, {"text": "b"}], "stop_sequence", "ab", "stop"),
        ([{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "a"}], "end_turn", "a", "stop"),
        ([], "max_tokens", "", "length"),
        ([{"text": "Sorry."}], "guardrail_intervened", "Sorry.", "refusal"),
        ([{"text": "a"}], "content_filtered", "a", "refusal"),
        (
            [{"toolUse": {"toolUseId": "1", "name": "f", "input": {"x": 1}}}],
            *("tool_use", '[{"name": "f", "arguments": {"x": 1}}]', "tool_calls"),
        ),
    ],
)
def test_what_an_answer_means(
    content: list[dict[str, Any]], stop_reason: str, text: str, reason: str, shared_server: Any, complete: Any
) -> None:
    shared_server.reply(answer(content, stop_reason))
    got = complete("bedrock/m")
    assert (got.text, got.finish_reason, got.model) == (text, reason, "m")
    # Converse counts what came from the cache apart.
    assert (got.input_tokens, got.output_tokens) == (105, 2)


@pytest.mark.parametrize("kind", ["custom-model-deployment", "provisioned-model"])
def test_what_serves_a_custom_model_is_asked_by_its_arn_in_its_region(
    kind: str, shared_server: Any, complete: Any
) -> None:
    shared_server.always = answer([{"text": "a"}])
    assert complete(f"bedrock/arn:aws:bedrock:eu-west-1:123456789012:{kind}/abc123def456").text == "a"
    (seen,) = shared_server.received
    assert seen.path == f"/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3A{kind}%2Fabc123def456/converse"
    assert "/eu-west-1/bedrock/aws4_request" in seen.headers["authorization"]


def test_a_prompt_router_says_which_model_it_asked(shared_server: Any, complete: Any) -> None:
    shared_server.reply(answer([{"text": "a"}], trace={"promptRouter": {"invokedModelId": "small"}}))
    assert complete("bedrock/router").model == "small"


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (429, "ThrottlingException", "Too many requests", "rate_limited"),
        (400, "ThrottlingException", "Too many tokens", "rate_limited"),
        (400, "ServiceQuotaExceededException", "quota", "quota"),
        (429, "ModelNotReadyException", "warming up", "overloaded"),
        (424, "ModelErrorException", "model failed", "server"),
        (408, "ModelTimeoutException", "too slow", "timeout"),
        (503, "ServiceUnavailableException", "busy", "overloaded"),
        (500, "InternalServerException", "oops", "server"),
        (403, "AccessDeniedException", "no access to the model", "unauthorized"),
        (404, "ResourceNotFoundException", "no such model", "not_found"),
        (400, "ValidationException", "The provided model identifier is invalid.", "not_found"),
        (400, "ValidationException", "Input is too long", "rejected"),
    ],
)
def test_what_an_exception_means(
    status: int, code: str, message: str, kind: str, shared_server: Any, complete: Any
) -> None:
    shared_server.reply({"message": message}, status, {"x-amzn-ErrorType": code})
    with pytest.raises(ModelError) as failed:
        complete("bedrock/m")
    assert (failed.value.kind, failed.value.message) == (kind, f"{code}: {message}")


def test_without_credentials_no_request_will_be_answered(
    shared_server: Any, complete: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ModelError) as failed:
        complete("bedrock/without-credentials")
    assert failed.value.kind == "unauthorized" and shared_server.received == []


def test_the_regions_own_address_is_the_endpoint(no_settings: pytest.MonkeyPatch) -> None:
    no_settings.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert connect("bedrock/m").endpoint == "https://bedrock-runtime.eu-central-1.amazonaws.com#m"
