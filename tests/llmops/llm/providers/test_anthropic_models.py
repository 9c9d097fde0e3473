"""The Messages API: what is sent, and what each form of answer means."""

from typing import Any

import pytest

from llmops.llm.failures import ModelError

pytestmark = pytest.mark.service


def answer(content: list[dict[str, Any]], stop_reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    """A message of the model."""
    return {"type": "message", "model": "claude-x-2026", "content": content, "stop_reason": stop_reason, "usage": usage}


def test_the_request_is_written_as_anthropic_wants_it(shared_server: Any, complete: Any) -> None:
    shared_server.always = answer([{"type": "text", "text": "a"}])
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    complete("anthropic/claude-x")
    complete(
        *("anthropic/claude-x", messages),
        max_tokens=9,
        temperature=0,
        top_p=0.5,
        seed=7,
        stop=("x",),
        extra={"thinking": {"type": "disabled"}},
    )
    plain, full = shared_server.received
    assert plain.path == "/v1/messages"
    assert plain.headers["authorization"] == "Bearer test"
    assert "anthropic-version" in plain.headers
    question = {"role": "user", "content": [{"type": "text", "text": "The capital of France?"}]}
    assert plain.body == {"model": "claude-x", "max_tokens": 4096, "messages": [question]}
    assert full.body == {
        "model": "claude-x",
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "Rain?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Bern"}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "no"}]},
        ],
        "max_tokens": 9,
        "temperature": 0,
        "top_p": 0.5,
        "stop_sequences": ["x"],
        "thinking": {"type": "disabled"},
    }


@pytest.mark.parametrize(
    ("content", "stop_reason", "text", "reason"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "stop_sequence", "ab", "stop"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}], "end_turn", "a", "stop"),
        ([], "end_turn", "", "stop"),
        ([{"type": "thinking", "thinking": "hm"}], "max_tokens", "", "length"),
        ([{"type": "text", "text": "a"}], "model_context_window_exceeded", "a", "length"),
        ([], "refusal", "", "refusal"),
        ([{"type": "text", "text": "a"}], "pause_turn", "a", "other"),
        (
            [{"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}],
            *("tool_use", '[{"name": "f", "arguments": {"x": 1}}]', "tool_calls"),
        ),
    ],
)
def test_what_an_answer_means(
    content: list[dict[str, Any]], stop_reason: str, text: str, reason: str, shared_server: Any, complete: Any
) -> None:
    shared_server.reply(answer(content, stop_reason, input_tokens=5, cache_read_input_tokens=100, output_tokens=2))
    got = complete("anthropic/claude-x")
    assert (got.text, got.finish_reason, got.model) == (text, reason, "claude-x-2026")
    # Anthropic counts what came from its cache apart.
    assert (got.input_tokens, got.output_tokens) == (105, 2)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access"}, "quota"),
        (402, {"type": "billing_error", "message": "pay"}, "quota"),
        (400, {"type": "invalid_request_error", "message": "max_tokens: too big"}, "rejected"),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, "overloaded"),
        (404, {"type": "not_found_error", "message": "model: claude-x"}, "not_found"),
        (413, {"type": "request_too_large", "message": "too large"}, "rejected"),
    ],
)
def test_what_an_error_means(status: int, error: dict[str, str], kind: str, shared_server: Any, complete: Any) -> None:
    shared_server.reply({"type": "error", "error": error}, status)
    with pytest.raises(ModelError) as failed:
        complete("anthropic/claude-x")
    assert (failed.value.kind, failed.value.message) == (kind, f"{status}: {error['message']}")
