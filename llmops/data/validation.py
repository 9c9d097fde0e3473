"""Checks over samples that were read: each finding says how bad, which rule, where, and what is wrong."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Finding

MINIMUM_EXAMPLES = 10


def validate(table: pa.Table, file: str) -> list[Finding]:
    """Check the rows of one file, as `read_source` returns them (`SAMPLE_SCHEMA` and the column `line`).

    Rules: ``empty-input``, ``empty-expected`` (nothing but white space) and ``control-character`` (a NUL in
    any text: databases, C libraries and tokenizers cut or refuse it).
    """
    findings = [
        Finding(severity="error", rule=f"empty-{column}", file=file, line=line, message=f"{column} is empty")
        for column in ("input", "expected")
        for line in _lines(table, pc.equal(pc.utf8_trim_whitespace(table[column]), ""))
    ]
    reported: set[int] = set()
    for column in ("input", "expected", "context", "metadata", "group"):
        # Once a row: one without a group of its own has its input as its group.
        lines = [line for line in _lines(table, _holds_nul(table[column])) if line not in reported]
        reported.update(lines)
        findings += [
            Finding(
                severity="error",
                rule="control-character",
                file=file,
                line=line,
                message=f"{column} holds a NUL character; remove it",
            )
            for line in lines
        ]
    return sorted(findings, key=lambda finding: finding.line or 0)


def too_few(count: int, file: str) -> list[Finding]:
    """The finding ``too-few-examples`` where fewer than 10 distinct examples are left of a file."""
    if count >= MINIMUM_EXAMPLES:
        return []
    message = f"{count} distinct example(s), at least {MINIMUM_EXAMPLES} are needed"
    return [Finding(severity="error", rule="too-few-examples", file=file, line=None, message=message)]


def _lines(table: pa.Table, faulty: pa.ChunkedArray) -> list[int]:
    lines: list[int] = table["line"].filter(faulty).to_pylist()
    return lines


def _holds_nul(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_map(texts.type):
        return pc.fill_null(pc.match_substring(texts, "\0"), False)
    chunks = []
    for chunk in texts.chunks:
        # The map is a list of entries: the row of each entry whose value holds one.
        entries = np.flatnonzero(pc.match_substring(chunk.items, "\0").to_numpy(zero_copy_only=False))
        rows = np.searchsorted(chunk.offsets.to_numpy(), entries, side="right") - 1
        chunks.append(np.isin(np.arange(len(chunk)), rows))
    return pa.chunked_array(chunks, pa.bool_())
