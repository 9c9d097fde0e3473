import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmops.evaluation.answers.asking import readable
from llmops.evaluation.answers.journal import Segment, read_segment
from llmops.evaluation.answers.schema import ANSWER_SCHEMA


def _record(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "key": f"key-{number}",
        "model": "m",
        "question_id": "q",
        "repeat": 0,
        "text": f"line one\nline {number} é",
        "answered_at": 1_700_000_000_000_000 + number,
        **fields,
    }


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    segment.append(_record(1, cost=0.5, input_tokens=3, attempts=2))
    segment.append(_record(2, text=None, error_kind="timeout", error="late"))
    table = segment.read()
    assert table.schema == ANSWER_SCHEMA
    first, second = table.to_pylist()
    assert (first["text"], first["cost"], first["input_tokens"], first["attempts"]) == ("line one\nline 1 é", 0.5, 3, 2)
    assert first["answered_at"].isoformat() == "2023-11-14T22:13:20.000001+00:00"
    assert (second["text"], second["error_kind"], second["cost"]) == (None, "timeout", None)


@pytest.mark.parametrize(
    "torn", [b'{"key": "key-3", "mod', b"{", b"\x00\x00\x00", b'{"key": "key-3"\n{"key"', b"null\n"]
)
def test_a_torn_end_costs_only_itself(tmp_path: Path, torn: bytes) -> None:
    segment = Segment.create(tmp_path)
    segment.append(_record(1))
    segment.append(_record(2))
    with segment.path.open("ab") as file:
        file.write(torn)
    assert segment.read()["key"].to_pylist() == ["key-1", "key-2"]


def test_an_answer_longer_than_a_read_block(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    segment.append(_record(1, text="x" * 3_000_000))
    segment.append(_record(2))
    assert [len(text) for text in segment.read()["text"].to_pylist()] == [3_000_000, len("line one\nline 2 é")]


def test_an_empty_segment(tmp_path: Path) -> None:
    assert read_segment(Segment.create(tmp_path).path).schema == ANSWER_SCHEMA


def test_half_a_surrogate_pair_is_replaced_so_that_it_can_be_written(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    segment.append(_record(1, text=readable("a \ud83d b 😀")))
    assert segment.read()["text"].to_pylist() == ["a \ufffd b 😀"]


def test_only_a_dead_process_s_segment_is_taken_over(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from llmops.evaluation.answers.journal import Segment\n"
        "segment = Segment.create(Path(sys.argv[1])); segment.append({'key': 'k'}); print(segment.path, flush=True)\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert Segment.take_over(path) is None
        process.kill()
        process.wait()
        taken = Segment.take_over(path)
        assert taken is not None and taken.name == path.stem
        assert Segment.take_over(path) is None
        taken.remove()
        taken.close()
        assert Segment.take_over(path) is None
    finally:
        process.kill()
        process.wait()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = Segment.create(tmp_path)
    monkeypatch.setattr(os, "write", lambda descriptor, line: len(line) // 2)
    with pytest.raises(OSError, match="half a line"):
        segment.append(_record(1))
