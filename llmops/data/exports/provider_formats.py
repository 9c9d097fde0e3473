"""A sample as one record of a provider's fine-tuning file, or of a shape that training tools read.

Each shape is a function from a row (`input`, `expected`, `context`, `messages`) to the object that becomes one line.
What a shape has no place for is refused, never left out in silence. Reading the record back gives the row again (see
`shapes`); only a `developer` message comes back as a `system` one where a provider knows no other.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from llmops.data.conversations import Conversation, canonical_json, join_context, to_conversation
from llmops.data.reading.jsonl_rows import not_a_number

Row: TypeAlias = Mapping[str, Any]
Record: TypeAlias = dict[str, Any]

_SYSTEM = ("system", "developer")
_SHAREGPT_NAMES = {**dict.fromkeys(_SYSTEM, "system"), "user": "human", "assistant": "gpt"}
# The keys of a message that the Chat Completions API takes in a fine-tuning file; it refuses a file with any other.
_CHAT_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "weight", "refusal"})


class NotExportableError(ValueError):
    """A sample that a format has no place for: why, and by which rule."""

    def __init__(self, reason: str, rule: str = "not-carried") -> None:
        super().__init__(reason)
        self.rule = rule


def chat_record(row: Row) -> Record:
    """OpenAI and Azure: ``{"messages": […], "tools": […]}``.

    https://developers.openai.com/api/docs/guides/supervised-fine-tuning
    """
    conversation = to_conversation(row)
    for number, message in enumerate(conversation["messages"], start=1):
        _check_chat_message(number, message)
    return dict(conversation)


def contents_record(row: Row) -> Record:
    """Vertex AI: ``{"systemInstruction": {…}, "contents": [{"role": "user", "parts": [{"text": …}]}, …]}``.

    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-prepare
    https://cloud.google.com/vertex-ai/generative-ai/docs/models/tune-function-calling
    """
    conversation = to_conversation(row)
    record: Record = {}
    contents: list[Record] = []
    called: dict[str, str] = {}
    for number, message in enumerate(conversation["messages"], start=1):
        role = message["role"]
        carried = {"name", "tool_call_id"} if role == "tool" else {"tool_calls"}
        _refuse_other_keys(number, message, {"role", "content", *carried})
        if role in _SYSTEM:
            record["systemInstruction"] = {"role": "system", "parts": [{"text": message["content"]}]}
        elif role == "tool":
            part = _function_response(number, message, called)
            # The results of calls made at once belong into one turn.
            if contents and "functionResponse" in contents[-1]["parts"][0]:
                contents[-1]["parts"].append(part)
            else:
                contents.append({"role": "user", "parts": [part]})
        else:
            calls = message.get("tool_calls", [])
            called |= {call["id"]: call["function"]["name"] for call in calls if "id" in call}
            texts = [{"text": message["content"]}] if message.get("content") or not calls else []
            parts = texts + [_function_call(number, call) for call in calls]
            contents.append({"role": "model" if role == "assistant" else role, "parts": parts})
    record["contents"] = contents
    if "tools" in conversation:
        record["tools"] = [{"functionDeclarations": list(map(_function_declaration, conversation["tools"]))}]
    return record


def completion_record(row: Row) -> Record:
    """Bedrock's text models: ``{"prompt": …, "completion": …}``, the context at the head of the prompt.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html
    """
    _require_plain(row, "prompt and completion")
    return {"prompt": join_context(row["context"], row["input"]), "completion": row["expected"]}


def claude_record(row: Row) -> Record:
    """Bedrock's Claude: ``{"system": …, "messages": […]}``, user and assistant in turn.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html
    """
    turns = _text_turns(to_conversation(row))
    messages = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    if messages[0]["role"] in _SYSTEM:
        return {"system": messages[0]["content"], "messages": messages[1:]}
    return {"messages": messages}


def converse_record(row: Row) -> Record:
    """Bedrock's Nova and newer Llamas: ``{"schemaVersion": …, "system": [{"text": …}], "messages": […]}``.

    A message is ``{"role": "user", "content": [{"text": …}]}``; user and assistant speak in turn.

    https://docs.aws.amazon.com/nova/latest/userguide/fine-tune-prepare-data-understanding.html
    https://docs.aws.amazon.com/bedrock/latest/userguide/preparing-text-data.html
    """
    claude = claude_record(row)
    record: Record = {"schemaVersion": "bedrock-conversation-2024"}
    if "system" in claude:
        record["system"] = [{"text": claude["system"]}]
    said = [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in claude["messages"]]
    return {**record, "messages": said}


def sharegpt_record(row: Row) -> Record:
    """ShareGPT: ``{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …, "weight": 0}]}``.

    A turn has a `weight` where its message has one.
    """
    said = []
    for turn in _text_turns(to_conversation(row), "weight"):
        weight = {"weight": turn["weight"]} if "weight" in turn else {}
        said.append({"from": _SHAREGPT_NAMES[turn["role"]], "value": turn["content"], **weight})
    return {"conversations": said}


def alpaca_record(row: Row) -> Record:
    """Alpaca: ``{"instruction": …, "input": "", "output": …}``, the context at the head of the instruction.

    Its `input` completes the instruction, and who trains joins the two: nothing could tell them apart again.

    https://github.com/tatsu-lab/stanford_alpaca#data-release
    """
    _require_plain(row, "instruction, input and output")
    return {"instruction": join_context(row["context"], row["input"]), "input": "", "output": row["expected"]}


PROVIDER_RECORDS: dict[str, Callable[[Row], Record]] = {
    "openai": chat_record,
    "azure": chat_record,
    "vertex": contents_record,
    "bedrock": completion_record,
    "bedrock-claude": claude_record,
    "bedrock-conversation": converse_record,
    "sharegpt": sharegpt_record,
    "alpaca": alpaca_record,
}


def _text_turns(conversation: Conversation, *carried: str) -> list[dict[str, Any]]:
    """The messages of a conversation of nothing but text, with role, content and the keys that are carried."""
    if "tools" in conversation:
        raise NotExportableError("it offers tools, which this format does not carry; export it as openai or jsonl")
    messages = conversation["messages"]
    for number, message in enumerate(messages, start=1):
        if message["role"] == "tool" or "tool_calls" in message:
            reason = f"message {number} is a tool's call or result, which this format does not carry"
            raise NotExportableError(f"{reason}; export it as openai or jsonl")
        _refuse_other_keys(number, message, {"role", "content", *carried})
    return messages


def _refuse_other_keys(number: int, message: Mapping[str, Any], known: Collection[str]) -> None:
    extra = sorted(set(message) - set(known))
    if extra:
        reason = f"message {number} has the key {extra[0]!r}, which this format does not carry"
        raise NotExportableError(f"{reason}; take it out, or export it as openai or jsonl")


def _function_call(number: int, call: Mapping[str, Any]) -> Record:
    function = call["function"]
    arguments = _json_object(function["arguments"])
    if arguments is None or call.get("type", "function") != "function":
        reason = f"message {number} calls {function['name']!r} with arguments that are no JSON object"
        raise NotExportableError(f"{reason}; write them as one", "tool-call")
    named = {"id": call["id"]} if "id" in call else {}
    return {"functionCall": {**named, "name": function["name"], "args": arguments}}


def _function_response(number: int, message: Mapping[str, Any], called: Mapping[str, str]) -> Record:
    name = message.get("name") or called.get(message.get("tool_call_id", ""))
    if name is None:
        reason = f"message {number} is the result of a tool without a name; give it the tool_call_id of its call"
        raise NotExportableError(reason, "tool-call")
    named = {"id": message["tool_call_id"]} if "tool_call_id" in message else {}
    text = message["content"]
    response = _json_object(text)
    # The field takes objects only; a text, and an object that would not be read back as this text, is put into one.
    if response is None or canonical_json(response) != text or list(response) == ["content"]:
        response = {"content": text}
    return {"functionResponse": {**named, "name": name, "response": response}}


def _function_declaration(tool: Mapping[str, Any]) -> Record:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        raise NotExportableError(f"it offers a tool of type {tool.get('type')!r}; only functions can be written")
    extra = sorted(function.keys() - {"name", "description", "parameters"})
    if extra:
        raise NotExportableError(f"the tool {function.get('name')!r} has the key {extra[0]!r}; take it out")
    return dict(function)


def _json_object(text: str) -> Record | None:
    try:
        value = json.loads(text, parse_constant=not_a_number)
        # 1e999 is read as infinity, which cannot be written.
        canonical_json(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _require_plain(row: Row, carried: str) -> None:
    if row["messages"] is not None:
        reason = f"it is a conversation with more than a question and its answer, and the format has only {carried}"
        raise NotExportableError(f"{reason}; export it as bedrock-claude, openai or jsonl")


def _check_chat_message(number: int, message: Mapping[str, Any]) -> None:
    unknown = sorted(message.keys() - _CHAT_KEYS)
    if unknown:
        raise NotExportableError(
            f"message {number} has the key {unknown[0]!r}, which OpenAI does not know; take it out"
        )
    if message["role"] == "tool" and "tool_call_id" not in message:
        raise NotExportableError(
            f"message {number} is a tool's without tool_call_id; name the call it answers", "tool-call"
        )
    for call in message.get("tool_calls", ()):
        if not isinstance(call.get("id"), str) or call.get("type") != "function":
            reason = f"message {number} has a tool call without an id or the type 'function'; add both"
            raise NotExportableError(reason, "tool-call")
    if message.get("weight", 1) not in (0, 1):
        raise NotExportableError(f"the weight of message {number} is {message['weight']!r}; use 0 or 1", "weight")
