"""Each provider's record as its own page shows it, and what has no place there."""

import json
from typing import Any

import pytest

from llmops.data.conversations import from_messages
from llmops.data.exports.provider_formats import PROVIDER_RECORDS, NotExportableError

PLAIN = {"input": "What is AWS?", "expected": "Amazon Web Services.", "context": None, "messages": None}
SYSTEM = {"role": "system", "content": "You are helpful."}
USER = {"role": "user", "content": "What is AWS?"}
ANSWER = {"role": "assistant", "content": "Amazon Web Services."}


def row_of(messages: list[dict[str, Any]], tools: Any = None, context: str | None = None) -> dict[str, Any]:
    return {**from_messages(messages, tools, fenced=False)._asdict(), "context": context}


def call(**changes: Any) -> dict[str, Any]:
    function = {"name": "get_sku", "arguments": '{"name":"Pixel"}'}
    return {"id": "c1", "type": "function", "function": function, **changes}


def called(**message: Any) -> list[dict[str, Any]]:
    """A conversation with one tool call, its result and an answer."""
    return [
        USER,
        {"role": "assistant", "tool_calls": [call()]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"sku":"G1"}', **message},
        ANSWER,
    ]


# From the pages that provider_formats.py names, with their own texts where they give any.
@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("openai", {"messages": [SYSTEM, USER, ANSWER]}),
        ("azure", {"messages": [SYSTEM, USER, ANSWER]}),
        ("bedrock-claude", {"system": "You are helpful.", "messages": [USER, ANSWER]}),
        (
            "bedrock-conversation",
            {
                "schemaVersion": "bedrock-conversation-2024",
                "system": [{"text": "You are helpful."}],
                "messages": [
                    {"role": "user", "content": [{"text": "What is AWS?"}]},
                    {"role": "assistant", "content": [{"text": "Amazon Web Services."}]},
                ],
            },
        ),
        (
            "vertex",
            {
                "systemInstruction": {"role": "system", "parts": [{"text": "You are helpful."}]},
                "contents": [
                    {"role": "user", "parts": [{"text": "What is AWS?"}]},
                    {"role": "model", "parts": [{"text": "Amazon Web Services."}]},
                ],
            },
        ),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "system", "value": "You are helpful."},
                    {"from": "human", "value": "What is AWS?"},
                    {"from": "gpt", "value": "Amazon Web Services."},
                ]
            },
        ),
    ],
)
def test_a_conversation_with_a_system_message(format: str, record: Any) -> None:
    assert PROVIDER_RECORDS[format](row_of([SYSTEM, USER, ANSWER])) == record
    if format not in ("openai", "azure"):
        developer = {**SYSTEM, "role": "developer"}
        assert PROVIDER_RECORDS[format](row_of([developer, USER, ANSWER])) == record


def test_a_question_with_a_context() -> None:
    row = {**PLAIN, "context": "Clouds."}
    question = "<context>\nClouds.\n</context>\n\nWhat is AWS?"
    answer = "Amazon Web Services."
    records = {format: record(row) for format, record in PROVIDER_RECORDS.items()}
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    assert records["openai"] == records["azure"] == records["bedrock-claude"] == {"messages": chat}
    assert records["bedrock"] == {"prompt": question, "completion": answer}
    assert records["bedrock-conversation"] == {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [
            {"role": "user", "content": [{"text": question}]},
            {"role": "assistant", "content": [{"text": answer}]},
        ],
    }
    assert records["alpaca"] == {"instruction": question, "input": "", "output": answer}
    assert records["sharegpt"] == {
        "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    }
    assert records["vertex"] == {
        "contents": [{"role": "user", "parts": [{"text": question}]}, {"role": "model", "parts": [{"text": answer}]}]
    }


def test_a_weight_in_sharegpt() -> None:
    assert PROVIDER_RECORDS["sharegpt"](row_of([USER, {**ANSWER, "weight": 0}]))["conversations"] == [
        {"from": "human", "value": "What is AWS?"},
        {"from": "gpt", "value": "Amazon Web Services.", "weight": 0},
    ]
    for format in ("bedrock-claude", "bedrock-conversation", "vertex"):
        with pytest.raises(NotExportableError, match="message 2 has the key 'weight'"):
            PROVIDER_RECORDS[format](row_of([USER, {**ANSWER, "weight": 0}]))


@pytest.mark.parametrize("format", ["vertex", "sharegpt", "bedrock-claude", "bedrock-conversation"])
def test_a_name_is_refused(format: str) -> None:
    with pytest.raises(NotExportableError, match="message 1 has the key 'name'"):
        PROVIDER_RECORDS[format](row_of([{**USER, "name": "ann"}, ANSWER]))


def test_tools_in_vertex() -> None:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/models/tune-function-calling
    declared = {"name": "get_sku", "description": "Get the SKU", "parameters": {"type": "object"}}
    second = {"role": "tool", "tool_call_id": "c2", "name": "get_sku", "content": "not found"}
    messages = called()
    messages[1] = {"role": "assistant", "content": "Let me see.", "tool_calls": [call(), call(id="c2")]}
    messages.insert(3, second)
    record = PROVIDER_RECORDS["vertex"](row_of(messages, [{"type": "function", "function": declared}]))
    arguments = {"name": "get_sku", "args": {"name": "Pixel"}}
    assert record == {
        "contents": [
            {"role": "user", "parts": [{"text": "What is AWS?"}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Let me see."},
                    {"functionCall": {"id": "c1", **arguments}},
                    {"functionCall": {"id": "c2", **arguments}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c1", "name": "get_sku", "response": {"sku": "G1"}}},
                    {"functionResponse": {"id": "c2", "name": "get_sku", "response": {"content": "not found"}}},
                ],
            },
            {"role": "model", "parts": [{"text": "Amazon Web Services."}]},
        ],
        "tools": [{"functionDeclarations": [declared]}],
    }


@pytest.mark.parametrize("text", ['{"content":"x"}', '{ "a": 1 }', "[1]", "1", '{"a":NaN}', "[" * 100_000])
def test_a_result_that_would_not_be_read_back_as_it_is_is_a_text(text: str) -> None:
    contents = PROVIDER_RECORDS["vertex"](row_of(called(content=text)))["contents"]
    assert contents[2]["parts"][0]["functionResponse"]["response"] == {"content": text}


CONVERSATION = row_of([SYSTEM, USER, ANSWER])
TOOL = {"type": "function", "function": {"name": "get_sku"}}


@pytest.mark.parametrize(
    ("format", "row", "reason"),
    [
        ("bedrock", CONVERSATION, "the format has only prompt and completion; export it as bedrock-claude"),
        ("alpaca", CONVERSATION, "the format has only instruction, input and output"),
        ("bedrock-claude", row_of([USER, ANSWER], [TOOL]), "offers tools"),
        ("bedrock-conversation", row_of([USER, ANSWER], [TOOL]), "offers tools"),
        ("sharegpt", row_of([USER, ANSWER], [TOOL]), "offers tools"),
        ("bedrock-claude", row_of(called()), "message 2 is a tool's call or result"),
        ("bedrock-conversation", row_of(called()), "message 2 is a tool's call or result"),
        ("sharegpt", row_of(called()), "message 2 is a tool's call or result"),
        ("bedrock-claude", row_of([USER, {**ANSWER, "weight": 0}]), "message 2 has the key 'weight'"),
        ("vertex", row_of([USER, {**ANSWER, "weight": 0}]), "message 2 has the key 'weight'"),
        ("openai", row_of([{**USER, "mood": "glad"}, ANSWER]), "message 1 has the key 'mood', which OpenAI does not"),
        ("openai", row_of([USER, {**ANSWER, "weight": 0.5}]), "weight of message 2 is 0.5"),
        ("openai", row_of(called(tool_call_id=None)), "message 3 is a tool's without tool_call_id"),
        (
            "azure",
            row_of([USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]),
            "message 2 has a tool call without an id",
        ),
        ("vertex", row_of(called(tool_call_id="c9")), "message 3 is the result of a tool without a name"),
        (
            "vertex",
            row_of([USER, {"role": "assistant", "tool_calls": [call(function={"name": "f", "arguments": "[1]"})]}]),
            "message 2 calls 'f' with arguments that are no JSON object",
        ),
        ("vertex", row_of([USER, ANSWER], [{"type": "web_search"}]), "a tool of type 'web_search'"),
        (
            "vertex",
            row_of([USER, ANSWER], [{"type": "function", "function": {"name": "f", "strict": True}}]),
            "the tool 'f' has the key 'strict'",
        ),
    ],
)
def test_what_a_format_has_no_place_for_is_refused(format: str, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotExportableError) as caught:
        PROVIDER_RECORDS[format](row)
    assert reason in str(caught.value)


def test_openai_keeps_weights_names_and_tools() -> None:
    messages = [{**USER, "name": "Ada"}, {**ANSWER, "weight": 0}, USER, ANSWER]
    record = PROVIDER_RECORDS["openai"](row_of(messages, [TOOL]))
    assert record == {"messages": messages, "tools": [TOOL]}
    json.dumps(record)
