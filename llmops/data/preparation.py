"""From a file to splits that can be published: read, validate, de-duplicate, split, report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmops.data.deduplication import drop_exact_repeats
from llmops.data.findings import Finding, raise_errors
from llmops.data.readers import read_source
from llmops.data.samples import SPLITS, ColumnMapping
from llmops.data.splits import Assignment, assign_splits, drop_leaked, subset
from llmops.data.validation import MINIMUM_EXAMPLES, too_few, validate
from llmops.digests import file_digest

Share = Annotated[float, Field(gt=0)]


class PreparationConfig(BaseModel):
    """How a data set is prepared; part of what a version records about itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: ColumnMapping = ColumnMapping()
    ratios: tuple[Share, Share, Share] = Field(
        default=(0.8, 0.1, 0.1), description="Shares of train, validation and test; they sum to 1."
    )
    seed: int = 0
    max_rows: int | None = Field(
        default=None, ge=MINIMUM_EXAMPLES, description="Keep this many rows of the source, chosen by seed."
    )

    @field_validator("ratios")
    @classmethod
    def _sum_to_one(cls, ratios: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(sum(ratios) - 1) > 1e-6:
            raise ValueError(f"the shares of train, validation and test sum to {sum(ratios):g}, not to 1")
        return ratios


class SourceFile(BaseModel):
    """A file that samples came from: where it was, the SHA-256 of its bytes, and its rows."""

    model_config = ConfigDict(frozen=True)

    path: str
    digest: str
    rows: int


class PreparationReport(BaseModel):
    """What became of the rows: `read` is the sum of `counts` and of all that was dropped.

    Attributes:
        read: rows read from all files.
        dropped_repeats: rows dropped as exact repeats of an earlier row of the same file.
        leaked: source rows dropped because their group or input is in the separate test file.
        left_out: rows beyond `max_rows`.
        bridging: rows dropped because their input belongs to another split than their group (see `splits`).
        several_references: inputs with more than one expected text, in all splits.
        counts: rows by split.
    """

    read: int
    dropped_repeats: int
    leaked: int
    left_out: int
    bridging: int
    several_references: int
    counts: dict[str, int]
    sources: list[SourceFile]
    findings: list[Finding]


@dataclass(frozen=True)
class Prepared:
    """Samples in `SAMPLE_SCHEMA`, every one with its split, and the report on how they came about."""

    table: pa.Table
    report: PreparationReport


def prepare(source: Path, config: PreparationConfig, test_source: Path | None = None) -> Prepared:
    """Read, validate, de-duplicate and split one file of examples.

    With a separate test file all its rows are the test split, the source is split into train and validation
    in proportion to their ratios, and source rows that share a group or an input with the test file are
    dropped.

    Raises:
        InputError: a file or column is missing or unreadable; rows are faulty (all are counted, the first
            five named by file and line); fewer than 10 distinct examples; a split would be empty.
    """
    files = [source] if test_source is None else [source, test_source]
    sources: list[SourceFile] = []
    tables: list[pa.Table] = []
    findings: list[Finding] = []
    for path in files:
        table, found = read_source(path, config.columns)
        findings += sorted([*found, *validate(table, str(path))], key=lambda finding: finding.line or 0)
        sources.append(SourceFile(path=str(path), digest=file_digest(path), rows=len(table)))
        tables.append(table.drop_columns(["line"]))
    raise_errors(findings)

    distinct = [drop_exact_repeats(table) for table in tables]
    train, repeats = distinct[0][0], sum(dropped for _, dropped in distinct)
    raise_errors(too_few(len(train), str(source)))
    shares = dict(zip(SPLITS, config.ratios, strict=True))
    leaked = 0
    if test_source is not None:
        test = distinct[1][0]
        train, leaked = drop_leaked(train, test)
        raise_errors(too_few(len(train), f"{source} without {leaked} rows also in {test_source}"))
        del shares["test"]
    chosen = train if config.max_rows is None else subset(train, config.max_rows, config.seed)
    assigned = assign_splits(chosen, shares, config.seed)
    result = assigned.table
    if test_source is not None:
        labels = pa.array(["test"] * len(test), pa.string())
        held_out = test.set_column(test.schema.get_field_index("split"), "split", labels)
        result = pa.concat_tables([result, held_out])

    report = PreparationReport(
        read=sum(file.rows for file in sources),
        dropped_repeats=repeats,
        leaked=leaked,
        left_out=len(train) - len(chosen),
        bridging=assigned.bridging,
        several_references=_inputs_with_several_references(result),
        counts=split_counts(result),
        sources=sources,
        findings=[*findings, *_warnings(assigned, str(source))],
    )
    return Prepared(result, report)


def split_counts(table: pa.Table) -> dict[str, int]:
    """Rows of a table by split, in the order train, validation, test."""
    counted = {row["values"]: row["counts"] for row in pc.value_counts(table["split"]).to_pylist()}
    return {split: counted.get(split, 0) for split in SPLITS}


def _inputs_with_several_references(table: pa.Table) -> int:
    references = table.group_by("input").aggregate([("expected", "count_distinct")])
    return int(pc.sum(pc.greater(references["expected_count_distinct"], 1)).as_py())


def _warnings(assigned: Assignment, file: str) -> list[Finding]:
    return [
        Finding(
            severity="warning",
            rule="few-groups",
            file=file,
            line=None,
            message=f"so few groups that the hash left {split} empty; one group was moved there",
        )
        for split in assigned.filled
    ]
