"""Published versions: immutable, numbered, named by the digest of their content, readable for ever.

A dataset is two Delta tables below ``<root>/<name>/``:

- ``samples``, partitioned by `rows_digest`, holds the rows;
- ``versions`` holds one row a version (its manifest), and that row is the commit: rows whose version was
  never recorded, because the process died in between, are invisible, and used when that content is published
  again.

Every version is read from the current state of these tables, never by time travel (which expires with the log), so
checkpoints, log clean-up, compaction and vacuum take nothing away. DuckDB, Spark and any other engine can read the
same tables.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake
from filelock import FileLock
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from llmops.data.preparation.report import SourceFile
from llmops.data.samples import SAMPLE_SCHEMA
from llmops.data.versions.digest import VersionDigest, version_digest
from llmops.data.versions.manifest import DatasetKind, DatasetVersion, EditRecord
from llmops.data.versions.row_files import BATCH_ROWS, ROWS_SCHEMA, append_rows, slices
from llmops.data.versions.row_ranges import read_in_order
from llmops.errors import InputError
from llmops.names import require_name

Samples: TypeAlias = pa.Table | Iterable[pa.RecordBatch]
"""A table, or batches that can be gone through more than once, in `SAMPLE_SCHEMA`."""


@dataclass(frozen=True)
class StoredSamples:
    """The samples of a version, or of one split, in published order: one batch at a time, as often as needed."""

    store: "DatasetStore"
    version: DatasetVersion
    split: str | None = None
    columns: tuple[str, ...] = tuple(SAMPLE_SCHEMA.names)

    def select(self, columns: Sequence[str]) -> "StoredSamples":
        """The same with only some columns, which is all that is read then."""
        return replace(self, columns=tuple(columns))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([SAMPLE_SCHEMA.field(name) for name in self.columns])
        of_split = None if self.split is None else pc.field("split") == self.split
        for table in read_in_order(self.store._stored(self.version), self.columns, of_split):
            for batch in table.cast(schema).to_batches(max_chunksize=BATCH_ROWS):
                yield from slices(batch)

    def __len__(self) -> int:
        counts = self.version.counts
        return sum(counts.values()) if self.split is None else counts.get(self.split, 0)


class DatasetStore:
    """The datasets below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(
        self,
        name: str,
        samples: Samples,
        *,
        kind: DatasetKind = "user",
        sources: Sequence[SourceFile] = (),
        config: Mapping[str, Any] | None = None,
        code_commit: str | None = None,
        report: Mapping[str, Any] | None = None,
        parent: int | None = None,
        edit: EditRecord | None = None,
    ) -> DatasetVersion:
        """Publish samples as the next version of a name.

        The same samples, configuration and kind as the latest version are that version: nothing is written.
        Publishers of one name, in any process, wait for each other. What is held in memory is one batch (whose
        rows are written 32 MiB at a time) and some hundred bytes a sample.

        Args:
            name: of the dataset.
            samples: each with its split and an id of its own; gone through twice.
            kind: what the dataset is for.
            sources: where the samples came from.
            config: of the preparation.
            code_commit: of the code that made them.
            report: of the preparation, kept as it is.
            parent: number of the version they were made from; the latest when left out.
            edit: how they were made from it.

        Raises:
            InputError: the name is not one; there are no samples, one is without a split, or an id is not that of its
                content (see `sample_table`) or occurs twice.
            TypeError: `samples` can be gone through only once.
        """
        require_name(name)
        if iter(samples) is samples:
            raise TypeError("samples are gone through twice: give a table, a list, or an object with __iter__")
        settings = to_jsonable_python(dict(config or {}))
        digest = version_digest(_batches(samples))
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            published = self.versions(name)
            latest = published[-1] if published else None
            if latest and (latest.rows_digest, latest.kind, latest.config) == (digest.rows, kind, settings):
                return latest
            version = DatasetVersion(
                name=name,
                number=latest.number + 1 if latest else 1,
                digest=digest.samples,
                rows_digest=digest.rows,
                kind=kind,
                parent=parent or (latest.number if latest else None),
                sources=list(sources),
                config=settings,
                code_commit=code_commit,
                counts=digest.counts,
                created_at=datetime.now(UTC),
                report=None if report is None else to_jsonable_python(dict(report)),
                edit=edit,
            )
            self._append_samples(name, digest, samples)
            self._require_complete(version)
            self._append_version(version)
        return version

    def resolve(self, reference: str) -> DatasetVersion:
        """The version that ``name``, ``name@latest`` or ``name@NUMBER`` stands for.

        Raises:
            InputError: there is no such name or number; the message lists what exists.
        """
        name, _, number = reference.partition("@")
        require_name(name)
        published = self.versions(name)
        if not published:
            existing = ", ".join(self.names()) or "none yet"
            raise InputError(f"no dataset {name!r} in {self.root}; there are: {existing}")
        if number in ("", "latest"):
            return published[-1]
        for version in published:
            if str(version.number) == number:
                return version
        existing = ", ".join(str(version.number) for version in published)
        raise InputError(f"dataset {name!r} has no version {number!r}; its versions are {existing} (or latest)")

    def read(self, version: DatasetVersion, split: str | None = None) -> pa.Table:
        """The samples of a version, all or of one split, in the order in which they were published."""
        return pa.Table.from_batches(self.batches(version, split), SAMPLE_SCHEMA)

    def batches(self, version: DatasetVersion, split: str | None = None) -> StoredSamples:
        """The same, one batch at a time; it can be gone through as often as needed, also by `publish`."""
        return StoredSamples(self, version, split)

    def names(self) -> list[str]:
        """The names that have a version, sorted."""
        folders = (log.parent for log in self.root.glob("*/versions/_delta_log"))
        return sorted(folder.parent.name for folder in folders if DeltaTable.is_deltatable(str(folder)))

    def versions(self, name: str) -> list[DatasetVersion]:
        """Every version of a name, oldest first; none where the name is unknown.

        Raises:
            InputError: another release of this package wrote them.
        """
        location = self._versions(name)
        if not DeltaTable.is_deltatable(location):
            return []
        manifests = DeltaTable(location).to_pyarrow_table(columns=["manifest"])["manifest"].to_pylist()
        try:
            published = [DatasetVersion.model_validate_json(manifest) for manifest in manifests]
        except ValidationError as error:
            raise _of_another_release(self.root / name) from error
        return sorted(published, key=lambda version: version.number)

    def editing(self, name: str) -> AbstractContextManager[Any]:
        """A lock for whoever makes a version out of the latest: the next one starts from what this one publishes.

        It is another lock than that of `publish`, and the system frees it when its holder dies. It lies beside the
        dataset, which need not exist yet.
        """
        require_name(name)
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / f".{name}.editing")

    def _append_samples(self, name: str, digest: VersionDigest, samples: Samples) -> None:
        location = self._samples(name)
        # One atomic commit wrote them: where a digest has any file it has all its rows.
        written = DeltaTable.is_deltatable(location) and DeltaTable(location).file_uris(
            [("rows_digest", "=", digest.rows)]
        )
        if not written:
            append_rows(location, digest.rows, _batches(samples))

    def _require_complete(self, version: DatasetVersion) -> None:
        """Before a version is recorded: all its rows are there, whoever else works on the files of the table."""
        expected = sum(version.counts.values())
        try:
            found = self._stored(version).count_rows()
        except OSError:
            found = -1
        if found != expected:
            raise InputError(
                f"{self._samples(version.name)}: files of this table were removed or changed from outside, so "
                f"{version.name} was not published; restore them, or publish under another name"
            )

    def _append_version(self, version: DatasetVersion) -> None:
        row = {
            "number": [version.number],
            "digest": [version.digest],
            "manifest": [version.model_dump_json()],
        }
        write_deltalake(self._versions(version.name), pa.table(row), mode="append")

    def _stored(self, version: DatasetVersion) -> ds.Dataset:
        """The rows of a version, in any order."""
        table = DeltaTable(self._samples(version.name))
        if set(ROWS_SCHEMA.names) - {field.name for field in table.schema().fields}:
            raise _of_another_release(self.root / version.name)
        return table.to_pyarrow_dataset(partitions=[("rows_digest", "=", version.rows_digest)])

    def _samples(self, name: str) -> str:
        return str(self.root / name / "samples")

    def _versions(self, name: str) -> str:
        return str(self.root / name / "versions")


def _batches(samples: Samples) -> Iterator[pa.RecordBatch]:
    if isinstance(samples, pa.Table):
        samples = samples.to_batches(max_chunksize=BATCH_ROWS)
    for batch in samples:
        yield from slices(batch.select(SAMPLE_SCHEMA.names))


def _of_another_release(folder: Path) -> InputError:
    return InputError(f"{folder}: written by another release of llmops; move it away and prepare the dataset again")
