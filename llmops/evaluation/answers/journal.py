"""The journal: every answer is on disk the moment it arrives.

One segment is the journal of one batch: a file of JSON lines, locked by the process that writes it. The system frees
the lock when that process dies, and so the next command knows which segments nobody will fold into the store any more.
"""

import fcntl
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pyarrow.json

from llmops.evaluation.answers.schema import ANSWER_SCHEMA, RECORD_SCHEMA


class Segment:
    """A segment of the journal that this process holds the lock of."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._unsynced = False

    @classmethod
    def create(cls, folder: Path) -> "Segment":
        """Begin a segment in a folder, which is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid4().hex}.jsonl"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
            # Between the two calls another command may have taken the empty file for a dead one's and removed it.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_file(path, descriptor):
                return cls(path, descriptor)
            os.close(descriptor)

    @classmethod
    def take_over(cls, path: Path) -> "Segment | None":
        """The segment of a process that died; None where its writer lives, or another has just taken it over."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_file(path, descriptor):
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    @property
    def name(self) -> str:
        """What no other segment is called."""
        return self.path.stem

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one answer, a row of `RECORD_SCHEMA`, in one write: after it, only a power failure can lose it.

        Raises:
            OSError: the disk is full, or otherwise does not take it.
        """
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        if os.write(self._descriptor, line) != len(line):
            raise OSError(f"{self.path}: the disk took half a line; is it full?")
        self._unsynced = True

    def sync(self) -> None:
        """Wait until the disk has it, so that a power failure cannot lose it either."""
        if self._unsynced:
            self._unsynced = False
            # It may have been folded and closed between two seconds.
            with suppress(OSError):
                os.fdatasync(self._descriptor)

    def read(self) -> pa.Table:
        """Every answer written so far, in `ANSWER_SCHEMA`; a line that was cut is left out."""
        return read_segment(self.path)

    def remove(self) -> None:
        """Delete it, once its answers are in the store."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def read_segment(path: Path) -> pa.Table:
    """The answers in a segment, in `ANSWER_SCHEMA`; what a crash or a power failure left half-written is left out."""
    data = path.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    try:
        return _parse(data)
    except ValueError:
        return _parse(b"".join(line for line in data.splitlines(keepends=True) if _whole(line)))


def _parse(data: bytes) -> pa.Table:
    if not data:
        return ANSWER_SCHEMA.empty_table()
    table = pyarrow.json.read_json(
        pa.BufferReader(data),
        # In one block: a line must not be longer than a block.
        read_options=pyarrow.json.ReadOptions(block_size=len(data) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=RECORD_SCHEMA, unexpected_field_behavior="ignore"),
    )
    return table.cast(ANSWER_SCHEMA)


def _whole(line: bytes) -> bool:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(record, dict) and "key" in record


def _is_file(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
