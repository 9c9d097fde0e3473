"""Every format written and read back, and what a writer refuses."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llmops.data.conversations import from_messages
from llmops.data.exports.writers import FORMATS, write_samples
from llmops.data.reading.readers import read_samples
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.errors import InputError

OWN = ("jsonl", "json", "csv", "tsv", "parquet")
TEXT_ONLY = ("bedrock-claude", "bedrock-conversation", "sharegpt")
PLAIN_ONLY = ("bedrock", "alpaca")
SUFFIX = {name: name if name in OWN else "jsonl" for name in FORMATS}

NASTY = (
    "=SUM(A1:A9)", "+1", "-1", "@x", "\t=1", '"', '""', "a,b;c\td", "\r\n", "\r", "\n", " ", "\\", "\\n", "\u2028",
    "\x01\x1f\x7f\x85", "👩‍👩‍👧‍👦", "مرحبا بالعالم", "שלום", "<context>\n", "\n</context>\n\n", "null", "NaN", "{}",
    '{"a": 1}', "[]", "\ufeff", "0", "1.0", "user: x",
)  # fmt: skip
# What a sample may hold: any text that is not blank, without NUL and half characters.
TEXTS = st.one_of(
    st.lists(st.sampled_from(NASTY), min_size=1, max_size=4).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
).filter(lambda text: bool(text.strip()))
CONTEXTS = st.none() | TEXTS
KEYS = st.sampled_from(["source", "id", "group", "messages", "input", "metadata", "context", "split", "Ü", "a b", "'"])


@st.composite
def plain_rows(draw: st.DrawFn) -> dict[str, Any]:
    return {"input": draw(TEXTS), "expected": draw(TEXTS), "context": draw(CONTEXTS), "messages": None}


@st.composite
def conversation_rows(draw: st.DrawFn, tools: bool = False) -> dict[str, Any]:
    """What reading a conversation of several turns gives: `from_messages` derives the parts."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": draw(TEXTS)}] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXTS)})
        if tools and draw(st.booleans()):
            arguments = json.dumps({"q": draw(TEXTS), "n": turn}, ensure_ascii=False, separators=(",", ":"))
            calls = [f"{turn}a", f"{turn}b"][: draw(st.integers(1, 2))]
            function = {"name": "look", "arguments": arguments}
            calling = [{"id": call, "type": "function", "function": function} for call in calls]
            said = {"content": draw(TEXTS)} if draw(st.booleans()) else {}
            messages.append({"role": "assistant", **said, "tool_calls": calling})
            messages += [
                {"role": "tool", "content": draw(TEXTS), "name": "look", "tool_call_id": call} for call in calls
            ]
        messages.append({"role": "assistant", "content": draw(TEXTS)})
    declared = [{"type": "function", "function": {"name": "look", "description": draw(TEXTS), "parameters": {}}}]
    sample = from_messages(messages, declared if tools else None, fenced=False)
    return {**sample._asdict(), "context": draw(CONTEXTS)}


def table_of(rows: list[dict[str, Any]], metadata: list[dict[str, str]] | None = None) -> pa.Table:
    columns = {
        name: pa.chunked_array([pa.array([row[name] for row in rows], pa.string())])
        for name in ("input", "expected", "context", "messages")
    }
    keys = sorted({key for one in metadata or [] for key in one})
    values = {key: pa.chunked_array([pa.array([one.get(key) for one in metadata or []], pa.string())]) for key in keys}
    return sample_table(**columns, metadata=values)


def exported(table: pa.Table, format: str, folder: Path, suffix: str = "") -> pa.Table:
    path = folder / f"samples.{SUFFIX[format]}{suffix}"
    assert write_samples(table, path, format) == len(table)
    read, findings = read_samples(path)
    assert findings == []
    return read


def parts(table: pa.Table) -> list[dict[str, Any]]:
    return table.select(["input", "expected", "context", "messages"]).to_pylist()


PER_FORMAT = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("format", OWN)
@PER_FORMAT
@given(
    rows=st.lists(
        st.tuples(plain_rows() | conversation_rows(tools=True), st.dictionaries(KEYS, TEXTS)), min_size=1, max_size=4
    )
)
def test_the_own_formats_give_back_every_part(format: str, rows: list[Any], tmp_path: Path) -> None:
    table = table_of([row for row, _ in rows], [metadata for _, metadata in rows])
    read = exported(table, format, tmp_path)
    # Reading sets neither split nor quality: both are made anew where samples are prepared.
    for name in ("id", "input", "expected", "context", "messages", "metadata", "group"):
        assert read[name].to_pylist() == table[name].to_pylist()


@pytest.mark.parametrize("format", ["openai", "azure", "vertex"])
@PER_FORMAT
@given(rows=st.lists(plain_rows() | conversation_rows() | conversation_rows(tools=True), min_size=1, max_size=4))
def test_conversations_with_tools_come_back(format: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    table = table_of(rows)
    assert parts(exported(table, format, tmp_path)) == parts(table)


@pytest.mark.parametrize("format", TEXT_ONLY)
@PER_FORMAT
@given(rows=st.lists(plain_rows() | conversation_rows(), min_size=1, max_size=4))
def test_conversations_come_back(format: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    table = table_of(rows)
    assert parts(exported(table, format, tmp_path)) == parts(table)


@pytest.mark.parametrize("format", PLAIN_ONLY)
@PER_FORMAT
@given(rows=st.lists(plain_rows(), min_size=1, max_size=4))
@example(rows=[{"input": "<context>\nno\n</context>\n\nreally", "expected": "x", "context": None, "messages": None}])
def test_questions_and_answers_come_back(format: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    table = table_of(rows)
    assert parts(exported(table, format, tmp_path)) == parts(table)


@pytest.mark.parametrize("format", FORMATS)
def test_real_samples_come_back_in_every_format(format: str, real_data: Callable[[str], Path], tmp_path: Path) -> None:
    rows = pq.read_table(real_data("e2e_train.parquet")).slice(0, 2_000)
    table = sample_table(input=rows["mr"].cast(pa.string()), expected=rows["ref"].cast(pa.string()))
    read = exported(table, format, tmp_path)
    assert read.drop_columns(["line"]).equals(table.combine_chunks())


@pytest.fixture
def two() -> pa.Table:
    """Two samples with a value in every column."""
    table = table_of(
        [
            {"input": "=1+1", "expected": "a\r\nb", "context": None, "messages": None},
            {"input": "q", "expected": " x ", "context": "c", "messages": None},
        ],
        [{}, {"source": "s", "n": "1"}],
    )
    for name, values in (("split", ["train", "test"]), ("quality", [0.1, None])):
        kind = SAMPLE_SCHEMA.field(name).type
        table = table.set_column(SAMPLE_SCHEMA.get_field_index(name), name, pa.array(values, kind))
    return table


def test_what_stands_in_an_own_file(two: pa.Table, tmp_path: Path) -> None:
    write_samples(two, tmp_path / "s.jsonl", "jsonl")
    first, second = map(json.loads, (tmp_path / "s.jsonl").read_text().splitlines())
    assert first == {
        "id": two["id"][0].as_py(), "input": "=1+1", "expected": "a\r\nb", "metadata": {}, "group": "=1+1",
        "split": "train", "quality": 0.1,
    }  # fmt: skip
    assert (second["context"], second["metadata"], second["split"]) == ("c", {"n": "1", "source": "s"}, "test")
    write_samples(two, tmp_path / "s.json", "json")
    assert json.loads((tmp_path / "s.json").read_text()) == [first, second]
    write_samples(two, tmp_path / "s.csv", "csv")
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        header, *records = csv.reader(file)
    assert header == SAMPLE_SCHEMA.names
    assert records[0] == [first["id"], "=1+1", "a\r\nb", "", "", "{}", "=1+1", "train", "0.1"]
    write_samples(two, tmp_path / "s.parquet", "parquet")
    assert pq.read_table(tmp_path / "s.parquet").equals(two)


def test_a_packed_file_holds_the_same(two: pa.Table, tmp_path: Path) -> None:
    write_samples(two, tmp_path / "s.csv", "csv")
    for suffix in (".gz", ".zst"):
        assert exported(two, "csv", tmp_path, suffix).equals(read_samples(tmp_path / "s.csv")[0])
    assert gzip.decompress((tmp_path / "samples.csv.gz").read_bytes()) == (tmp_path / "s.csv").read_bytes()


def test_parts_of_a_column_and_several_batches(two: pa.Table, tmp_path: Path) -> None:
    many = pa.concat_tables([two] * 9_000).combine_chunks()
    batches = [many.slice(1, 3), many.slice(4).to_batches()[0], many.slice(0, 0)]
    for format in ("jsonl", "json", "csv"):
        path = tmp_path / f"s.{format}"
        assert write_samples(batches, path, format) == 17_999
        read, findings = read_samples(path)
        assert findings == []
        for name in ("id", "metadata", "context"):
            assert read[name].to_pylist() == many.slice(1)[name].to_pylist()


@pytest.mark.parametrize("format", FORMATS)
def test_no_samples_are_a_file_without_rows(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"s.{SUFFIX[format]}"
    assert write_samples(SAMPLE_SCHEMA.empty_table(), path, format) == 0
    if format == "json":
        assert json.loads(path.read_text()) == []
    elif format in ("csv", "tsv"):
        assert path.read_text().count("\n") == 1
    elif format == "parquet":
        assert pq.read_table(path).num_rows == 0
    else:
        assert path.read_bytes().removeprefix(b"\xef\xbb\xbf") == b""


def test_sharegpt_and_alpaca_also_as_a_list(two: pa.Table, tmp_path: Path) -> None:
    for format in ("sharegpt", "alpaca"):
        path = tmp_path / f"{format}.json.gz"
        write_samples(two, path, format)
        assert len(json.loads(gzip.decompress(path.read_bytes()))) == 2
        assert parts(read_samples(path)[0]) == parts(two)


def test_only_azure_gets_a_byte_order_mark(two: pa.Table, tmp_path: Path) -> None:
    write_samples(two, tmp_path / "a.jsonl", "azure")
    write_samples(two, tmp_path / "o.jsonl", "openai")
    assert (tmp_path / "a.jsonl").read_bytes() == b"\xef\xbb\xbf" + (tmp_path / "o.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("name", "format", "reason"),
    [
        ("s.jsonl", "xml", "no format 'xml'; there are: jsonl, json, csv"),
        ("s.txt", "csv", r"format csv is named \*.csv"),
        ("s.csv", "openai", r"format openai is named \*.jsonl"),
        ("s.parquet.gz", "parquet", "leave .gz out"),
        ("nowhere/s.csv", "csv", "there is no folder"),
        ("folder.csv", "csv", "cannot be written"),
    ],
)
def test_what_is_refused_leaves_nothing(name: str, format: str, reason: str, two: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.csv" / "x").touch()
    with pytest.raises(InputError, match=reason):
        write_samples(two, tmp_path / name, format)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_failure_on_the_way_keeps_the_old_file(two: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("old")
    system, *turns = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    talk = table_of([from_messages([system, *turns])._asdict()])
    sample = talk["id"][0].as_py()
    with pytest.raises(
        InputError, match=f"sample {sample} cannot be written as bedrock: .*export it as bedrock-claude"
    ):
        write_samples([two, talk], path, "bedrock")
    with pytest.raises(InputError, match="larger than the 300 bytes"):
        write_samples([two] * 10, path, "openai", maximum_bytes=300)

    def broken() -> Any:
        yield two
        raise RuntimeError("gone")

    for format in ("jsonl", "openai"):
        with pytest.raises(RuntimeError, match="gone"):
            write_samples(broken(), path, format)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["s.jsonl"]


def test_a_file_as_large_as_allowed_is_written(two: pa.Table, tmp_path: Path) -> None:
    write_samples(two, tmp_path / "a.jsonl", "openai")
    size = (tmp_path / "a.jsonl").stat().st_size
    assert write_samples(two, tmp_path / "b.jsonl", "openai", maximum_bytes=size) == 2
    with pytest.raises(InputError):
        write_samples(two, tmp_path / "c.jsonl", "openai", maximum_bytes=size - 1)
