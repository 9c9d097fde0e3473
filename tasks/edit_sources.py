"""What an edit is given: samples to add, from files or from the failures of an evaluation, and ids to retire."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from llmops.data.findings import Finding, Hits, raise_errors
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.report import SourceFile
from llmops.data.reading.readers import read_all
from llmops.data.reading.sources import find_sources
from llmops.data.samples import SAMPLE_SCHEMA, ColumnMapping
from llmops.data.validation.checks import ValidationConfig, row_hits, severity_of
from llmops.data.validation.contamination import ReferenceIndex, contamination_hits, reference_index
from llmops.data.validation.quality import quality_scores
from llmops.data.versions.manifest import DatasetKind
from llmops.digests import file_digest
from llmops.errors import InputError
from tasks.dataset_preparation import local_path, reference_samples
from tasks.evaluated_samples import failed_samples


@dataclass(frozen=True)
class DatasetEdit:
    """What is to be done: the parameters of the flow, see there."""

    name: str
    add: str | None
    retire: list[str]
    add_failures: str | None
    metric: str
    split: str | None
    kind: DatasetKind | None
    columns: ColumnMapping
    reason: str | None


@dataclass(frozen=True)
class GivenRows:
    """What an edit was given: samples to add, ids to retire, where they are from, and what validation says."""

    samples: pa.Table
    retired: list[str]
    sources: list[SourceFile]
    warnings: dict[str, int]


def read_given(edit: DatasetEdit, config: PreparationConfig) -> GivenRows:
    """Read what an edit adds, check it as a preparation with this configuration does, and read the ids it retires.

    Every rule over single rows is applied, and contamination where the configuration names references. The rules
    over a whole dataset (label conflicts, class imbalance, length outliers, a language of few rows, texts that seem
    cut off) are not: they judge a row by all the others, and those are not read here.

    Raises:
        InputError: a source or a reference cannot be read, or rows are faulty (the first five named).
    """
    read, sources = _read_added(edit, config)
    findings = [*read.unreadable, *_judged(read)]
    raise_errors(sorted(findings, key=lambda one: (list(read.rows).index(one.file), one.line or 0)))
    retired, files = _retired(edit.retire)
    warnings = Counter(finding.rule for finding in findings)
    return GivenRows(read.samples(), retired, [*sources, *files], dict(warnings.most_common()))


def _read_added(edit: DatasetEdit, config: PreparationConfig) -> tuple["_AddedRows", list[SourceFile]]:
    columns = config.columns.model_copy(
        update={name: getattr(edit.columns, name) for name in edit.columns.model_fields_set}
    )
    files = find_sources(local_path(edit.add)) if edit.add else []
    failed = failed_samples(edit.add_failures, edit.metric) if edit.add_failures else None
    read = _AddedRows(config.validation, _references(config) if files or failed else None)
    for _, batch in read_all(files, columns) if files else ():
        read.append(batch.file, batch.table, batch.findings)
    digests = {file.uri: file.digest() for file in files}
    if failed:
        read.append(failed.uri, failed.samples, [])
        digests[failed.uri] = failed.digest
    return read, [SourceFile(path=uri, digest=digest, rows=read.rows[uri]) for uri, digest in digests.items()]


def _references(config: PreparationConfig) -> ReferenceIndex | None:
    """The samples that must not occur among the rows, indexed."""
    try:
        tables = dict(reference_samples(config))
    except InputError as error:
        raise InputError(f"what no added row may repeat (validation.contamination) cannot be read: {error}") from error
    return reference_index(tables, config.validation.contamination_share) if tables else None


_ADDED_SCHEMA = SAMPLE_SCHEMA.append(pa.field("line", pa.int64())).append(pa.field("file", pa.string()))


@dataclass
class _AddedRows:
    """The rows to add as they are read.

    Attributes:
        config: which rules are applied.
        references: what must not occur.
        tables: the samples with their file and line.
        hits: what the rules over single rows found; row numbers count through all tables.
        unreadable: findings about rows that are no samples.
        rows: of each file, with the unreadable ones.
    """

    config: ValidationConfig
    references: ReferenceIndex | None
    tables: list[pa.Table] = field(default_factory=lambda: [_ADDED_SCHEMA.empty_table()])
    hits: list[Hits] = field(default_factory=list)
    unreadable: list[Finding] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)

    def append(self, file: str, table: pa.Table, unreadable: list[Finding]) -> None:
        """Check the next rows of a file."""
        hits = row_hits(table, self.config)
        if self.references is not None:
            hits += contamination_hits(table, self.references)
        before = sum(map(len, self.tables))
        self.hits += [
            Hits(one.rule, one.rows + before, one.messages)
            for one in hits
            if severity_of(one.rule, 0, 1, self.config) is not None
        ]
        self.unreadable += unreadable
        named = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int8), [file]).cast(pa.string())
        self.tables.append(table.select([*SAMPLE_SCHEMA.names, "line"]).append_column("file", named))
        self.rows[file] += len(table) + len({one.line for one in unreadable if one.severity == "error"})

    def samples(self) -> pa.Table:
        """The samples with their quality."""
        table = pa.concat_tables(self.tables).select(SAMPLE_SCHEMA.names)
        column = SAMPLE_SCHEMA.get_field_index("quality")
        scores = pa.array(quality_scores(len(table), self.hits), pa.float32())
        return table.set_column(column, SAMPLE_SCHEMA.field(column), scores)


def _judged(read: _AddedRows) -> list[Finding]:
    """What the rules found, as bad as it is among all added rows, from whatever files they are."""
    where = pa.concat_tables([table.select(["file", "line", "id"]) for table in read.tables])
    by_rule: dict[str, list[Hits]] = {}
    for hits in read.hits:
        by_rule.setdefault(hits.rule, []).append(hits)
    findings = []
    for rule, found in by_rule.items():
        rows = np.concatenate([hits.rows for hits in found])
        severity = severity_of(rule, len(np.unique(rows)), sum(read.rows.values()), read.config)
        messages = [message for hits in found for message in hits.messages]
        findings += [
            Finding(severity=severity, rule=rule, file=at["file"], line=at["line"], sample_id=at["id"], message=message)
            for at, message in zip(where.take(pa.array(rows)).to_pylist(), messages, strict=True)
        ]
    return findings


def _retired(given: list[str]) -> tuple[list[str], list[SourceFile]]:
    """Ids, and the files that some of them stood in."""
    sources: list[SourceFile] = []
    retired: list[str] = []
    for text in given:
        file = Path(local_path(text))
        if file.is_file():
            ids = file.read_text(encoding="utf-8-sig").split()
            sources.append(SourceFile(path=text, digest=file_digest(file), rows=len(ids)))
            retired += ids
        elif set(text) & set("/\\."):
            raise InputError(f"--retire {text}: no such file, and no sample's id either")
        else:
            retired.append(text)
    return retired, sources
