import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.findings import Finding
from llmops.data.reading.readers import read_batches, read_samples
from llmops.data.reading.sources import find_sources
from llmops.data.samples import SAMPLE_SCHEMA, ColumnMapping, sample_table
from llmops.errors import InputError

Write = Callable[[Path, list[dict[str, Any]]], Path]
FORMATS = (".jsonl", ".csv", ".parquet")
NESTED = (".jsonl", ".parquet")
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "Be kind."}
WITH_SYSTEM = json.dumps({"messages": [SYSTEM, USER, ASSISTANT]}, separators=(",", ":"))
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PAIR = [("prompt", pa.string()), ("completion", pa.string())]


def read(path: Path, **columns: str) -> tuple[pa.Table, list[Finding]]:
    return read_samples(path, ColumnMapping(**columns))


def parts(path: Path, **columns: str) -> list[tuple[str | None, ...]]:
    """input, expected, context and messages of all rows, none of which may have a finding."""
    table, findings = read(path, **columns)
    assert findings == []
    return [tuple(row.values()) for row in table.select(["input", "expected", "context", "messages"]).to_pylist()]


@pytest.mark.parametrize("suffix", FORMATS)
def test_mapped_columns(tmp_path: Path, write: Write, suffix: str) -> None:
    rows = [{"mr": "m", "ref": "r", "doc": "d", "topic": "t", "input": "other"}]
    path = write(tmp_path / f"data{suffix}", rows)
    table, _ = read(path, input="mr", expected="ref", context="doc", group="topic")
    row = table.to_pylist()[0]
    assert (row["input"], row["expected"], row["context"], row["group"]) == ("m", "r", "d", "t")
    assert row["metadata"] == [("input", "other")]
    complaint = r"no column 'nope' \(group, --preparation\.columns\.group\); it has mr, ref, doc, topic, input"
    with pytest.raises(InputError, match=complaint):
        read(path, input="mr", expected="ref", group="nope")


@pytest.mark.parametrize(
    "names", [("input", "expected"), ("prompt", "completion"), ("question", "answer"), ("instruction", "output")]
)
def test_usual_pairs(tmp_path: Path, write: Write, names: tuple[str, str]) -> None:
    path = write(tmp_path / "data.csv", [{names[0]: "a", names[1]: "b", "context": "c"}])
    assert parts(path) == [("a", "b", "c", None)]


def test_columns_that_cannot_be_told(tmp_path: Path, write: Write) -> None:
    both = write(tmp_path / "both.jsonl", [{"prompt": "i", "question": "x", "answer": "o"}])
    complaint = r"prompt and question could all be the input; name its column with --preparation\.columns\.input"
    with pytest.raises(InputError, match=complaint):
        read(both)
    assert read(both, input="question")[0]["metadata"].to_pylist() == [[("prompt", "i")]]
    unknown = write(tmp_path / "unknown.csv", [{"mr": "m", "ref": "r"}])
    with pytest.raises(InputError, match=r"no column is recognised as the input; .*: mr, ref"):
        read(unknown)
    unlabelled = write(tmp_path / "unlabelled.csv", [{"input": "m"}])
    with pytest.raises(InputError, match=r"no column is recognised as the expected; .*columns\.expected"):
        read(unlabelled)


@pytest.mark.parametrize("suffix", FORMATS)
def test_alpaca(tmp_path: Path, write: Write, suffix: str) -> None:
    rows = [
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        {"instruction": "Sing.", "input": "", "output": "La"},
    ]
    path = write(tmp_path / f"alpaca{suffix}", rows)
    assert parts(path) == [("Add.\n\n1 and 2", "3", None, None), ("Sing.", "La", None, None)]
    assert read(path, input="instruction")[0]["metadata"].to_pylist() == [[("input", "1 and 2")], []]
    assert read(path, expected="output")[0]["input"].to_pylist() == ["Add.\n\n1 and 2", "Sing."]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_prompt_may_have_its_context_at_its_head(tmp_path: Path, write: Write, suffix: str) -> None:
    fenced = "<context>\nOpen from nine.\n</context>\n\nWhen?"
    path = write(
        tmp_path / f"data{suffix}", [{"prompt": "a", "completion": "b"}, {"prompt": fenced, "completion": "c"}]
    )
    assert parts(path) == [("a", "b", None, None), ("When?", "c", "Open from nine.", None)]
    path = write(tmp_path / f"own{suffix}", [{"input": fenced, "expected": "c"}])
    assert parts(path) == [(fenced, "c", None, None)]


@pytest.mark.parametrize("suffix", NESTED)
def test_chat_rows(tmp_path: Path, write: Write, suffix: str) -> None:
    rows = [
        {"messages": [USER, ASSISTANT], "topic": "greeting"},
        {"messages": [SYSTEM, USER, ASSISTANT], "topic": "greeting"},
        {"messages": [], "topic": "nothing"},
        {"messages": [USER, {"role": "assistant", "content": None}], "topic": "silence"},
        {"messages": [USER, {"role": "judge", "content": "x"}], "topic": "roles"},
    ]
    table, findings = read(write(tmp_path / f"chat{suffix}", rows))
    assert table.select(["input", "expected", "messages", "metadata", "line"]).to_pylist() == [
        {"input": "hi", "expected": "hello", "messages": None, "metadata": [("topic", "greeting")], "line": 1},
        {"input": "hi", "expected": "hello", "messages": WITH_SYSTEM, "metadata": [("topic", "greeting")], "line": 2},
        {"input": "hi", "expected": "", "messages": None, "metadata": [("topic", "silence")], "line": 4},
    ]
    assert [(finding.rule, finding.line) for finding in findings] == [("role-order", 3), ("chat-shape", 5)]
    assert "message 2 has the role 'judge'" in findings[1].message


@pytest.mark.parametrize("suffix", NESTED)
@pytest.mark.parametrize(
    "row",
    [
        {"messages": [SYSTEM, USER, ASSISTANT]},
        {"messages": json.dumps([SYSTEM, USER, ASSISTANT])},
        {
            "system": "Be kind.",
            "messages": [{**one, "content": [{"text": one["content"]}]} for one in (USER, ASSISTANT)],
        },
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "Be kind."}]},
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "hello"}]}],
        },
        {
            "conversations": [
                {"from": "system", "value": "Be kind."},
                {"from": "human", "value": "hi"},
                {"from": "gpt", "value": "hello"},
            ]
        },
        {"system": "Be kind.", "conversations": [USER, ASSISTANT]},
    ],
    ids=["openai", "json-text", "claude", "vertex", "sharegpt", "sharegpt-with-roles"],
)
def test_every_chat_format_says_the_same(tmp_path: Path, write: Write, suffix: str, row: dict[str, Any]) -> None:
    assert parts(write(tmp_path / f"chat{suffix}", [row])) == [("hi", "hello", None, WITH_SYSTEM)]


CALL = {"type": "function", "function": {"name": "hours", "arguments": '{"day":"Monday"}'}}
TOOL = {"type": "function", "function": {"name": "hours"}}


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "content": "9"},
                ASSISTANT,
            ],
            "tools": [TOOL],
        },
        {
            "conversations": [
                {"from": "human", "value": "hi"},
                {"from": "function_call", "value": '{"name": "hours", "arguments": {"day": "Monday"}}'},
                {"from": "observation", "value": "9"},
                {"from": "gpt", "value": "hello"},
            ],
            "tools": '[{"name": "hours"}]',
        },
        {
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "hours", "args": {"day": "Monday"}}}]},
                {"role": "user", "parts": [{"functionResponse": {"response": {"content": "9"}}}]},
                {"role": "model", "parts": [{"text": "hello"}]},
            ],
            "tools": [{"functionDeclarations": [{"name": "hours"}]}],
        },
    ],
    ids=["openai", "sharegpt", "vertex"],
)
def test_tools_in_every_chat_format(tmp_path: Path, write: Write, row: dict[str, Any]) -> None:
    ((question, answer, _, messages),) = parts(write(tmp_path / "chat.jsonl", [row]))
    calls = json.dumps([CALL], separators=(",", ":"))
    assert question == f"user: hi\n\nassistant: {calls}\n\ntool: 9"
    assert answer == "hello"
    conversation = json.loads(messages or "")
    assert conversation["messages"][1] == {"role": "assistant", "tool_calls": [CALL]}
    assert conversation["tools"] == [TOOL]


@pytest.mark.parametrize(
    ("row", "rule", "reason"),
    [
        ({"messages": "no json"}, "chat-shape", "messages is text that is not JSON"),
        ({"messages": 7}, "chat-shape", "messages is not a list of messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "chat-shape", "type 'image_url'"),
        ({"system": "Be kind.", "messages": [SYSTEM, USER, ASSISTANT]}, "role-order", "message 2 is from the system"),
        ({"conversations": [{"from": "narrator", "value": "x"}]}, "chat-shape", "message 1 is from 'narrator'"),
        ({"conversations": ["x"]}, "chat-shape", "conversations is not a list of messages"),
        ({"contents": [{"role": "user", "parts": [{"fileData": {}}]}]}, "chat-shape", "message 1 holds 'fileData'"),
        ({"contents": [{"role": "critic", "parts": []}]}, "chat-shape", "message 1 has the role 'critic'"),
        ({"messages": [USER, {"role": "assistant", "content": "\ud800"}]}, "not-unicode", "expected is not Unicode"),
    ],
)
def test_conversations_that_are_refused(
    tmp_path: Path, write: Write, row: dict[str, Any], rule: str, reason: str
) -> None:
    table, findings = read(write(tmp_path / "chat.jsonl", [row]))
    assert len(table) == 0
    assert [(finding.rule, finding.line) for finding in findings] == [(rule, 1)]
    assert reason in findings[0].message


def test_a_context_column_beside_messages(tmp_path: Path, write: Write) -> None:
    fenced = {"role": "user", "content": "<context>\nc\n</context>\n\nhi"}
    rows = [{"messages": [fenced, ASSISTANT], "context": context} for context in ("other", "", None)]
    assert [(row[0], row[2]) for row in parts(write(tmp_path / "chat.jsonl", rows))] == [
        (fenced["content"], "other"),
        ("hi", "c"),
        ("hi", "c"),
    ]


# Anything JSON can say, with the words that the formats look for.
WORDS = st.sampled_from(["user", "assistant", "human", "gpt", "function_call", "model", "text", '[{"role": "user"}]'])
KEYS = st.sampled_from(
    ["role", "content", "tool_calls", "function", "name", "parts", "text", "from", "value", "\ud800"]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
ANY_MESSAGES = ANY_JSON | st.lists(st.dictionaries(KEYS, ANY_JSON, max_size=4), max_size=3)


@settings(deadline=None, max_examples=50)
@given(
    column=st.sampled_from(["messages", "contents", "conversations", "input", "instruction"]),
    rows=st.lists(st.tuples(ANY_MESSAGES, ANY_JSON, ANY_JSON), min_size=1, max_size=3),
)
def test_every_row_of_any_json_is_a_sample_or_has_a_finding(column: str, rows: list[tuple[Any, Any, Any]]) -> None:
    others = ("expected", "metadata") if column in ("input", "instruction") else ("tools", "system")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.jsonl"
        path.write_text("".join(json.dumps(dict(zip((column, *others), row, strict=True))) + "\n" for row in rows))
        try:
            table, findings = read(path)
        except InputError as error:
            # No row could be read as JSON: NaN and Infinity are none.
            assert "is not a JSON value" in str(error) or "no rows" in str(error)
            return
        table.validate(full=True)
        found = sorted([*table["line"].to_pylist(), *(finding.line or 0 for finding in findings)])
        assert found == list(range(1, len(rows) + 1))


@pytest.fixture
def own() -> pa.Table:
    """Samples of our own with everything a sample can have."""

    def column(*texts: str | None) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(texts, pa.string())])

    fenced = "<context>\nx\n</context>\n\nhi"
    chat = json.dumps({"messages": [SYSTEM, {**USER, "content": fenced}, ASSISTANT]}, separators=(",", ":"))
    return sample_table(
        input=column("hi", "a", fenced),
        expected=column("hello", "b", "hello"),
        context=column("c", None, None),
        messages=column(WITH_SYSTEM, None, chat),
        metadata={"topic": column("t", None, None), "tags": column('["x"]', "y", None)},
        group=column("g", None, None),
    )


def _own_rows(table: pa.Table, *, as_text: bool) -> list[dict[str, Any]]:
    rows = table.to_pylist()
    for row in rows:
        row["metadata"] = json.dumps(dict(row["metadata"])) if as_text else dict(row["metadata"])
    return rows


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".structs.parquet"])
def test_our_own_files_give_the_same_samples(tmp_path: Path, write: Write, own: pa.Table, suffix: str) -> None:
    path = tmp_path / f"own{suffix}"
    if suffix == ".parquet":
        labelled = own.set_column(own.schema.get_field_index("split"), "split", pa.array(["train", "test", "test"]))
        pq.write_table(labelled, path)
    else:
        write(path, _own_rows(own, as_text=suffix == ".csv"))
    table, findings = read(path)
    assert findings == []
    assert table.select(SAMPLE_SCHEMA.names).to_pylist() == own.to_pylist()


def test_an_id_that_is_not_ours_is_metadata(tmp_path: Path, write: Write) -> None:
    rows = [{"id": "q1", "input": "a", "expected": "b", "group": "g", "split": "x", "metadata": {"k": 1, "split": "y"}}]
    table, _ = read(write(tmp_path / "data.jsonl", rows))
    row = table.to_pylist()[0]
    assert row["metadata"] == [("group", "g"), ("id", "q1"), ("k", "1"), ("split", "x")]
    assert (row["group"], row["split"]) == ("a", None)


@pytest.mark.parametrize(
    ("value", "metadata"),
    [
        ({"k": [1, 2], "n": None}, [("k", "[1, 2]")]),
        ('{"k": true}', [("k", "true")]),
        ("no object", [("metadata", "no object")]),
        ("{broken", [("metadata", "{broken")]),
        (None, []),
    ],
)
def test_metadata_is_taken_apart(tmp_path: Path, write: Write, value: Any, metadata: list[tuple[str, str]]) -> None:
    for suffix in NESTED:
        path = write(tmp_path / f"data{suffix}", [{"input": "a", "expected": "b", "metadata": value}])
        assert read(path)[0]["metadata"].to_pylist() == [metadata]


def test_metadata_keys_must_be_text_and_few(tmp_path: Path, write: Write) -> None:
    rows = [{"input": "a", "expected": "b", "metadata": {"\ud800": 1}}, {"input": "a", "expected": "b"}]
    table, findings = read(write(tmp_path / "data.jsonl", rows))
    assert table["line"].to_pylist() == [2]
    assert [(finding.rule, finding.line) for finding in findings] == [("not-unicode", 1)]
    rows = [{"input": "a", "expected": "b", "metadata": {f"key {number}": 1}} for number in range(1001)]
    with pytest.raises(InputError, match="1001 different keys, at most 1000 can be columns"):
        read(write(tmp_path / "keys.jsonl", rows))


def test_the_shape_of_the_first_rows_holds_for_the_file(tmp_path: Path, write: Write) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"messages": [USER, ASSISTANT]}, {"prompt": "c", "completion": "d"}]
    (source,) = find_sources(write(tmp_path / "data.jsonl", rows))
    batches = list(read_batches(source, ColumnMapping(), rows=1))
    table = pa.concat_tables([batch.table for batch in batches])
    assert table.select(["input", "expected", "line"]).to_pylist() == [
        {"input": "a", "expected": "b", "line": 1},
        {"input": "c", "expected": "d", "line": 3},
    ]


@pytest.mark.parametrize("name", ["data.jsonl", "data.json", "data.parquet"])
def test_conversations_among_pairs_are_refused(tmp_path: Path, write: Write, name: str) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"messages": [USER, ASSISTANT]}, {"prompt": None, "completion": None}]
    path = tmp_path / name
    if name == "data.parquet":
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([*PAIR, ("messages", MESSAGES)])), path)
    elif name == "data.json":
        path.write_text(json.dumps(rows))
    else:
        write(path, rows)
    table, findings = read(path)
    assert len(table) == 2
    assert [(finding.rule, finding.line) for finding in findings] == [("chat-shape", 2)]
    assert "has messages and its file was taken for pairs of prompt and completion" in findings[0].message


def test_pairs_among_conversations_are_refused(tmp_path: Path, write: Write) -> None:
    rows = [{"messages": [USER, ASSISTANT]}, {"input": "a", "label": "b"}]
    table, findings = read(write(tmp_path / "data.jsonl", rows))
    assert len(table) == 1
    assert [(finding.rule, finding.line) for finding in findings] == [("chat-shape", 2)]
    assert "the row has no messages" in findings[0].message


@pytest.mark.parametrize("packed", [False, True])
def test_prompt_and_completion_that_are_messages(tmp_path: Path, write: Write, packed: bool) -> None:
    rows = [{"prompt": [SYSTEM, USER], "completion": [ASSISTANT]}, {"prompt": [USER], "completion": [ASSISTANT]}]
    path = tmp_path / ("data.parquet" if packed else "data.jsonl")
    if packed:
        schema = pa.schema([("prompt", MESSAGES), ("completion", MESSAGES)])
        pq.write_table(pa.Table.from_pylist(rows, schema), path)
    else:
        write(path, rows)
    together = [{"messages": [*row["prompt"], *row["completion"]]} for row in rows]
    assert parts(path) == parts(write(tmp_path / "chat.jsonl", together))
    assert len(parts(path)) == 2


def test_the_weight_of_a_sharegpt_turn(tmp_path: Path, write: Write) -> None:
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello", "weight": 0}]
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello", "weight": 0}]
    found = parts(write(tmp_path / "a.jsonl", [{"conversations": turns}]))
    assert found == parts(write(tmp_path / "b.jsonl", [{"messages": chat}]))
    assert json.loads(found[0][3] or "")["messages"] == chat


REAL = {
    "banking77_train": ({"input": "text", "expected": "category"}, 10_003),
    "e2e_dev": ({"input": "mr", "expected": "ref"}, 4_672),
    "gsm8k_test": ({}, 1_319),
    "clinc150": ({"input": "text", "expected": "intent"}, 23_700),
}


@pytest.mark.parametrize("name", REAL)
def test_public_files_are_read_without_a_finding(real_data: Callable[[str], Path], name: str) -> None:
    columns, rows = REAL[name]
    table, findings = read(real_data(f"{name}.parquet"), **columns)
    assert (len(table), findings) == (rows, [])
