import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmops.data import ColumnMapping, Finding, read_source, validate
from llmops.errors import InputError

Write = Callable[[Path, list[dict[str, Any]]], Path]
FORMATS = (".jsonl", ".csv", ".parquet")
ANY_TEXT = st.text(st.characters(codec="utf-8"))


def read(path: Path, **columns: str) -> tuple[pa.Table, list[Finding]]:
    return read_source(path, ColumnMapping(**columns))


def located(findings: list[Finding]) -> list[tuple[str, int | None]]:
    return [(finding.rule, finding.line) for finding in findings]


@pytest.mark.parametrize("suffix", FORMATS)
def test_usual_names_metadata_and_lines(tmp_path: Path, write: Write, suffix: str) -> None:
    rows = [
        {"question": "2 + 2?", "answer": "4", "subject": "maths", "level": 1},
        {"question": "Capital of\nFrance?", "answer": "Paris", "subject": "", "level": 2},
        {"question": "Who?", "answer": "Ann", "subject": "people", "level": 3},
    ]
    table, findings = read(write(tmp_path / f"data{suffix}", rows))
    assert findings == []
    assert table["input"].to_pylist() == ["2 + 2?", "Capital of\nFrance?", "Who?"]
    assert table["expected"].to_pylist() == ["4", "Paris", "Ann"]
    assert table["metadata"].to_pylist() == [
        [("level", "1"), ("subject", "maths")],
        [("level", "2")],
        [("level", "3"), ("subject", "people")],
    ]
    assert table["line"].to_pylist() == {".csv": [2, 3, 5]}.get(suffix, [1, 2, 3])


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=4))
@example(rows=[("🙂 שלום\u202e", "\ufeff\u2028\x85\x1c")])
@example(rows=[("x" * 1_000_000, '"",\r\n\r"')])
@example(rows=[("a\0b", "c")])
def test_any_text_comes_back_the_same_from_every_format(write: Write, rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for suffix in FORMATS:
            path = write(Path(folder) / f"data{suffix}", [{"input": a, "expected": b} for a, b in rows])
            table, findings = read(path)
            assert findings == []
            assert list(zip(table["input"].to_pylist(), table["expected"].to_pylist(), strict=True)) == rows
            faulty = {finding.line for finding in validate(table, "data")}
            lines = table["line"].to_pylist()
            assert faulty == {
                line
                for line, (a, b) in zip(lines, rows, strict=True)
                if not a.strip(BLANKS) or not b.strip(BLANKS) or "\0" in a + b
            }


# What Arrow and Unicode call white space; Python's str.strip also strips U+001C to U+001F.
BLANKS = "\t\n\v\f\r \x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


@pytest.mark.parametrize("suffix", FORMATS)
def test_mapped_columns(tmp_path: Path, write: Write, suffix: str) -> None:
    rows = [{"mr": "m", "ref": "r", "doc": "d", "topic": "t", "input": "other"}]
    path = write(tmp_path / f"data{suffix}", rows)
    table, _ = read(path, input="mr", expected="ref", context="doc", group="topic")
    row = table.to_pylist()[0]
    assert (row["input"], row["expected"], row["context"], row["group"]) == ("m", "r", "d", "t")
    assert row["metadata"] == [("input", "other")]
    with pytest.raises(InputError, match=r"no column 'nope' \(group\); it has mr, ref, doc, topic, input"):
        read(path, input="mr", expected="ref", group="nope")


def test_columns_that_cannot_be_told(tmp_path: Path, write: Write) -> None:
    alpaca = write(tmp_path / "alpaca.jsonl", [{"instruction": "i", "input": "x", "output": "o"}])
    with pytest.raises(InputError, match="input and instruction could all be the input"):
        read(alpaca)
    assert read(alpaca, input="instruction")[0]["metadata"].to_pylist() == [[("input", "x")]]
    unknown = write(tmp_path / "unknown.csv", [{"mr": "m", "ref": "r"}])
    with pytest.raises(InputError, match=r"no column is recognised as the input; .*: mr, ref"):
        read(unknown)


def test_broken_jsonl_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"input": "a", "expected": "b"}\n'
        b"\n"
        b'{"input": "a", "expected": \n'
        b'["a", "b"]\n'
        b'{"input": "\xff", "expected": "b"}\n'
        b'{"input": NaN, "expected": "b"}\n'
        b'{"input": "\\ud83d", "expected": "b"}\n' + b"[" * 100_000 + b"\n"
        b'{"input": ["a"], "expected": "b"}\r\n'
        b'{"input": 1.5, "expected": true, "tags": ["x", {"y": "\xc3\xa9"}]}'
    )
    table, findings = read(path)
    assert table["line"].to_pylist() == [1, 7, 9, 10]
    last = table.to_pylist()[-1]
    assert (last["input"], last["expected"]) == ("1.5", "true")
    assert last["metadata"] == [("tags", '["x", {"y": "é"}]')]
    assert sorted(located(findings), key=lambda found: found[1] or 0) == [
        ("unreadable-row", 3),
        ("unreadable-row", 4),
        ("unreadable-row", 5),
        ("unreadable-row", 6),
        ("not-unicode", 7),
        ("unreadable-row", 8),
        ("not-text", 9),
    ]
    assert str(findings[0]) == f"{path}:3: not valid JSON (Expecting value at column 28)"


def test_broken_csv_rows_are_named_by_the_line_they_begin_on(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(
        b'input,expected\n"two\nlines",b\na,b,c\n\nonly\n\xe9t\xe9,summer\n"quoted"tail,b\ngood,row\n"never closed,b\n'
    )
    table, findings = read(path)
    assert table["line"].to_pylist() == [2, 7, 9]
    assert table["input"].to_pylist()[::2] == ["two\nlines", "good"]
    assert sorted(located(findings), key=lambda found: found[1] or 0) == [
        ("unreadable-row", 4),
        ("unreadable-row", 6),
        ("not-unicode", 7),
        ("unreadable-row", 8),
        ("unreadable-row", 10),
    ]
    assert findings[0].message == "3 field(s) where the header has 2"


def test_repeated_column_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("input,expected,input\na,b,c\n")
    with pytest.raises(InputError, match=r"data\.csv:1: the column 'input' occurs more than once"):
        read(path)


def test_parquet_types(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"fine", b"\xff"]).buffers())
    table = pa.table(
        {
            "input": pa.array(["a", "b"]).dictionary_encode(),
            "expected": pa.array([1.0, None]),
            "number": pa.array([7, 8]),
            "share": pa.array([float("nan"), 0.25]),
            "day": pa.array([0, None], pa.date32()),
            "nested": pa.array([{"k": [1]}, None]),
            "raw": pa.array([b"x", b"y"]),
            "broken": broken,
        }
    )
    pq.write_table(table, path)
    rows, findings = read(path)
    assert rows["expected"].to_pylist() == ["1.0", ""]
    assert [dict(row) for row in rows["metadata"].to_pylist()] == [
        {"broken": "fine", "day": "1970-01-01", "nested": '{"k": [1]}', "number": "7", "raw": "x"},
        {"broken": "\ufffd", "number": "8", "raw": "y", "share": "0.25"},
    ]
    assert located(findings) == [("not-unicode", 2)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_chat_rows(tmp_path: Path, write: Write, suffix: str) -> None:
    user, assistant = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
    rows = [
        {"messages": [user, assistant], "topic": "greeting"},
        {"messages": [{"role": "system", "content": "Be kind."}, user, assistant], "topic": "greeting"},
        {"messages": [], "topic": "nothing"},
        {"messages": [user, {"role": "assistant", "content": None}], "topic": "silence"},
    ]
    table, findings = read(write(tmp_path / f"chat{suffix}", rows))
    assert table.slice(0, 1).select(["input", "expected", "metadata"]).to_pylist() == [
        {"input": "hi", "expected": "hello", "metadata": [("topic", "greeting")]}
    ]
    assert located(findings) == [("chat-shape", 2), ("chat-shape", 3)]
    assert "found system, user, assistant" in findings[0].message
    assert located(validate(table, "chat")) == [("empty-expected", 4)]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("missing.jsonl", None, "no such file"),
        ("data.txt", b"", "cannot tell its format; use a file named .jsonl, .ndjson, .csv, .parquet"),
        ("data", b"", "cannot tell its format"),
        ("data.parquet", b"this is text", "not a readable Parquet file"),
        ("data.parquet", b"", "not a readable Parquet file"),
        ("data.jsonl", b"", "the file has no rows"),
        ("data.csv", b"", "the file has no rows"),
        ("data.csv", b"input,expected\n", "the file has no rows"),
        ("data.jsonl", b"no json", r"data\.jsonl:1: not valid JSON"),
        ("data.jsonl", b'{"\\ud800": 1}', "the column name '.ud800' is not valid text"),
        ("data.csv", "input,expected\na,b\n".encode("utf-16"), "is not valid text"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, complaint: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as caught:
        read(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data.csv"
    folder.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read(folder)


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=200), suffix=st.sampled_from(FORMATS))
def test_no_bytes_crash_a_reader(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError):
            # Random bytes never hold a column named like this.
            read(path, input="the input column")
