"""Chat Completions: what is sent, and what each form of answer means."""

import asyncio
import base64
from typing import Any

import pytest

from llmops.llm.completions import Parameters
from llmops.llm.failures import ModelError
from llmops.llm.providers import connect
from llmops.llm.providers.openai_models import OpenAIModel

pytestmark = pytest.mark.service


def answer(message: dict[str, Any], finish_reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion of one choice."""
    return {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], **more}


def test_only_what_is_set_is_sent_and_messages_go_as_they_are(shared_server: Any, complete: Any) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "é"}], "name": "ann"}]
    shared_server.always = answer({"content": "a"})
    complete("openai/some/model", messages)
    complete(
        *("openai/some/model", messages),
        max_tokens=5,
        temperature=0,
        top_p=0.5,
        seed=7,
        stop=("x", "y"),
        extra={"reasoning_effort": "low", "seed": 8},
    )
    plain, full = shared_server.received
    assert plain.path == "/v1/chat/completions"
    assert plain.headers["authorization"] == "Bearer test"
    assert plain.body == {"model": "some/model", "messages": messages}
    assert full.body == {
        **plain.body,
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "seed": 8,
        "stop": ["x", "y"],
        "reasoning_effort": "low",
    }


def test_a_compatible_server_is_asked_without_a_key(
    shared_server: Any, complete: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    shared_server.always = answer({"content": "a"})
    assert complete("openai/without-a-key").text == "a"
    assert "test" not in shared_server.received[0].headers["authorization"]


def test_openais_own_address_gets_max_completion_tokens(no_settings: pytest.MonkeyPatch) -> None:
    no_settings.setenv("OPENAI_API_KEY", "k")
    for address in (None, "https://api.openai.com/v1", "https://eu.api.openai.com/v1/"):
        if address:
            no_settings.setenv("OPENAI_BASE_URL", address)
        model = connect("openai/m")
        assert isinstance(model, OpenAIModel)
        assert model._options(Parameters(max_tokens=5)) == {"max_completion_tokens": 5}


def test_azure_is_asked_for_the_deployment_with_the_version_and_the_key(shared_server: Any, complete: Any) -> None:
    shared_server.always = answer({"content": "a"}, model="gpt-5-2026")
    assert complete("azure/our-gpt", max_tokens=5).model == "gpt-5-2026"
    (received,) = shared_server.received
    assert received.path == "/openai/deployments/our-gpt/chat/completions?api-version=2025-04-01-preview"
    assert received.headers["api-key"] == "test"
    assert received.body["max_completion_tokens"] == 5


def test_azures_newer_api_is_asked_without_the_deployment_in_its_address(
    shared_server: Any, complete: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "v1")
    shared_server.always = answer({"content": "a"}, model="gpt-5-2026")
    assert complete("azure/newer-gpt", max_tokens=5).model == "gpt-5-2026"
    (received,) = shared_server.received
    assert received.path == "/openai/v1/chat/completions?api-version=v1"
    assert received.headers["authorization"] == "Bearer test"
    assert (received.body["model"], received.body["max_completion_tokens"]) == ("newer-gpt", 5)


@pytest.mark.parametrize(
    ("message", "finish_reason", "text", "reason"),
    [
        ({"content": ""}, "stop", "", "stop"),
        ({"content": None}, "length", "", "length"),
        ({"content": "a b"}, "length", "a b", "length"),
        ({"content": None, "refusal": "I will not."}, "stop", "I will not.", "refusal"),
        ({"content": None}, "content_filter", "", "refusal"),
        ({"content": "as far as"}, "content_filter", "as far as", "refusal"),
        ({"content": "a"}, "eos", "a", "other"),
        ({"content": "a"}, None, "a", "other"),
        (
            {"content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
            *("tool_calls", '[{"name": "f", "arguments": {"x": 1}}]', "tool_calls"),
        ),
    ],
)
def test_what_an_answer_means(
    message: dict[str, Any], finish_reason: str | None, text: str, reason: str, shared_server: Any, complete: Any
) -> None:
    shared_server.reply(answer(message, finish_reason))
    got = complete("openai/m")
    assert (got.text, got.finish_reason) == (text, reason)
    assert (got.input_tokens, got.output_tokens) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        answer({"content": None}),
        answer({"role": "assistant"}),
        answer({"content": 5}),
        {"choices": []},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": None}]},
        {"error": "busy"},
    ],
)
def test_an_answer_without_a_text_is_malformed(body: dict[str, Any], shared_server: Any, complete: Any) -> None:
    shared_server.reply(body)
    with pytest.raises(ModelError) as failed:
        complete("openai/m")
    assert failed.value.kind == "malformed"


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_no_money_left_is_no_rate_limit(code: str, shared_server: Any, complete: Any) -> None:
    error = {"message": "You exceeded your current quota", "type": code, "param": None, "code": code}
    shared_server.reply({"error": error}, 429)
    with pytest.raises(ModelError, match="exceeded your current quota") as failed:
        complete("openai/m")
    assert failed.value.kind == "quota" and failed.value.fatal


@pytest.mark.parametrize("model", ["azure/m", "openai/m"])
def test_a_request_that_a_filter_refuses_is_a_refusal(model: str, shared_server: Any, complete: Any) -> None:
    error = {"message": "The response was filtered", "code": "content_filter", "status": 400}
    shared_server.reply({"error": error}, 400)
    got = complete(model)
    assert (got.text, got.finish_reason, got.input_tokens) == ("", "refusal", None)


@pytest.mark.parametrize("model", ["azure/m", "openai/m"])
def test_another_refused_request_is_rejected_with_the_providers_code(
    model: str, shared_server: Any, complete: Any
) -> None:
    shared_server.reply({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400)
    with pytest.raises(ModelError, match="400: too long") as failed:
        complete(model)
    assert (failed.value.kind, failed.value.code) == ("rejected", "context_length_exceeded")


@pytest.mark.parametrize(("model", "setting"), [("openai/m", "OPENAI_BASE_URL"), ("azure/m", "AZURE_OPENAI_ENDPOINT")])
def test_a_login_in_the_address_is_sent_and_not_written_down(
    model: str, setting: str, raw_server: Any, no_settings: pytest.MonkeyPatch
) -> None:
    raw_server.always = answer({"content": "a"})
    no_settings.setenv(setting, raw_server.url.replace("http://", "http://ann:s%40fe@"))

    async def ask() -> str:
        connected = connect(model)
        await connected.complete([{"role": "user", "content": "?"}], Parameters(), 60.0)
        await connected.close()
        return connected.endpoint

    endpoint = asyncio.run(ask())
    assert endpoint.startswith(raw_server.url)
    [received] = raw_server.received
    assert received.headers["authorization"] == "Basic " + base64.b64encode(b"ann:s@fe").decode()


def test_what_is_no_json_is_rejected_before_it_is_sent(shared_server: Any, complete: Any) -> None:
    for messages in ([{"role": "user", "content": "\ud800"}], [{"role": "user", "content": object()}]):
        with pytest.raises(ModelError) as failed:
            complete("openai/m", messages)
        assert failed.value.kind == "rejected"
    assert shared_server.received == []


def test_an_endpoint_that_fails_in_every_way_is_asked_once_each_time(
    chat_endpoint: Any, no_settings: pytest.MonkeyPatch
) -> None:
    endpoint = chat_endpoint()
    no_settings.setenv("OPENAI_BASE_URL", endpoint.base_url)
    kinds = {"429": "rate_limited", "500": "server", "broken_json": "malformed", "hang": "timeout"}
    kinds |= {"cut": "connection", "reset": "connection"}
    endpoint.fail(*({"kind": fault, "match": fault, "retry_after": 3} for fault in kinds))

    async def ask_all() -> list[Any]:
        model = connect("openai/m")
        asked = [
            model.complete([{"role": "user", "content": fault}], Parameters(), 2.0 if fault == "hang" else 60.0)
            for fault in (*kinds, "nothing")
        ]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        await model.close()
        return outcomes

    *failures, last = asyncio.run(ask_all())
    assert [failed.kind for failed in failures] == list(kinds.values())
    assert failures[0].retry_after_s == 3
    assert last.text == "You said: nothing"
    assert endpoint.seen()["asked"] == dict.fromkeys((*kinds, "nothing"), 1)
