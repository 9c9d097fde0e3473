"""Messages as turns of two speakers, with the system's words apart: what Anthropic, Google and Bedrock ask for."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmops.llm.completions import Message
from llmops.llm.failures import ModelError


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish that a tool be called."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered to the call of that id."""

    id: str
    name: str
    text: str


Part = str | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said before the other spoke again."""

    role: Literal["user", "assistant"]
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in a provider's order: the system's words, wherever they stood, and alternating turns."""

    system: str | None
    turns: list[Turn] = field(default_factory=list)


def conversation_of(messages: Sequence[Message]) -> Conversation:
    """Messages of Chat Completions as a conversation; messages of one speaker in a row become one turn.

    Raises:
        ModelError: of the kind rejected; a message is none, or holds what is not text (pictures, audio).

    >>> said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    >>> conversation_of([*said, {"role": "user", "content": "there"}])
    Conversation(system='Be brief.', turns=[Turn(role='user', parts=['Hi', 'there'])])
    """
    system: list[str] = []
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for number, message in enumerate(messages, start=1):
        role = message.get("role")
        parts: list[Part] = []
        if role in ("system", "developer"):
            system.append(text_of(message, number))
            continue
        if role == "tool":
            called = str(message.get("tool_call_id", ""))
            parts.append(ToolResult(called, str(message.get("name") or names.get(called, called)), text_of(message)))
        elif role in ("user", "assistant"):
            if text := text_of(message, number):
                parts.append(text)
            calls = tool_calls_of(message, number)
            names.update({call.id: call.name for call in calls})
            parts.extend(calls)
        else:
            raise _rejected(number, f"its role is {role!r}, which is none of system, user, assistant, tool")
        speaker: Literal["user", "assistant"] = "assistant" if role == "assistant" else "user"
        if turns and turns[-1].role == speaker:
            turns[-1].parts.extend(parts)
        else:
            turns.append(Turn(speaker, parts))
    return Conversation("\n\n".join(system) or None, turns)


def text_of(message: Message, number: int = 0) -> str:
    """The text of a message whose content is a text or a list of text parts; empty where it has none.

    Raises:
        ModelError: of the kind rejected; a part of it is not text.
    """
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Sequence) and all(isinstance(part, Mapping) for part in content):
        if all(part.get("type") == "text" for part in content):
            return "".join(str(part.get("text", "")) for part in content)
        other = next(str(part.get("type")) for part in content if part.get("type") != "text")
        raise _rejected(number, f"it holds a part of the type {other!r}; only text is sent to this provider")
    raise _rejected(number, f"its content is neither a text nor a list of parts: {str(content)[:80]}")


def tool_calls_of(message: Message, number: int = 0) -> list[ToolCall]:
    """The tool calls of an assistant's message.

    Raises:
        ModelError: of the kind rejected; one has no function, or arguments that are not a JSON object.
    """
    calls = []
    for call in message.get("tool_calls") or ():
        try:
            function = call["function"]
            arguments = function.get("arguments") or "{}"
            parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
            calls.append(ToolCall(str(call.get("id", "")), str(function["name"]), dict(parsed)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _rejected(number, f"it has a tool call that cannot be read: {str(call)[:80]}") from error
    return calls


def calls_as_text(calls: Iterable[tuple[str, Any]]) -> str:
    """Calls of (name, arguments) as an answer's text; arguments that are a JSON text are parsed where they can be.

    >>> calls_as_text([("weather", '{"city": "Bern"}')])
    '[{"name": "weather", "arguments": {"city": "Bern"}}]'
    """
    return json.dumps([{"name": name, "arguments": _parsed(given)} for name, given in calls], ensure_ascii=False)


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _rejected(number: int, why: str) -> ModelError:
    return ModelError("rejected", f"message {number} cannot be sent: {why}" if number else f"a message: {why}")
