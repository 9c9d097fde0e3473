"""Chat messages to the parts of a sample and back, so that one is exactly the other.

Messages are OpenAI's: ``{"role": "user", "content": "…"}``, with ``tool_calls``, ``tool_call_id`` and ``name`` where
tools are used. A context stands at the head of the last user message, between two lines::

    <context>
    The shop opens at nine.
    </context>

    When does the shop open?
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

_OPENING = "<context>\n"
_CLOSING = "\n</context>\n\n"
_EMPTY = _OPENING + _CLOSING
# A closing line inside a context gets a backslash, one that has backslashes one more; reading takes it off again.
_INNER_CLOSING = re.compile(r"\n(\\*)</context>(?=\n(?:\n|\Z))")
_ESCAPED_CLOSING = re.compile(r"\n\\(\\*)</context>(?=\n(?:\n|\Z))")

_SYSTEM = ("system", "developer")
_ROLES = (*_SYSTEM, "user", "assistant", "tool")
_KEY_ORDER = ("role", "content", "name", "tool_calls", "tool_call_id")
_TEXT_PARTS = ("text", "input_text", "output_text")


class Conversation(TypedDict):
    """Messages and, where the model was offered any, the tools: what the column `messages` holds as JSON text."""

    messages: list[dict[str, Any]]
    tools: NotRequired[list[dict[str, Any]]]


class ChatSample(NamedTuple):
    """The parts of a sample that a conversation says; `messages` is None for one plain question and its answer."""

    input: str
    expected: str
    context: str | None
    messages: str | None


class ConversationError(ValueError):
    """A conversation that cannot be a sample: the reason in words, and the rule (chat-shape or role-order)."""

    def __init__(self, reason: str, rule: str = "chat-shape") -> None:
        super().__init__(reason)
        self.rule = rule


def from_messages(messages: Any, tools: Any = None, *, fenced: bool = True) -> ChatSample:
    """The sample that a list of messages says.

    `expected` is the last message, the assistant's: its text or, where it has none, its tool calls as JSON. `input`
    is the one user message before it, or the transcript of all messages before it but the system's. A content may
    be text, null (no text) or a list of text parts, which are joined. With `fenced` off the context stands elsewhere
    and the last user message is taken as it is.

    Raises:
        ConversationError: something is not a message, a content is not text, or the roles are out of order: an
            optional system message, then user and assistant in turn; after tool calls the tools' results.

    >>> from_messages([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}])
    ChatSample(input='2 + 2?', expected='4', context=None, messages=None)
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise ConversationError("messages is not a list of messages")
    cleaned = [_message(number, message) for number, message in enumerate(messages, start=1)]
    _check_order(cleaned)
    if cleaned[0]["role"] in _SYSTEM and not cleaned[0]["content"]:
        # Some tools write an empty system message everywhere; elsewhere there is no place for one.
        del cleaned[0]
    offered = _tools(tools)
    last_user = max(number for number, message in enumerate(cleaned) if message["role"] == "user")
    context, question = (
        split_context(cleaned[last_user]["content"]) if fenced else (None, cleaned[last_user]["content"])
    )
    cleaned[last_user]["content"] = question
    before = [message for message in cleaned[:-1] if message["role"] not in _SYSTEM]
    return ChatSample(
        input=question if len(before) == 1 else "\n\n".join(f"{one['role']}: {_said(one)}" for one in before),
        expected=_said(cleaned[-1]),
        context=context,
        messages=None if not offered and _is_plain(cleaned) else _conversation_text(cleaned, offered),
    )


def to_conversation(row: Mapping[str, Any]) -> Conversation:
    """The messages and tools of a sample (`input`, `expected`, `context`, `messages`): `from_messages` undone.

    >>> row = {"input": "When?", "expected": "At nine.", "context": "Open from nine."}
    >>> to_conversation(row)["messages"][0]["content"]
    '<context>\\nOpen from nine.\\n</context>\\n\\nWhen?'
    """
    if row.get("messages"):
        conversation: Conversation = json.loads(row["messages"])
    else:
        question = {"role": "user", "content": row["input"]}
        conversation = {"messages": [question, {"role": "assistant", "content": row["expected"]}]}
    last_user = next(message for message in reversed(conversation["messages"]) if message["role"] == "user")
    last_user["content"] = join_context(row.get("context"), last_user["content"])
    return conversation


def prompt_of(row: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    """What a model is asked by a sample: the text of the one user message, or the conversation up to the answer.

    >>> prompt_of({"input": "When?", "expected": "At nine."})
    'When?'
    """
    asked = to_conversation(row)["messages"][:-1]
    return asked[0]["content"] if [one["role"] for one in asked] == ["user"] else asked


def parse_conversation(value: Any) -> Conversation:
    """Messages from a list of them, an object ``{"messages": […], "tools": […]}``, or the JSON text of either.

    Raises:
        ConversationError: the value is nothing of these.
    """
    value = json_value(value, "messages")
    if isinstance(value, Mapping) and "messages" in value:
        tools = _tools(value.get("tools"))
        messages = json_value(value["messages"], "messages")
    else:
        messages, tools = value, None
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise ConversationError("messages is not a list of messages")
    return {"messages": list(messages), "tools": tools} if tools else {"messages": list(messages)}


def join_context(context: str | None, text: str) -> str:
    """A text with its context at its head; a text that only looks so gets an empty context block before it.

    For every context (None or at least one character) and text, `split_context` gives both back, and what it
    splits this joins to the same text.
    """
    if context:
        inner = _INNER_CLOSING.sub(r"\n\\\1</context>", context)
        return f"{_OPENING}{inner}{_CLOSING}{text}"
    return text if split_context(text) == (None, text) else _EMPTY + text


def split_context(text: str) -> tuple[str | None, str]:
    """The context at the head of a text, None where it has none, and the rest.

    >>> split_context("<context>\\nOpen from nine.\\n</context>\\n\\nWhen?")
    ('Open from nine.', 'When?')
    """
    start = 0
    while text.startswith(_EMPTY, start):
        start += len(_EMPTY)
    end = text.find(_CLOSING, start + len(_OPENING)) if text.startswith(_OPENING, start) else -1
    if end < 0:
        return None, text
    if start:
        return None, text[len(_EMPTY) :]
    return _ESCAPED_CLOSING.sub(r"\n\1</context>", text[len(_OPENING) : end]), text[end + len(_CLOSING) :]


def json_value(value: Any, name: str) -> Any:
    """A value, or what its JSON text says where it is text.

    Raises:
        ConversationError: it is text that is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ConversationError(f"{name} is text that is not JSON; give a list") from error


def canonical_json(value: Any) -> str:
    """JSON text without blanks, keys in the order they have.

    Raises:
        ConversationError: there is no JSON for the value, such as infinity.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConversationError(f"it holds a value that cannot be written as JSON ({error}); take it out") from error


def _message(number: int, message: Any) -> dict[str, Any]:
    """A message with its keys in one order, its content as text and nothing that is null."""
    if not isinstance(message, Mapping):
        raise ConversationError(f"message {number} is not an object with role and content")
    role = message.get("role")
    if role == "function" or message.get("function_call"):
        reason = "is in the old form of function calls"
        raise ConversationError(f"message {number} {reason}; use tool_calls, and the role tool for the results")
    if role not in _ROLES:
        raise ConversationError(f"message {number} has the role {role!r:.60}; use one of {', '.join(_ROLES)}")
    given = {key: value for key, value in message.items() if value is not None and value != []}
    if "tool_calls" in given:
        given["tool_calls"] = _tool_calls(number, given["tool_calls"])
    if "tool_calls" not in given or "content" in given:
        given["content"] = _text(number, given.get("content", ""))
    order = [*(key for key in _KEY_ORDER if key in given), *sorted(given.keys() - set(_KEY_ORDER))]
    return {key: given[key] for key in order}


def _text(number: int, content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise ConversationError(f"the content of message {number} is not text; give text or a list of text parts")
    return "".join(_part_text(number, part) for part in content)


def _part_text(number: int, part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
    text = part.get("text") if kind in _TEXT_PARTS else None
    if not isinstance(text, str):
        raise ConversationError(
            f"message {number} holds a part of type {kind!r:.60}; only text can be used, take it out"
        )
    return text


def _tool_calls(number: int, calls: Any) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's form, their arguments as canonical JSON text."""
    calls = json_value(calls, f"tool_calls of message {number}")
    if not isinstance(calls, list):
        raise ConversationError(f"tool_calls of message {number} is not a list")
    return [_tool_call(number, call) for call in calls]


def _tool_call(number: int, call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ConversationError(f'a tool call of message {number} is not {{"function": {{"name": …}}}}')
    arguments = function.get("arguments") or {}
    try:
        text = canonical_json(json.loads(arguments) if isinstance(arguments, str) else arguments)
    except (ValueError, RecursionError) as error:
        reason = f"message {number} calls {function['name']!r:.60} with arguments that are not JSON"
        raise ConversationError(f"{reason}; write them as a JSON object") from error
    rest = {key: value for key, value in call.items() if key != "function" and value is not None}
    return {**rest, "function": {"name": function["name"], "arguments": text}}


def _tools(tools: Any) -> list[dict[str, Any]] | None:
    offered = json_value(tools, "tools") or None
    if offered and not (isinstance(offered, list) and all(isinstance(tool, Mapping) for tool in offered)):
        raise ConversationError("tools is not a list of objects")
    return offered


def _check_order(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse roles out of order; the reasons name the message, counted from 1."""
    expected: tuple[str, ...] = ("user", "system", "developer")
    for number, message in enumerate(messages, start=1):
        role = message["role"]
        if role not in expected:
            where = f"message {number} is from the {role} where the {expected[0]}'s must be"
            raise ConversationError(f"{where}; put the messages in order", "role-order")
        if role == "assistant":
            expected = ("tool",) if "tool_calls" in message else ("user",)
        else:
            expected = {"user": ("assistant",), "tool": ("assistant", "tool")}.get(role, ("user",))
    if not messages or messages[-1]["role"] != "assistant":
        last = f"the last message is from the {messages[-1]['role']}" if messages else "there is no message"
        raise ConversationError(f"{last}; end each conversation with the assistant's answer", "role-order")


def _said(message: Mapping[str, Any]) -> str:
    text: str = message.get("content") or ""
    return text if text or "tool_calls" not in message else canonical_json(message["tool_calls"])


def _is_plain(messages: Sequence[Mapping[str, Any]]) -> bool:
    return len(messages) == 2 and all(message.keys() == {"role", "content"} for message in messages)


def _conversation_text(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
    conversation: Conversation = {"messages": messages, "tools": tools} if tools else {"messages": messages}
    return canonical_json(conversation)
