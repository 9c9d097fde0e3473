from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from llmops.evaluation.answers import AnswerStore
from llmops.evaluation.answers.journal import Segment
from llmops.evaluation.answers.plan import REQUEST_SCHEMA
from llmops.evaluation.answers.store import MOST_FILES, model_folder

MODEL = "openai/gpt-5@https://api.openai.com/v1"


def _write(store: AnswerStore, *answers: tuple[str, str | None, int], model: str = MODEL) -> Segment:
    segment = store.begin_segment()
    for key, text, at in answers:
        record: dict[str, Any] = {"key": key, "model": model, "question_id": "q", "repeat": 0, "text": text}
        segment.append(record | {"answered_at": at, "error_kind": None if text else "server", "cost": 0.25})
    return segment


def _find(store: AnswerStore, folder: Path, keys: Sequence[str], model: str = MODEL) -> list[dict[str, Any]]:
    rows = [
        {"row": row, "key": key, "question": row // 2, "question_id": f"q{row}", "repeat": row % 2, "messages": "[]"}
        for row, key in enumerate(keys)
    ]
    with pa.OSFile(str(folder / "requests"), "wb") as file, pa.ipc.new_file(file, REQUEST_SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(rows, REQUEST_SCHEMA))
    return [row for batch in store.find(model, folder / "requests", folder / "spilled") for row in batch.to_pylist()]


def _rows(store: AnswerStore) -> int:
    return DeltaTable(store.table).to_pyarrow_table().num_rows


def test_an_empty_store_finds_nothing(store: AnswerStore, tmp_path: Path) -> None:
    assert _find(store, tmp_path, ["a"]) == []
    assert store.fold_abandoned() == 0


def test_what_is_folded_is_found_and_its_segment_is_gone(store: AnswerStore, tmp_path: Path) -> None:
    segment = _write(store, ("a", "one", 1), ("b", "two", 2), ("c", None, 3))
    store.fold(segment)
    assert not segment.path.exists()
    found = _find(store, tmp_path, ["b", "x", "a", "c", "b"])
    assert [(row["row"], row["key"], row["text"]) for row in found] == [
        (0, "b", "two"),
        (2, "a", "one"),
        (4, "b", "two"),
    ]
    assert [(row["question_id"], row["question"], row["repeat"]) for row in found] == [
        ("q0", 0, 0), ("q2", 1, 0), ("q4", 2, 0)
    ]  # fmt: skip
    assert found[0]["cost"] == 0.25 and found[0]["model"] == MODEL


def test_the_newest_answer_wins(store: AnswerStore, tmp_path: Path) -> None:
    store.fold(_write(store, ("a", "new", 20)))
    store.fold(_write(store, ("a", "old", 10), ("a", "older", 9)))
    assert [row["text"] for row in _find(store, tmp_path, ["a"])] == ["new"]


def test_models_do_not_mix(store: AnswerStore, tmp_path: Path) -> None:
    store.fold(_write(store, ("a", "one", 1)))
    store.fold(_write(store, ("a", "other", 1), model="other"))
    assert [row["text"] for row in _find(store, tmp_path, ["a"], "other")] == ["other"]
    assert _find(store, tmp_path, ["a"], "third") == []


def test_a_crash_between_commit_and_removal_doubles_nothing(
    store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = _write(store, ("a", "one", 1), ("b", "two", 2))
    with monkeypatch.context() as crash:
        crash.setattr(Segment, "remove", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.fold(segment)
    segment.close()
    assert _rows(store) == 2 and segment.path.exists()
    assert store.fold_abandoned() == 2
    assert _rows(store) == 2 and not segment.path.exists()


def test_a_segment_in_use_is_left_alone(store: AnswerStore) -> None:
    segment = _write(store, ("a", "one", 1))
    assert store.fold_abandoned() == 0 and segment.path.exists()
    segment.close()
    assert store.fold_abandoned() == 1 and not segment.path.exists()


def test_many_small_files_become_few_and_nothing_is_lost(store: AnswerStore, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(MOST_FILES + 1)]
    for number, key in enumerate(keys):
        store.fold(_write(store, (key, f"text {number}", number)))
    assert len(DeltaTable(store.table).file_uris()) == MOST_FILES + 1
    store.tidy(MODEL)
    assert len(DeltaTable(store.table).file_uris()) == 1
    assert [row["text"] for row in _find(store, tmp_path, keys)] == [f"text {number}" for number in range(len(keys))]


def test_folders_of_models_are_their_own_and_harmless() -> None:
    names = ["a/b", "a_b", "a/b ", "../../etc", "é" * 300, "a'b", "m" * 300, "m" * 301]
    folders = [model_folder(name) for name in names]
    assert len(set(folders)) == len(names)
    assert all(len(one) < 80 and one.isascii() and "/" not in one and not one.startswith(".") for one in folders)
