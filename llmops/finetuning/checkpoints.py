"""Checkpoints that survive a kill -9 at any moment: only a complete one is ever resumed from.

The Trainer writes a checkpoint's files one after another. When all of them are there, a manifest with the
size of each is put beside them in one step; a checkpoint whose files do not agree with its manifest, because
it was half written or half deleted, does not exist for us.
"""

import json
import shutil
from pathlib import Path
from typing import Any

MANIFEST = "complete.json"
STATE = "trainer_state.json"
PREFIX = "checkpoint-"


def mark_complete(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint whose files are all there."""
    sizes = {file.name: file.stat().st_size for file in checkpoint.iterdir() if file.name != MANIFEST}
    temporary = checkpoint / f".{MANIFEST}"
    temporary.write_text(json.dumps(sizes))
    temporary.replace(checkpoint / MANIFEST)


def is_complete(checkpoint: Path) -> bool:
    """Whether every file of the checkpoint's manifest is there in full."""
    try:
        sizes = json.loads((checkpoint / MANIFEST).read_text())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was taken."""
    return int(checkpoint.name.removeprefix(PREFIX))


def complete_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints below a folder, oldest first; what else lies there is removed."""
    complete = []
    for path in sorted(folder.glob(f"{PREFIX}*"), key=step_of):
        if is_complete(path):
            complete.append(path)
        else:
            shutil.rmtree(path)
    return complete


def keep_newest(folder: Path, number: int, best_step: int | None) -> None:
    """Remove all but the newest checkpoints; the one of the best step stays as well."""
    for path in complete_checkpoints(folder)[:-number]:
        if step_of(path) != best_step:
            shutil.rmtree(path)


def state_of(checkpoint: Path) -> dict[str, Any]:
    """The Trainer's state at a checkpoint: steps, log history, best step, callbacks."""
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text())
    return state
