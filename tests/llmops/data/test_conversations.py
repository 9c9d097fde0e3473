import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmops.data.conversations import (
    ConversationError,
    from_messages,
    join_context,
    parse_conversation,
    split_context,
    to_conversation,
)

USER = {"role": "user", "content": "When?"}
ANSWER = {"role": "assistant", "content": "At nine."}
CALL = {"id": "1", "type": "function", "function": {"name": "hours", "arguments": '{"day":"Monday"}'}}


def calling(arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": arguments}}]}


# Texts made of what the fence is made of, so that every way to confuse it is met.
PIECES = st.sampled_from(["<context>\n", "\n</context>\n\n", "</context>", "<context>", "\n", "\\", "x", "🙂", " "])
TEXTS = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=20))


@settings(deadline=None, max_examples=50)
@given(context=st.none() | TEXTS.filter(bool), text=TEXTS)
@example(context="a\n</context>\n", text="\n</context>\n\nx")
@example(context="\n\\</context>\n\n", text="")
@example(context=None, text="<context>\n\n</context>\n\n<context>\nc\n</context>\n\nx")
def test_a_context_joined_to_a_text_is_split_off_again(context: str | None, text: str) -> None:
    assert split_context(join_context(context, text)) == (context, text)
    assert join_context(*split_context(text)) == text


@settings(deadline=None, max_examples=50)
@given(question=TEXTS, answer=TEXTS, context=st.none() | TEXTS.filter(bool))
def test_a_plain_sample_survives_its_messages(question: str, answer: str, context: str | None) -> None:
    messages = to_conversation({"input": question, "expected": answer, "context": context})["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert from_messages(messages) == (question, answer, context, None)


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    first = draw(st.sampled_from([[], ["system"], ["developer"]]))
    messages: list[dict[str, Any]] = [{"role": role, "content": draw(TEXTS.filter(bool))} for role in first]
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXTS)})
        for _ in range(draw(st.integers(0, 2))):
            messages.append({"role": "assistant", "tool_calls": [CALL]})
            messages += [{"role": "tool", "tool_call_id": "1", "content": draw(TEXTS)}] * draw(st.integers(1, 2))
        messages.append({"role": "assistant", "content": draw(TEXTS)})
    tools = draw(st.sampled_from([None, [{"type": "function", "function": {"name": "hours"}}]]))
    return {"messages": messages, "tools": tools}


@settings(deadline=None, max_examples=50)
@given(conversation=conversations())
def test_any_conversation_survives_the_sample_it_becomes(conversation: dict[str, Any]) -> None:
    sample = from_messages(**conversation)
    back = to_conversation(sample._asdict())
    assert back["messages"] == conversation["messages"]
    assert back.get("tools") == conversation["tools"]
    assert from_messages(back["messages"], back.get("tools")) == sample


def test_what_a_long_conversation_becomes() -> None:
    asked = {"role": "user", "content": "<context>\nOpen from nine.\n</context>\n\nAnd Monday?"}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "1", "content": "closed"}
    sample = from_messages([{"role": "system", "content": "Be kind."}, USER, ANSWER, asked, called, result, ANSWER])
    assert sample.input == (
        "user: When?\n\nassistant: At nine.\n\nuser: And Monday?\n\n"
        'assistant: [{"id":"1","type":"function","function":{"name":"hours","arguments":"{\\"day\\":\\"Monday\\"}"}}]'
        "\n\ntool: closed"
    )
    assert (sample.expected, sample.context) == ("At nine.", "Open from nine.")
    stored = json.loads(sample.messages or "")["messages"]
    assert stored[3] == {"role": "user", "content": "And Monday?"}
    assert stored[4] == {"role": "assistant", "tool_calls": [CALL]}


def test_a_system_message_keeps_the_question_plain() -> None:
    sample = from_messages([{"content": "Be kind.", "role": "system"}, USER, ANSWER])
    assert sample[:3] == ("When?", "At nine.", None)
    assert sample.messages == (
        '{"messages":[{"role":"system","content":"Be kind."},'
        '{"role":"user","content":"When?"},{"role":"assistant","content":"At nine."}]}'
    )


def test_a_conversation_that_ends_in_a_tool_call() -> None:
    call = {"function": {"name": "hours", "arguments": {"day": "Monday"}}}
    sample = from_messages([USER, {"role": "assistant", "content": "", "tool_calls": [call]}])
    assert sample.expected == '[{"function":{"name":"hours","arguments":"{\\"day\\":\\"Monday\\"}"}}]'


def test_parts_of_text_are_joined_and_null_keys_dropped() -> None:
    parts = [{"type": "text", "text": "Wh"}, {"type": "text", "text": "en?"}]
    answer = {**ANSWER, "tool_calls": None, "name": None, "refusal": None}
    assert from_messages([{"role": "user", "content": parts}, answer]) == ("When?", "At nine.", None, None)
    assert from_messages([USER, {"role": "assistant", "content": None}]).expected == ""
    assert from_messages([{"role": "system", "content": ""}, USER, ANSWER]).messages is None
    assert '"weight":0' in (from_messages([USER, {**ANSWER, "weight": 0}]).messages or "")


@pytest.mark.parametrize(
    ("messages", "rule", "reason"),
    [
        ([], "role-order", "there is no message; end each conversation with the assistant's answer"),
        ([USER], "role-order", "the last message is from the user"),
        ([ANSWER], "role-order", "message 1 is from the assistant where the user's must be"),
        ([USER, USER, ANSWER], "role-order", "message 2 is from the user where the assistant's must be"),
        ([USER, ANSWER, ANSWER], "role-order", "message 3 is from the assistant where the user's must be"),
        ([USER, {"role": "system", "content": "s"}, ANSWER], "role-order", "message 2 is from the system"),
        ([USER, {"role": "tool", "content": "s"}, ANSWER], "role-order", "message 2 is from the tool"),
        ([USER, {**ANSWER, "tool_calls": [CALL]}, USER, ANSWER], "role-order", "where the tool's must be"),
        ([USER, {"role": "judge", "content": "s"}], "chat-shape", "message 2 has the role 'judge'"),
        ([USER, "At nine."], "chat-shape", "message 2 is not an object"),
        ([{"role": "user", "content": {"a": 1}}, ANSWER], "chat-shape", "the content of message 1 is not text"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}, ANSWER],
            "chat-shape",
            "message 1 holds a part of type 'image_url'; only text can be used",
        ),
        ([USER, {"role": "assistant", "tool_calls": [{"name": "x"}]}], "chat-shape", "a tool call of message 2 is not"),
        ([USER, {**ANSWER, "weight": float("nan")}], "chat-shape", "cannot be written as JSON"),
        ([USER, {"role": "assistant", "function_call": {"name": "x"}}], "chat-shape", "use tool_calls"),
        ([USER, {"role": "function", "name": "x", "content": "1"}], "chat-shape", "use tool_calls"),
        ([USER, calling("q=1")], "chat-shape", "message 2 calls 'look' with arguments that are not JSON"),
        ([USER, calling("[NaN]")], "chat-shape", "with arguments that are not JSON"),
        ([USER, calling({"n": float("inf")})], "chat-shape", "with arguments that are not JSON"),
        ("hello", "chat-shape", "messages is not a list"),
    ],
)
def test_conversations_that_are_refused(messages: Any, rule: str, reason: str) -> None:
    with pytest.raises(ConversationError) as caught:
        from_messages(messages)
    assert caught.value.rule == rule
    assert reason in str(caught.value)


@pytest.mark.parametrize("arguments", ['{"b": 1,\n "a": "\\u00e9"}', '{"b":1,"a":"é"}', {"b": 1, "a": "é"}])
def test_arguments_are_written_in_one_way(arguments: Any) -> None:
    [call] = json.loads(from_messages([USER, calling(arguments)]).expected)
    assert call["function"]["arguments"] == '{"b":1,"a":"é"}'


def test_conversations_as_json_text() -> None:
    messages = [USER, ANSWER]
    assert parse_conversation(json.dumps(messages)) == {"messages": messages}
    assert parse_conversation({"messages": messages, "tools": []}) == {"messages": messages}
    assert parse_conversation('{"messages": [], "tools": [{"type": "function"}]}')["tools"] == [{"type": "function"}]
    for value in ("no json", "[" * 100_000, 7, None, {"text": "x"}):
        with pytest.raises(ConversationError, match="messages is"):
            parse_conversation(value)
