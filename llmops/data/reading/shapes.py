"""The shape of a file, told by its columns, and its rows as samples.

=================================================  ===============================================================
columns                                            shape
=================================================  ===============================================================
id (of our own), input, expected, …                a dataset written by `llmops export`
input | prompt | question | instruction            the input; a prompt may have its context at its head
expected | completion | answer | output            what is expected
instruction, input and output                      Alpaca: the input is "instruction", a blank line, "input"
messages (and tools, system, schemaVersion)        OpenAI, Azure, Claude and Nova on Bedrock
contents (and systemInstruction, tools)            Vertex AI
conversations (and system, tools)                  ShareGPT
prompt and completion, lists of messages           TRL
=================================================  ===============================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.conversations import ChatSample, ConversationError, from_messages, split_context
from llmops.data.reading.chat_formats import CHAT_FORMATS, TRL, ChatFormat, from_chat
from llmops.data.reading.raw_rows import RawColumn, RawRows, is_column_name
from llmops.data.reading.text_columns import FILLER, expanded, python_values, text_column
from llmops.data.samples import ColumnMapping, sample_table
from llmops.errors import InputError

USUAL_NAMES = {
    "input": ("input", "prompt", "instruction", "question"),
    "expected": ("expected", "completion", "output", "answer"),
    "context": ("context",),
}
_ALPACA = ["input", "instruction"]
_PROMPTS = ("prompt", "instruction")
_OWN_PARTS = ("input", "expected", "context", "group")
_OWN_UNUSED = ("id", "split", "quality")
_COLUMNS_SHOWN = 20


@dataclass(frozen=True)
class Shape:
    """Which columns of a file are which part of a sample.

    Attributes:
        parts: column by part (input, expected, context, group).
        chat: how the conversation is written, None where there is none.
        own: the file was written by us, with the parts of a sample as columns.
        alpaca: the column `input` completes the instruction.
        fenced: the input may have its context at its head.
    """

    parts: Mapping[str, str]
    chat: ChatFormat | None = None
    own: bool = False
    alpaca: bool = False
    fenced: bool = False

    def used(self) -> set[str]:
        """Columns that do not become metadata."""
        names = set(self.parts.values())
        if self.chat:
            names |= {self.chat.column, *self.chat.beside}
        if self.own:
            names |= {"messages", *_OWN_UNUSED}
        return names | {"input"} if self.alpaca else names


def recognise(raw: RawRows, mapping: ColumnMapping) -> Shape:
    """The shape of a file by its first rows; what is mapped is taken from there and nowhere else.

    Only our own files need no mapping: one for a column that they lack, as of the files that a dataset was first
    made from, does not count.

    Raises:
        InputError: a mapped column does not exist; the columns of input and expected cannot be told.
    """
    own = _is_own(raw)
    given = {part: name for part, name in mapping if name is not None and not (own and name not in raw.columns)}
    for part, name in given.items():
        if name not in raw.columns:
            option = f"--preparation.columns.{part}"
            raise InputError(f"{raw.file}: no column {name!r} ({part}, {option}); it has {_existing(raw)}")
    free = "input" not in given and "expected" not in given
    if free and own:
        return Shape({part: part for part in _OWN_PARTS if part in raw.columns} | given, own=True)
    chat = _chat_format(raw) if free else None
    if chat:
        context = {"context": "context"} if "context" in raw.columns and "context" not in given.values() else {}
        return Shape(context | given, chat)
    return _columns_shape(raw, given)


def samples_of(raw: RawRows, shape: Shape) -> pa.Table:
    """The rows as samples, in `SAMPLE_SCHEMA` and a column `line`; rows refused in `raw` are not among them."""
    parts: dict[str, Any] = {
        part: text_column(raw, name, _column(raw, name), nested_allowed=False) for part, name in shape.parts.items()
    }
    if shape.chat:
        parts |= _chat_parts(raw, shape.chat, parts.get("context"))
    elif shape.own and "messages" in raw.columns:
        parts |= _own_conversations(raw, parts)
    elif not shape.own:
        _refuse_conversations(raw, shape, parts)
    if shape.alpaca:
        more = text_column(raw, "input", _column(raw, "input"), nested_allowed=False)
        parts["input"] = _instruction_and_input(parts["input"], more)
    if shape.fenced:
        parts |= _contexts_at_the_head(parts["input"])
    used = shape.used()
    metadata = _metadata(raw, {name: values for name, values in raw.columns.items() if name not in used})
    table = sample_table(
        **{name: pa.chunked_array([values]) for name, values in parts.items()},
        metadata={name: pa.chunked_array([values]) for name, values in metadata.items()},
    ).append_column("line", pa.array(raw.lines, pa.int64()))
    if not raw.refused:
        return table
    keep = np.ones(len(table), dtype=bool)
    keep[list(raw.refused)] = False
    return table.filter(pa.array(keep))


def _column(raw: RawRows, name: str) -> RawColumn:
    # A JSON file's column may be missing from a later batch.
    return raw.columns.get(name, [None] * len(raw.lines))


def _existing(raw: RawRows) -> str:
    names = [name if name.isprintable() else repr(name) for name in raw.columns]
    more = f" and {len(names) - _COLUMNS_SHOWN} more" if len(names) > _COLUMNS_SHOWN else ""
    return ", ".join(names[:_COLUMNS_SHOWN]) + more


def _is_own(raw: RawRows) -> bool:
    """Whether the ids are ours: 32 hexadecimal digits in every row."""
    if not {"id", "input", "expected"} <= raw.columns.keys():
        return False
    ids = raw.columns["id"]
    if isinstance(ids, list):
        if not all(isinstance(one, str) and is_column_name(one) for one in ids):
            return False
        ids = pa.array(ids, pa.string())
    return pa.types.is_string(ids.type) and bool(pc.all(pc.match_substring_regex(ids, "^[0-9a-f]{32}$")).as_py())


def _chat_format(raw: RawRows) -> ChatFormat | None:
    """The chat format that the columns are in, unless they also say input and expected by their names."""
    if all(_holds_messages(raw.columns.get(name)) for name in ("prompt", "completion")):
        return TRL
    named = [set(USUAL_NAMES[part]) & raw.columns.keys() for part in ("input", "expected")]
    return None if all(named) else next((chat for chat in CHAT_FORMATS if chat.column in raw.columns), None)


def _holds_messages(values: RawColumn | None) -> bool:
    if isinstance(values, list):
        first = next((value for value in values if value is not None), None)
        return isinstance(first, list) and bool(first) and all(isinstance(one, Mapping) for one in first)
    if values is None:
        return False
    kind = values.type
    return bool((pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_struct(kind.value_type))


def _columns_shape(raw: RawRows, given: Mapping[str, str]) -> Shape:
    parts = dict(given)
    alpaca = False
    for part, names in USUAL_NAMES.items():
        found = [name for name in names if name in raw.columns and name not in parts.values()]
        if part in parts or (not found and part == "context"):
            continue
        if part == "input" and found == _ALPACA and "expected" not in raw.columns:
            alpaca, found = True, ["instruction"]
        if len(found) != 1:
            problem = f"{' and '.join(found)} could all be" if found else "no column is recognised as"
            option = f"--preparation.columns.{part}"
            raise InputError(f"{raw.file}: {problem} the {part}; name its column with {option}: {_existing(raw)}")
        parts[part] = found[0]
    fenced = "input" not in given and parts["input"] in _PROMPTS and "context" not in parts
    return Shape(parts, alpaca=alpaca, fenced=fenced)


def _chat_parts(raw: RawRows, chat: ChatFormat, contexts: pa.Array | None) -> dict[str, pa.Array]:
    columns = {name: python_values(raw, name, _column(raw, name)) for name in (chat.column, *chat.beside)}
    beside = [None] * len(raw.lines) if contexts is None else contexts.to_pylist()
    samples = []
    for row, context in enumerate(beside):
        values = {name: column[row] for name, column in columns.items()}
        samples.append(_chat_sample(raw, row, chat, values, context))
    return _text_parts(raw, samples)


def _own_conversations(raw: RawRows, parts: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """The parts of our own rows, read again from the conversation where there is one."""
    columns = [parts[name].to_pylist() if name in parts else [None] * len(raw.lines) for name in _OWN_PARTS[:3]]
    own = ChatFormat("messages", (), from_chat)
    conversations = python_values(raw, "messages", _column(raw, "messages"))
    samples = []
    for row, (value, question, expected, context) in enumerate(zip(conversations, *columns, strict=True)):
        if value:
            sample = _chat_sample(raw, row, own, {"messages": value}, context, fenced=False)
        else:
            sample = ChatSample(question, expected, context, None)
        samples.append(sample)
    return _text_parts(raw, samples)


def _chat_sample(
    raw: RawRows, row: int, chat: ChatFormat, values: Mapping[str, Any], context: str | None, fenced: bool = True
) -> ChatSample:
    """One row's conversation; a context that stands in a column of its own is not looked for in the messages."""
    beside = not fenced or bool(context and context.strip())
    if values[chat.column] is None:
        taken = f"the row has no {chat.column} and its file was taken for conversations"
        raw.refuse(row, "chat-shape", f"{taken}; fill it, or put rows of another shape into a file of their own")
        return ChatSample(FILLER, FILLER, None, None)
    try:
        sample = from_messages(*chat.convert(values), fenced=not beside)
    except ConversationError as error:
        raw.refuse(row, error.rule, str(error))
        return ChatSample(FILLER, FILLER, None, None)
    return sample._replace(context=context) if beside else sample


def _refuse_conversations(raw: RawRows, shape: Shape, parts: Mapping[str, pa.Array]) -> None:
    """Refuse the rows that have a conversation where the others have input and expected."""
    empty = pc.and_(parts["input"].is_null(), parts["expected"].is_null())
    for column in [chat.column for chat in CHAT_FORMATS if chat.column in raw.columns.keys() - shape.used()]:
        values = raw.columns[column]
        for row in np.flatnonzero(empty):
            if (values[row] if isinstance(values, list) else values[row].as_py()) is not None:
                pair = f"{shape.parts['input']} and {shape.parts['expected']}"
                taken = f"the row has {column} and its file was taken for pairs of {pair}"
                raw.refuse(int(row), "chat-shape", f"{taken}; put the two kinds of rows into files of their own")


def _text_parts(raw: RawRows, samples: list[ChatSample]) -> dict[str, pa.Array]:
    return {
        name: text_column(raw, name, [getattr(sample, name) for sample in samples], nested_allowed=True)
        for name in ChatSample._fields
    }


def _instruction_and_input(instruction: pa.Array, more: pa.Array) -> pa.Array:
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(more), ""), True)
    return pc.if_else(blank, instruction, pc.binary_join_element_wise(instruction, more, "\n\n"))


def _contexts_at_the_head(inputs: pa.Array) -> dict[str, pa.Array]:
    mask = pc.fill_null(pc.starts_with(inputs, "<context>\n"), False)
    pairs = [split_context(text) for text in inputs.filter(mask).to_pylist()]
    if not pairs:
        return {}
    contexts = pa.array([context for context, _ in pairs], pa.string())
    rests = pa.array([rest for _, rest in pairs], pa.string())
    empty = pa.nulls(len(inputs), pa.string())
    return {"input": pc.replace_with_mask(inputs, mask, rests), "context": pc.replace_with_mask(empty, mask, contexts)}


def _metadata(raw: RawRows, columns: Mapping[str, RawColumn]) -> dict[str, pa.Array]:
    """The other columns as text; one that is called metadata is taken apart into its keys."""
    others = {name: values for name, values in columns.items() if name != "metadata"}
    if "metadata" in columns:
        for key, values in expanded(raw, "metadata", columns["metadata"]).items():
            if is_column_name(key):
                others.setdefault(key, values)
            else:
                _refuse_key(raw, key, values)
    return {name: text_column(raw, name, values, nested_allowed=True) for name, values in others.items()}


def _refuse_key(raw: RawRows, key: str, values: RawColumn) -> None:
    present = [value is not None for value in values] if isinstance(values, list) else values.is_valid().to_pylist()
    for row in np.flatnonzero(present):
        raw.refuse(int(row), "not-unicode", f"the metadata key {key!r} is not valid text; rename it")
