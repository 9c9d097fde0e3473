"""What a version records about itself."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from llmops.data.preparation.report import SourceFile

DatasetKind = Literal["golden", "regression", "benchmark", "user"]


class EditRecord(BaseModel):
    """How a version was made from its parent, where it was by an edit and not by preparing files.

    Attributes:
        reason: why, in the words of who did it.
        added: samples that are new.
        retired: samples of the parent that are gone.
        repeats: rows given that were there already, or twice among those given.
        twins: rows given that said nearly what another sample says; they were dropped.
        bridging: rows given whose question is in one split and whose group in another; they were dropped.
    """

    model_config = ConfigDict(frozen=True)

    reason: str | None = None
    added: int = 0
    retired: int = 0
    repeats: int = 0
    twins: int = 0
    bridging: int = 0


class DatasetVersion(BaseModel):
    """One version of a dataset: what it holds, what it was made from, and by which code.

    Attributes:
        digest: names the samples, see `version_digest`; independent of their order and of the format of their file.
        rows_digest: the same with the quality scores; names the rows in the table of samples.
        parent: number of the version it was made from, or that was the latest before it.
        sources: the files or runs that its samples, or those an edit added, came from.
        config: of the preparation; an edit keeps its parent's.
        report: of the preparation.
        edit: of a version made by an edit.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    number: int
    digest: str
    rows_digest: str
    kind: DatasetKind
    parent: int | None
    sources: list[SourceFile]
    config: dict[str, Any]
    code_commit: str | None
    counts: dict[str, int]
    created_at: datetime
    report: dict[str, Any] | None = None
    edit: EditRecord | None = None

    @property
    def uri(self) -> str:
        """``name@number``, which `DatasetStore.resolve` understands."""
        return f"{self.name}@{self.number}"
