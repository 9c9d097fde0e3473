"""Published versions: immutable, numbered, named by the digest of their content, readable for ever.

A data set is two Delta tables below ``<root>/<name>/``:

- ``samples``, partitioned by content digest, holds the rows;
- ``versions`` holds one row a version (its manifest), and that row is the commit: rows whose version was
  never recorded, because the process died in between, are invisible, and used when that content is published
  again.

Every version is read from the current state of these tables, never by time travel (which expires with the
log), and nothing is ever vacuumed. DuckDB, Spark and any other engine can read the same tables.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from filelock import FileLock
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from llmops.data.preparation import SourceFile, split_counts
from llmops.data.samples import SAMPLE_SCHEMA
from llmops.errors import InputError
from llmops.names import require_name

DatasetKind = Literal["golden", "regression", "benchmark", "user"]


class DatasetVersion(BaseModel):
    """One version of a data set: what it holds, what it was made from, and by which code.
    `digest` is the SHA-256 over the sorted (id, split, group) of its samples: it depends neither on the order
       of the rows nor on the format of the file they came from.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    number: int
    digest: str
    kind: DatasetKind
    parent: int | None
    sources: list[SourceFile]
    config: dict[str, Any]
    code_commit: str | None
    counts: dict[str, int]
    created_at: datetime

    @property
    def uri(self) -> str:
        """``name@number``, which `DatasetStore.resolve` understands."""
        return f"{self.name}@{self.number}"


class DatasetStore:
    """The data sets below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(
        self,
        name: str,
        table: pa.Table,
        *,
        kind: DatasetKind = "user",
        sources: Sequence[SourceFile] = (),
        config: Mapping[str, Any] | None = None,
        code_commit: str | None = None,
    ) -> DatasetVersion:
        """Publish samples (`SAMPLE_SCHEMA`, each with a split) as the next version of a name.

        The same content, configuration and kind as the latest version is that version: nothing is written.
        Publishers of one name, in any process, wait for each other.

        Raises:
            InputError: the name is not one.
        """
        require_name(name)
        settings = to_jsonable_python(dict(config or {}))
        digest = samples_digest(table)
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            published = self.versions(name)
            latest = published[-1] if published else None
            if latest and (latest.digest, latest.kind) == (digest, kind) and latest.config == settings:
                return latest
            version = DatasetVersion(
                name=name,
                number=latest.number + 1 if latest else 1,
                digest=digest,
                kind=kind,
                parent=latest.number if latest else None,
                sources=list(sources),
                config=settings,
                code_commit=code_commit,
                counts=split_counts(table),
                created_at=datetime.now(UTC),
            )
            self._append_samples(name, digest, table)
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
        filters = [("digest", "=", version.digest)]
        if split is not None:
            filters.append(("split", "=", split))
        rows = DeltaTable(self._samples(version.name)).to_pyarrow_table(filters=filters)
        return rows.sort_by("position").select(SAMPLE_SCHEMA.names).cast(SAMPLE_SCHEMA)

    def names(self) -> list[str]:
        """The names that have a version, sorted."""
        return sorted(log.parent.parent.name for log in self.root.glob("*/versions/_delta_log"))

    def versions(self, name: str) -> list[DatasetVersion]:
        """Every version of a name, oldest first; none where the name is unknown."""
        location = self._versions(name)
        if not DeltaTable.is_deltatable(location):
            return []
        manifests = DeltaTable(location).to_pyarrow_table(columns=["manifest"])["manifest"].to_pylist()
        published = [DatasetVersion.model_validate_json(manifest) for manifest in manifests]
        return sorted(published, key=lambda version: version.number)

    def _append_samples(self, name: str, digest: str, table: pa.Table) -> None:
        location = self._samples(name)
        # One atomic commit wrote them: where a digest has any file it has all its rows.
        if DeltaTable.is_deltatable(location) and DeltaTable(location).file_uris([("digest", "=", digest)]):
            return
        rows = table.select(SAMPLE_SCHEMA.names).append_column("position", pa.array(np.arange(len(table))))
        rows = rows.append_column("digest", pa.array([digest] * len(table), pa.string()))
        write_deltalake(location, rows, mode="append", partition_by=["digest"])

    def _append_version(self, version: DatasetVersion) -> None:
        row = {
            "number": [version.number],
            "digest": [version.digest],
            "manifest": [version.model_dump_json()],
        }
        write_deltalake(self._versions(version.name), pa.table(row), mode="append")

    def _samples(self, name: str) -> str:
        return str(self.root / name / "samples")

    def _versions(self, name: str) -> str:
        return str(self.root / name / "versions")


def samples_digest(table: pa.Table) -> str:
    """SHA-256 (hex) over the sorted (id, split, group) of samples."""
    parts = [table["id"], pc.fill_null(table["split"], ""), table["group"]]
    digest = hashlib.sha256()
    for row in sorted(pc.binary_join_element_wise(*parts, "\0").to_pylist()):
        digest.update(row.encode() + b"\0\n")
    return digest.hexdigest()
