import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmops.data.findings import Finding
from llmops.data.reading.readers import BATCH_SCHEMA, read_all, read_batches, read_samples
from llmops.data.reading.sources import find_sources
from llmops.data.samples import ColumnMapping
from llmops.errors import InputError

Write = Callable[[Path, list[dict[str, Any]]], Path]
FORMATS = (".jsonl", ".csv", ".parquet")
ALL_FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.zst")
ANY_TEXT = st.text(st.characters(codec="utf-8"))


def read(path: Path, **columns: str) -> tuple[pa.Table, list[Finding]]:
    return read_samples(path, ColumnMapping(**columns))


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
    assert table.schema == BATCH_SCHEMA
    assert table["input"].to_pylist() == ["2 + 2?", "Capital of\nFrance?", "Who?"]
    assert table["expected"].to_pylist() == ["4", "Paris", "Ann"]
    assert table["metadata"].to_pylist() == [
        [("level", "1"), ("subject", "maths")],
        [("level", "2")],
        [("level", "3"), ("subject", "people")],
    ]
    assert table["line"].to_pylist() == {".csv": [2, 3, 5]}.get(suffix, [1, 2, 3])


def _packed(path: Path, write: Write, rows: list[dict[str, Any]]) -> Path:
    """The rows in any of the formats, by way of those that the fixture writes."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".tsv":
        content = write(path.with_suffix(".jsonl"), rows) and [list(rows[0]), *(list(row.values()) for row in rows)]
        lines = ["\t".join('"' + text.replace('"', '""') + '"' for text in row) for row in content]
        path.write_bytes("\n".join(lines).encode())
        path.with_suffix(".jsonl").unlink()
    elif path.suffix in (".gz", ".zst"):
        plain = write(path.with_suffix(""), rows)
        with pa.output_stream(str(path), compression="gzip" if path.suffix == ".gz" else "zstd") as file:
            file.write(plain.read_bytes())
        plain.unlink()
    else:
        write(path, rows)
    return path


@settings(deadline=None, max_examples=15)
@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=4))
@example(rows=[("🙂 שלום\u202e", "\ufeff\u2028\x85\x1c")])
@example(rows=[("x" * 1_000_000, '"",\r\n\r"')])
@example(rows=[("a\0b", "c")])
def test_any_text_comes_back_the_same_from_every_format(write: Write, rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ALL_FORMATS:
            path = _packed(Path(folder) / f"data{suffix}", write, [{"input": a, "expected": b} for a, b in rows])
            table, findings = read(path)
            assert findings == []
            assert list(zip(table["input"].to_pylist(), table["expected"].to_pylist(), strict=True)) == rows


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.text(st.characters(exclude_characters="\r\n")), min_size=1, max_size=4))
@example(texts=["fine", "half \ud83d of a pair", "fine"])
def test_half_surrogate_pairs_are_refused_with_their_line(texts: list[str]) -> None:
    whole = [number for number, text in enumerate(texts, start=1) if not any("\ud800" <= c <= "\udfff" for c in text)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.jsonl"
        path.write_text("".join(json.dumps({"input": text, "expected": "x"}) + "\n" for text in texts))
        table, findings = read(path)
        assert table["line"].to_pylist() == whole
        assert {finding.line for finding in findings} == set(range(1, len(texts) + 1)) - set(whole)
        assert {finding.rule for finding in findings} <= {"not-unicode"}


@settings(deadline=None, max_examples=50)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([*ALL_FORMATS, ".json.zst", ".tsv.gz"]))
def test_no_bytes_crash_a_reader(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            # Random bytes never hold a column named like this.
            read(path, input="the input column")
        assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=50)
@given(cut=st.integers(0, 10_000), flipped=st.integers(0, 10_000), suffix=st.sampled_from(ALL_FORMATS))
def test_a_damaged_file_gives_rows_findings_or_an_input_error(
    write: Write, cut: int, flipped: int, suffix: str
) -> None:
    rows = [{"input": f"question {number}", "expected": "ä" * number} for number in range(20)]
    with tempfile.TemporaryDirectory() as folder:
        path = _packed(Path(folder) / f"data{suffix}", write, rows)
        content = bytearray(path.read_bytes())
        content[flipped % len(content)] ^= 0x55
        path.write_bytes(content[: cut % len(content)])
        try:
            table, findings = read(path)
        except InputError:
            return
        assert len(table) + len(findings) > 0


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
        b'{"input": "a", "expected": "b", "\\ud800": 1}\n'
        b'{"input": 1.5, "expected": true, "tags": ["x", {"y": "\xc3\xa9"}]}'
    )
    table, findings = read(path)
    assert table["line"].to_pylist() == [1, 11]
    last = table.to_pylist()[-1]
    assert (last["input"], last["expected"]) == ("1.5", "true")
    assert last["metadata"] == [("tags", '["x", {"y": "é"}]')]
    assert located(findings) == [
        ("unreadable-row", 3),
        ("unreadable-row", 4),
        ("unreadable-row", 5),
        ("unreadable-row", 6),
        ("not-unicode", 7),
        ("unreadable-row", 8),
        ("not-text", 9),
        ("not-unicode", 10),
    ]
    assert str(findings[0]) == f"{path}:3: not valid JSON (Expecting value at column 28)"


def test_broken_csv_rows_are_named_by_the_line_they_begin_on(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(
        b'input,expected\n"two\nlines",b\na,b,c\n\nonly\n\xe9t\xe9,summer\n"quoted"tail,b\ngood,row\n"never closed,b\n'
    )
    table, findings = read(path)
    assert table["line"].to_pylist() == [2, 9]
    assert table["input"].to_pylist() == ["two\nlines", "good"]
    assert located(findings) == [
        ("unreadable-row", 4),
        ("unreadable-row", 6),
        ("not-unicode", 7),
        ("unreadable-row", 8),
        ("unreadable-row", 10),
    ]
    assert findings[0].message == "3 field(s) where the header has 2"


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    rows = [f"q{number},a{number}" for number in range(1000)]
    rows[500] = '"q500,a500'
    rows[700] = '"q700, in quotes","a\n700"'
    path.write_text("\r\n".join(["input,expected", *rows]))
    table, findings = read(path)
    assert located(findings) == [("unreadable-row", 502)]
    assert len(table) == 999
    assert table["expected"].to_pylist()[-300:-298] == ["a\n700", "a701"]
    assert table["line"].to_pylist()[-300:-298] == [702, 704]


@settings(deadline=None, max_examples=50)
@given(junk=st.lists(st.sampled_from(['"', ",", "\n", "\r\n", "x", '"",', "ä"]), max_size=12).map("".join))
def test_no_broken_record_hides_the_row_after_it(junk: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        path.write_bytes(f"input,expected\nfirst,row\n{junk}\nlast,row\n".encode())
        table, findings = read(path)
        assert (table["input"][0].as_py(), table["input"][-1].as_py()) == ("first", "last")
        assert table["line"][-1].as_py() == 4 + junk.count("\n")
        lines = [finding.line or 0 for finding in findings]
        assert lines == sorted(set(lines) - set(table["line"].to_pylist()))


@pytest.mark.parametrize(
    ("name", "header"),
    [("data.csv", "input;expected"), ("data.csv", "input\texpected"), ("data.tsv", "input\texpected")],
)
def test_the_delimiter_is_the_headers(tmp_path: Path, name: str, header: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([header, header.replace("input", '"a,b"')]).encode() + b"\r\n")
    table, findings = read(path)
    assert findings == []
    assert (table["input"].to_pylist(), table["expected"].to_pylist()) == (["a,b"], ["expected"])


def test_a_json_file_is_a_list_or_holds_one(tmp_path: Path) -> None:
    rows = [{"input": "a", "expected": "b"}, "no object", {"input": "c", "expected": "d"}]
    path = tmp_path / "data.json"
    for content in (rows, {"version": 1, "data": rows, "tags": ["x"]}):
        path.write_text(json.dumps(content, indent=1))
        table, findings = read(path)
        assert table["line"].to_pylist() == [1, 3]
        assert located(findings) == [("unreadable-row", 2)]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_rows_before_the_end_of_a_cut_off_file_are_read(tmp_path: Path, write: Write, suffix: str) -> None:
    rows = [{"input": f"{number}", "expected": f"{number * 7919 % 10007}"} for number in range(50_000)]
    path = _packed(tmp_path / f"data.jsonl{suffix}", write, rows)
    path.write_bytes(path.read_bytes()[:-50_000])
    table, findings = read(path)
    assert 10_000 < len(table) < 50_000
    assert table["input"].to_pylist() == [str(number) for number in range(len(table))]
    assert located(findings) == [("unreadable-row", len(table) + 1)]
    assert "damaged from here on" in findings[0].message


def test_packed_files_of_several_parts_are_read_whole(tmp_path: Path) -> None:
    parts = [f'{{"input": "{number}", "expected": "x"}}\n'.encode() for number in range(3)]
    (tmp_path / "data.jsonl.gz").write_bytes(b"".join(map(gzip.compress, parts)) + b"\0" * 512)
    frames = b""
    for part in parts:
        with pa.output_stream(str(tmp_path / "part"), compression="zstd") as file:
            file.write(part)
        frames += (tmp_path / "part").read_bytes()
    (tmp_path / "data.jsonl.zst").write_bytes(frames)
    for name in ("data.jsonl.gz", "data.jsonl.zst"):
        assert read(tmp_path / name)[0]["input"].to_pylist() == ["0", "1", "2"]


@pytest.mark.parametrize("suffix", ALL_FORMATS)
def test_batches_are_bounded_and_say_the_same_as_the_whole(tmp_path: Path, write: Write, suffix: str) -> None:
    rows = [{"input": f"q\n{number}", "expected": f"a{number}"} for number in range(25)]
    (source,) = find_sources(_packed(tmp_path / f"data{suffix}", write, rows))
    batches = list(read_batches(source, ColumnMapping(), rows=10))
    assert [len(batch.table) for batch in batches if len(batch.table)] == [10, 10, 5]
    assert pa.concat_tables([batch.table for batch in batches]).equals(read_samples(source.path)[0])


def test_long_texts_make_small_batches(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("jsonl_rows", "csv_rows", "parquet_rows"):
        monkeypatch.setattr(f"llmops.data.reading.{module}.BATCH_BYTES", 100_000)
    rows = [{"input": "x" * 1000, "expected": str(number)} for number in range(1500)]
    for suffix in FORMATS:
        (source,) = find_sources(write(tmp_path / f"data{suffix}", rows))
        batches = list(read_batches(source, ColumnMapping()))
        assert max(len(batch.table) for batch in batches) <= (512 if suffix == ".parquet" else 100)
        assert [int(text) for batch in batches for text in batch.table["expected"].to_pylist()] == list(range(1500))


def test_parquet_types(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"fine", b"\xff", b"fine"]).buffers())
    table = pa.table(
        {
            "input": pa.array(["a", "b", "c"]).dictionary_encode(),
            "expected": pa.array([1.0, None, None]),
            "number": pa.array([7, 8, 9]),
            "share": pa.array([float("nan"), 0.25, float("nan")]),
            "day": pa.array([0, None, None], pa.date32()),
            "nested": pa.array([{"k": [1]}, None, None]),
            "raw": pa.array([b"x", b"y", b"z"]),
            "broken": broken,
        }
    )
    pq.write_table(table, path)
    rows, findings = read(path)
    assert rows["expected"].to_pylist() == ["1.0", ""]
    assert rows["line"].to_pylist() == [1, 3]
    assert [dict(row) for row in rows["metadata"].to_pylist()] == [
        {"broken": "fine", "day": "1970-01-01", "nested": '{"k": [1]}', "number": "7", "raw": "x"},
        {"broken": "fine", "number": "9", "raw": "z"},
    ]
    assert located(findings) == [("not-unicode", 2)]


def test_repeated_column_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("input,expected,input\na,b,c\n")
    with pytest.raises(InputError, match=r"data\.csv:1: the column 'input' occurs more than once"):
        read(path)


LIST_NEEDED = r'one list of objects is needed, \[\{…\}, …\] or \{"data": \[\{…\}, …\]\}'


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("data.parquet", b"this is text", "not a readable Parquet file"),
        ("data.parquet", b"", "not a readable Parquet file"),
        ("data.jsonl", b"", "the file has no rows"),
        ("data.json", b" \n", "the file has no rows"),
        ("data.json", b"[]", "the file has no rows"),
        ("data.csv", b"", "the file has no rows"),
        ("data.csv", b"input,expected\n", "the file has no rows"),
        ("data.jsonl.gz", b"", "the file has no rows"),
        ("data.jsonl.gz", b'{"input": "a", "expected": "b"}', "cannot be read .*gzip"),
        ("data.jsonl.zst", b'{"input": "a", "expected": "b"}', "cannot be read .*ZSTD"),
        ("data.jsonl", b"no json", r"data\.jsonl:1: not valid JSON"),
        ("data.jsonl", b'{"\\ud800": 1}', r"data\.jsonl:1: the key '.ud800' is not valid text"),
        ("data.csv", b"input,a\0b\nx,y\n", r"data\.csv:1: the column name 'a.x00b' is not valid text"),
        ("data.csv", "input,expected\na,b\n".encode("utf-16"), "seems to be UTF-16 text; save it as UTF-8"),
        ("data.csv", "input,expected\na,b\n".encode("utf-16-le"), "seems to be UTF-16 text; save it as UTF-8"),
        ("data.json", "[{}]".encode("utf-32"), "seems to be UTF-32 text; save it as UTF-8"),
        ("data.json", b'{"input": "a"}\n{"input": "b"}', r"data\.json:2: not valid JSON .*name the file \.jsonl"),
        ("data.json", b'[{"input": "\xff"}]', r"data\.json:1: not UTF-8 text"),
        ("data.json", b'[{"input": NaN}]', r"not valid JSON \(NaN is not a JSON value\)"),
        ("data.json", b"[" * 100_000, "not valid JSON"),
        ("data.json", b"7", "holds one int; a list of objects is needed"),
        ("data.json", b'{"a": {"b": [{"input": 1}]}}', LIST_NEEDED),
        ("data.json", b'{"a": [{"x": 1}], "b": [{"x": 1}]}', f"holds lists under 'a', 'b'; {LIST_NEEDED}"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as caught:
        read(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


WITHOUT_ROWS: dict[str, bytes] = {
    "a.csv": b"input,expected\n",
    "b.json": b"[]",
    "c.json": b" \n",
    "d.jsonl": b"\n",
    "f.tsv.gz": gzip.compress(b"input\texpected\r\n"),
}
BROKEN: dict[str, tuple[bytes, int | None]] = {
    "g.jsonl": (b"no json\n", 1),
    "h.csv": (b"input,expected\nonly\n", 2),
    "i.csv": (b'input,"expected\na,b\n', 1),
    "j.json": (b'[\n{"input": "a",', 2),
    "k.json": (b'[\n"\xff"]', 2),
    "l.json": (b"[7]", 1),
    "m.json": (b"[NaN]", None),
    "n.json.gz": (gzip.compress(b'[{"input": "a", "expected": "b"}]')[:-12], None),
    "n.parquet": (b"PAR1 and no more", None),
}
ROW = {"input": "a", "expected": "b"}


def _without_rows(folder: Path) -> list[str]:
    for name, content in WITHOUT_ROWS.items():
        (folder / name).write_bytes(content)
    pq.write_table(
        pa.table({"input": pa.array([], pa.string()), "expected": pa.array([], pa.string())}), folder / "e.parquet"
    )
    return [f"{folder}/{name}" for name in sorted([*WITHOUT_ROWS, "e.parquet"])]


def test_files_without_rows_are_named_and_the_others_are_read(tmp_path: Path, write: Write) -> None:
    empty = _without_rows(tmp_path)
    write(tmp_path / "z.jsonl", [ROW])
    table, findings = read(tmp_path)
    assert table["input"].to_pylist() == ["a"]
    warning = {"severity": "warning", "rule": "empty-file", "line": None, "sample_id": None}
    assert [finding.model_dump() for finding in findings] == [
        {**warning, "file": file, "message": "the file has no rows"} for file in empty
    ]


def test_broken_files_are_named_with_their_lines_and_the_others_are_read(tmp_path: Path, write: Write) -> None:
    for name, (content, _) in BROKEN.items():
        (tmp_path / name).write_bytes(content)
    write(tmp_path / "z.jsonl", [ROW])
    table, findings = read(tmp_path)
    assert table["input"].to_pylist() == ["a"]
    assert {(finding.severity, finding.rule) for finding in findings} == {("error", "unreadable-row")}
    assert [(Path(finding.file).name, finding.line) for finding in findings] == [
        (name, line) for name, (_, line) in BROKEN.items()
    ]


def test_each_batch_comes_with_the_number_of_its_file(tmp_path: Path, write: Write) -> None:
    _without_rows(tmp_path)
    write(tmp_path / "b2.jsonl", [ROW] * 3)
    write(tmp_path / "z.parquet", [ROW])
    sources = find_sources(tmp_path)
    batches = list(read_all(sources, ColumnMapping(), rows=2))
    assert all(sources[number].uri == batch.file for number, batch in batches)
    assert [number for number, batch in batches for _ in range(len(batch.table))] == [2, 2, 2, 7]
    assert {number for number, _ in batches} == set(range(len(sources)))


def test_files_that_all_have_no_rows_are_refused(tmp_path: Path) -> None:
    files = _without_rows(tmp_path)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    named = "; ".join(f"{file}: the file has no rows" for file in files[:5])
    assert str(caught.value) == f"{named}; and 1 more"
    (tmp_path / "y.jsonl").write_bytes(b"no json\n")
    with pytest.raises(InputError, match=rf"^{tmp_path}/y\.jsonl:1: not valid JSON [^;]*$"):
        read(tmp_path)


def test_a_mapped_column_that_one_file_lacks_is_refused(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "a.jsonl", [{**ROW, "topic": "t"}])
    write(tmp_path / "b.jsonl", [ROW])
    with pytest.raises(InputError, match=r"b\.jsonl: no column 'topic' \(group, .*\); it has input, expected"):
        read(tmp_path, group="topic")


def test_a_row_has_one_finding_however_many_of_its_keys_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    bad = '{"input": "a", "\\ud800": 1, "\\ud801": 2, "expected": "b"}\n'
    metadata = '{"input": "a", "expected": "b", "metadata": {"\\ud800": 1, "\\ud801": 2}}\n'
    path.write_text(bad * 2 + json.dumps(ROW) + "\n" + bad + metadata)
    table, findings = read(path)
    assert table["line"].to_pylist() == [3]
    assert located(findings) == [("not-unicode", line) for line in (1, 2, 4, 5)]
    assert findings[0].message == "the key '\\ud800' is not valid text; rename it"


@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_a_key_that_occurs_twice(tmp_path: Path, name: str) -> None:
    rows = [
        '{"input":"a","expected":"b","input":"c"}',
        '{"input" : "a", "expected" : "b", "expected" : "b"}',
        r'{"input":"a \"input\": 1","expected":"\"input\":"}',
        '{"input":"a","expected":"b","metadata":{"input":"x","expected":"y"}}',
        '{"input":"a","expected":"b","n":{"x":1,"x":2}}',
    ]
    path = tmp_path / name
    path.write_text("[" + ",".join(rows) + "]" if name == "data.json" else "\n".join(rows))
    table, findings = read_samples(path)
    assert table["line"].to_pylist() == [3, 4, 5]
    assert [(finding.rule, finding.line) for finding in findings] == [("unreadable-row", 1), ("unreadable-row", 2)]
    assert "the key 'input' occurs twice" in findings[0].message
    assert "the key 'expected' occurs twice" in findings[1].message
