"""Messages of Chat Completions as turns of two speakers."""

import pytest

from llmops.llm.failures import ModelError
from llmops.llm.providers.conversation import ToolCall, ToolResult, Turn, calls_as_text, conversation_of

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}


def test_system_messages_are_set_apart_wherever_they_stand_and_turns_alternate() -> None:
    conversation = conversation_of(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One"},
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": " three"}]},
            {"role": "assistant", "content": "Four"},
            {"role": "assistant", "content": "five"},
            {"role": "user", "content": "Six"},
        ]
    )
    assert conversation.system == "Be brief.\n\nBe kind."
    assert conversation.turns == [
        Turn("user", ["One", "Two three"]),
        Turn("assistant", ["Four", "five"]),
        Turn("user", ["Six"]),
    ]


def test_tool_calls_and_results_keep_their_ids_and_the_tools_name() -> None:
    conversation = conversation_of(
        [
            {"role": "user", "content": "Rain?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "no"},
            {"role": "tool", "tool_call_id": "c2", "content": "yes"},
        ]
    )
    assert conversation.turns[1:] == [
        Turn("assistant", [ToolCall("c1", "weather", {"city": "Bern"}), ToolCall("c2", "weather", {"city": "Bern"})]),
        Turn("user", [ToolResult("c1", "weather", "no"), ToolResult("c2", "weather", "yes")]),
    ]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"content": "no role"}, "message 2 .* role is None"),
        ({"role": "narrator", "content": "x"}, "message 2 .*'narrator'"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "message 2 .*'image_url'"),
        ({"role": "user", "content": 7}, "message 2 .*neither a text nor a list"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, "message 2 .*tool call"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
            "message 2 .*tool call",
        ),
        ({"role": "assistant", "tool_calls": ["f"]}, "message 2 .*tool call"),
    ],
)
def test_what_cannot_be_sent_is_rejected_with_its_number(message: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        conversation_of([{"role": "user", "content": "Hello"}, message])
    assert refused.value.kind == "rejected"
    assert not refused.value.transient and not refused.value.fatal


def test_arguments_that_are_no_json_stay_text() -> None:
    assert calls_as_text([("f", "{broken")]) == '[{"name": "f", "arguments": "{broken"}]'
