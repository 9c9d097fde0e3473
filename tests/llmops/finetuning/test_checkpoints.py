from pathlib import Path

import pytest

from llmops.finetuning import checkpoints


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    checkpoints.mark_complete(path)
    return path


@pytest.mark.parametrize(
    "accident",
    [
        lambda path: (path / "complete.json").unlink(),
        lambda path: (path / "complete.json").write_text('{"model.saf'),
        lambda path: (path / "model.safetensors").unlink(),
        lambda path: (path / "model.safetensors").write_bytes(b"weig"),
    ],
    ids=["unmarked", "torn mark", "file gone", "file torn"],
)
def test_damaged_checkpoint_is_passed_over_and_removed(tmp_path: Path, accident: object) -> None:
    older, newer = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    assert checkpoints.complete_checkpoints(tmp_path) == [older, newer]
    accident(newer)  # type: ignore[operator]
    assert checkpoints.complete_checkpoints(tmp_path) == [older]
    assert not newer.exists()


def test_newest_and_best_are_kept(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path, step) for step in (5, 10, 90, 100, 110)]
    checkpoints.keep_newest(tmp_path, 2, best_step=10)
    assert checkpoints.complete_checkpoints(tmp_path) == [paths[1], paths[3], paths[4]]
    assert checkpoints.state_of(paths[4]) == {"global_step": 110}


def test_no_folder_holds_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoints.complete_checkpoints(tmp_path / "none") == []
