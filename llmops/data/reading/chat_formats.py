"""Conversations as other tools write them, as OpenAI's messages: Claude, Nova, Vertex AI, ShareGPT and TRL."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from llmops.data.conversations import ConversationError, canonical_json, json_value, parse_conversation

SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}


class ChatFormat(NamedTuple):
    """The column that holds the conversation, the columns that belong to it, and how a row becomes messages."""

    column: str
    beside: tuple[str, ...]
    convert: Callable[[Mapping[str, Any]], tuple[list[Any], Any]]


def from_chat(row: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Messages and tools of a row in OpenAI's form, or Claude's and Nova's with their `system` beside `messages`."""
    conversation = parse_conversation(row["messages"])
    tools = _openai_tools(row.get("tools")) or conversation.get("tools")
    return [*_system(row.get("system")), *conversation["messages"]], tools


def from_vertex(row: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Messages and tools of a row in Vertex AI's form: `contents` of user and model with their parts.

    >>> contents = [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "hello"}]}]
    >>> from_vertex({"contents": contents})[0][1]
    {'role': 'assistant', 'content': 'hello'}
    """
    instruction = json_value(row.get("systemInstruction") or row.get("system_instruction"), "systemInstruction")
    if isinstance(instruction, Mapping):
        instruction = instruction.get("parts")
    messages = _system(instruction)
    for number, content in enumerate(_objects(row["contents"], "contents"), start=1):
        messages += _vertex_messages(number, content)
    return messages, _openai_tools(row.get("tools"))


def from_sharegpt(row: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Messages and tools of a row in ShareGPT's form: `conversations` of {"from": "human", "value": "…"}.

    A turn may have a `weight` as OpenAI's messages do.

    >>> from_sharegpt({"conversations": [{"from": "human", "value": "hi"}]})
    ([{'role': 'user', 'content': 'hi'}], None)
    """
    turns = _objects(row["conversations"], "conversations")
    messages = _system(row.get("system"))
    for number, turn in enumerate(turns, start=1):
        if "role" in turn:
            messages.append(turn)
            continue
        role = SHAREGPT_ROLES.get(str(turn.get("from")))
        if role is None:
            known = ", ".join(SHAREGPT_ROLES)
            raise ConversationError(f"message {number} is from {turn.get('from')!r:.60}; use one of {known}")
        weight = {"weight": turn["weight"]} if "weight" in turn else {}
        if turn["from"] == "function_call":
            calls = json_value(turn.get("value"), f"the function call of message {number}")
            calls = calls if isinstance(calls, list) else [calls]
            said: dict[str, Any] = {"tool_calls": [{"type": "function", "function": call} for call in calls]}
        else:
            said = {"content": turn.get("value")}
        messages.append({"role": role, **said, **weight})
    return messages, _openai_tools(row.get("tools"))


def from_prompt_and_completion(row: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Messages and tools of a row in TRL's conversational form, whose `prompt` and `completion` are messages.

    https://huggingface.co/docs/trl/dataset_formats
    """
    return [*_objects(row["prompt"], "prompt"), *_objects(row["completion"], "completion")], _openai_tools(row["tools"])


TRL = ChatFormat("prompt", ("completion", "tools"), from_prompt_and_completion)
"""Told by its values: as text the two columns are no conversation."""

CHAT_FORMATS = (
    ChatFormat("messages", ("tools", "system", "schemaVersion"), from_chat),
    ChatFormat("contents", ("tools", "systemInstruction", "system_instruction"), from_vertex),
    ChatFormat("conversations", ("tools", "system"), from_sharegpt),
)


def _system(content: Any) -> list[Any]:
    return [{"role": "system", "content": content}] if content else []


def _objects(value: Any, name: str) -> Sequence[Mapping[str, Any]]:
    value = json_value(value, name)
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise ConversationError(f"{name} is not a list of messages")
    return value


def _vertex_messages(number: int, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    role = content.get("role") or "user"
    if role not in ("user", "model", "function"):
        raise ConversationError(f"message {number} has the role {role!r:.60}; use one of user, model")
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for part in _objects(content.get("parts"), f"parts of message {number}"):
        call, result = part.get("functionCall"), part.get("functionResponse")
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(call, Mapping):
            function = {"name": call.get("name"), "arguments": call.get("args")}
            named = {"id": call["id"]} if call.get("id") else {}
            calls.append({**named, "type": "function", "function": function})
        elif isinstance(result, Mapping):
            named = {"tool_call_id": result["id"]} if result.get("id") else {}
            results.append({"role": "tool", "name": result.get("name"), **named, "content": _said(result)})
        else:
            raise ConversationError(
                f"message {number} holds {', '.join(map(repr, part)):.60}; only text can be used, take it out"
            )
    if results:
        return results
    text = "".join(texts)
    if calls:
        return [{"role": "assistant", **({"content": text} if texts else {}), "tool_calls": calls}]
    return [{"role": "assistant" if role == "model" else "user", "content": text}]


def _said(result: Mapping[str, Any]) -> str:
    response = result.get("response") or {}
    only_text = isinstance(response, Mapping) and list(response) == ["content"] and isinstance(response["content"], str)
    return response["content"] if only_text else canonical_json(response)


def _openai_tools(tools: Any) -> Any:
    """Tools in OpenAI's form, from there, from Vertex AI's declarations, or from bare functions."""
    tools = json_value(tools, "tools")
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        return tools
    functions = [inner for tool in tools for inner in tool.get("functionDeclarations") or [tool]]
    return [{"type": "function", "function": one} if "name" in one and "type" not in one else one for one in functions]
