"""What an edit is given: samples to add, from files or from the failures of an evaluation, and ids to retire."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from llmops.data.findings import Finding, raise_errors
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.report import SourceFile
from llmops.data.reading.readers import read_batches
from llmops.data.reading.sources import find_sources
from llmops.data.samples import SAMPLE_SCHEMA, ColumnMapping
from llmops.data.validation.checks import ValidationConfig, row_hits, severity_of
from llmops.data.validation.quality import quality_scores
from llmops.data.versions.manifest import DatasetKind
from llmops.digests import file_digest
from llmops.errors import InputError
from tasks.dataset_preparation import local_path
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
    """Read and check what an edit adds, and the ids of what it retires.

    Raises:
        InputError: a source cannot be read, or rows are faulty (the first five named).
    """
    columns = config.columns.model_copy(
        update={name: getattr(edit.columns, name) for name in edit.columns.model_fields_set}
    )
    tables, findings, sources = [SAMPLE_SCHEMA.empty_table()], [], []
    for source, batches in _added(edit, columns):
        rows = 0
        for file, table, found in batches:
            checked, hits = _checked(file, table, config.validation)
            tables.append(checked)
            findings += [*found, *hits]
            rows += len(table) + len({finding.line for finding in found})
        sources.append(source.model_copy(update={"rows": rows}))
    raise_errors(findings)
    retired, files = _retired(edit.retire)
    warnings = Counter(finding.rule for finding in findings)
    return GivenRows(pa.concat_tables(tables), retired, [*sources, *files], dict(warnings.most_common()))


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


_Batch = tuple[str, pa.Table, list[Finding]]


def _added(edit: DatasetEdit, columns: ColumnMapping) -> Iterator[tuple[SourceFile, Iterator[_Batch]]]:
    """Every source of added rows with its batches: file, samples, findings."""
    for source in find_sources(local_path(edit.add)) if edit.add else ():
        batches = ((batch.file, batch.table, batch.findings) for batch in read_batches(source, columns))
        yield SourceFile(path=source.uri, digest=source.digest(), rows=0), batches
    if edit.add_failures:
        failed = failed_samples(edit.add_failures, edit.metric)
        yield SourceFile(path=failed.uri, digest=failed.digest, rows=0), iter([(failed.uri, failed.samples, [])])


def _checked(file: str, table: pa.Table, config: ValidationConfig) -> tuple[pa.Table, list[Finding]]:
    """Samples with their quality, and what the rules over single rows find."""
    hits = row_hits(table, config)
    lines, ids = table["line"].to_pylist(), table["id"].to_pylist()
    findings = []
    for one in hits:
        severity = severity_of(one.rule, len(one.rows), len(table), config)
        if severity is not None:
            findings += [
                Finding(
                    severity=severity, rule=one.rule, file=file, line=lines[row], sample_id=ids[row], message=message
                )
                for row, message in zip(one.rows.tolist(), one.messages, strict=True)
            ]
    column = SAMPLE_SCHEMA.get_field_index("quality")
    scores = pa.array(quality_scores(len(table), hits), pa.float32())
    samples = table.select(SAMPLE_SCHEMA.names).set_column(column, SAMPLE_SCHEMA.field(column), scores)
    return samples, sorted(findings, key=lambda finding: finding.line or 0)
