"""The store: every answer that was ever paid for, in one Delta table.

It is partitioned by model. A batch is committed under the name of its journal segment, so that one that was
committed before a crash is not committed again after it. Readers take the newest answer of each key.
"""

import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock

from llmops.evaluation.answers.journal import Segment
from llmops.evaluation.answers.schema import ANSWER_SCHEMA

PARTITION = "model_folder"
MOST_FILES = 40
_FOUND = [one for one in ANSWER_SCHEMA.names if one not in ("key", "model", "question_id", "repeat")]


class AnswerStore:
    """The answers under a folder.

    ``answers/`` is the Delta table, ``journal/`` what is not in it yet, ``runs/`` what collections have under way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = folder / "answers"
        self.journal = folder / "journal"
        self.runs = folder / "runs"

    def begin_segment(self) -> Segment:
        """A new segment of the journal."""
        return Segment.create(self.journal)

    def fold(self, segment: Segment) -> None:
        """Move a segment's answers into the table, and remove it. What failed is no answer and is not kept."""
        table = segment.read()
        answered = table.filter(pc.is_valid(table["text"]))
        if len(answered):
            self._commit(answered, segment.name)
        segment.remove()

    def fold_abandoned(self) -> int:
        """Fold the segments of processes that died; returns the number of answers saved."""
        saved = 0
        for path in sorted(self.journal.glob("*.jsonl")):
            segment = Segment.take_over(path)
            if segment is None:
                continue
            try:
                saved += segment.read()["text"].drop_null().length()
                self.fold(segment)
            finally:
                segment.close()
        return saved

    def find(self, model: str, requests: Path, scratch: Path) -> Iterator[pa.RecordBatch]:
        """The newest answer to each of some requests that has one.

        One pass over the model's answers; what does not fit into half a gigabyte is worked on in files.

        Args:
            model: identity.
            requests: Arrow IPC file with the columns row, key, question, question_id and repeat.
            scratch: folder for those files.

        Yields:
            batches with the columns row and those of `BATCH_SCHEMA`, in the order of `row`.
        """
        files = self._files(model)
        if not files:
            return
        import duckdb
        import pyarrow.dataset as ds

        with duckdb.connect(config={"memory_limit": "512MB", "temp_directory": str(scratch), "threads": 2}) as database:
            asked = ds.dataset(requests, format="ipc").scanner(
                columns=["row", "key", "question", "question_id", "repeat"]
            )
            database.register("asked", asked)
            found = database.sql(
                f"""
                SELECT asked.row, asked.key, stored.model, asked.question_id, asked.repeat,
                       {", ".join(f"stored.{name}" for name in _FOUND)}, asked.question
                FROM asked JOIN read_parquet($files, hive_partitioning = false) AS stored USING (key)
                QUALIFY row_number() OVER (PARTITION BY asked.row ORDER BY stored.answered_at DESC) = 1
                ORDER BY asked.row
                """,
                params={"files": files},
            )
            reader: pa.RecordBatchReader = found.to_arrow_reader(1000)
            yield from reader

    def tidy(self, model: str) -> None:
        """Write a model's many small files as a few, and delete those that nobody has read for a week."""
        if len(self._files(model)) <= MOST_FILES:
            return
        from deltalake import DeltaTable

        with self._commit_lock():
            table = DeltaTable(self.table)
            table.optimize.compact(partition_filters=[(PARTITION, "=", model_folder(model))])
            table.vacuum(dry_run=False)

    def _files(self, model: str) -> list[str]:
        from deltalake import DeltaTable

        if not (self.table / "_delta_log").is_dir():
            return []
        files: list[str] = DeltaTable(self.table).file_uris(
            file_pruning_predicate=f"{PARTITION} = '{model_folder(model)}'"
        )
        return files

    def _commit(self, answers: pa.Table, name: str) -> None:
        from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

        folders = pa.array([model_folder(model) for model in answers["model"].to_pylist()], pa.string())
        with self._commit_lock():
            exists = (self.table / "_delta_log").is_dir()
            # The library records the name and leaves it to the writer to look whether it is there.
            if exists and DeltaTable(self.table).transaction_version(name) is not None:
                return
            write_deltalake(
                self.table,
                answers.append_column(PARTITION, folders),
                mode="append",
                partition_by=[PARTITION],
                # Each segment leaves its name in the log: after a month it may go.
                configuration=None if exists else {"delta.setTransactionRetentionDuration": "interval 30 days"},
                commit_properties=CommitProperties(app_transactions=[Transaction(name, 1)]),
            )
            self._sync(DeltaTable(self.table).version())

    def _sync(self, version: int) -> None:
        """Wait until the disk has a commit, which the library does not: its journal is removed next."""
        log = self.table / "_delta_log" / f"{version:020}.json"
        actions = [orjson.loads(line) for line in log.read_bytes().splitlines()]
        written = [self.table / one["add"]["path"] for one in actions if "add" in one] + [log]
        for path in [*written, *{one.parent for one in written}]:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _commit_lock(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".commit.lock")


def model_folder(model: str) -> str:
    """A model's identity as the name of a folder, readable and its own.

    >>> model_folder("openai/gpt-5@https://api.openai.com/v1")
    'openai_gpt-5_https_api.openai.com_v1-362be975'
    """
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", model)[:60].strip("_.")
    return f"{readable}-{blake2b(model.encode(), digest_size=4).hexdigest()}"
