"""One pipeline at a time for one name: two that move the same alias must not run at once."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from llmops.errors import InputError
from llmops.names import require_name
from llmops.settings import settings


@contextmanager
def name_lock(name: str, wait_s: float = 0) -> Iterator[None]:
    """Hold the name's lock; a process that holds it already may enter again. The system frees it when a process dies.

    Args:
        name: what only one may work on.
        wait_s: seconds that another process is given to end.

    Raises:
        InputError: another process holds it, or the name cannot be a name.
    """
    require_name(name)
    folder = settings().require_home() / "locks"
    folder.mkdir(exist_ok=True)
    holder = folder / f"{name}.json"
    # One object a process, so that a flow inside another enters the lock that its parent holds.
    lock = FileLock(folder / f"{name}.lock", timeout=0, thread_local=False, is_singleton=True)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise InputError(
            f"another run is working on {name!r}{_who(holder)}; wait for it to end, or choose another name"
        ) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "since": datetime.now().isoformat(timespec="seconds")}))
        yield
    finally:
        lock.release()


def _who(holder: Path) -> str:
    try:
        held = json.loads(holder.read_text())
        return f" (process {held['pid']}, since {held['since']})"
    except (OSError, ValueError, KeyError):
        return ""
