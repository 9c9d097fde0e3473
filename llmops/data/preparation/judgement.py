"""From what rules found to findings: how bad each is by the policies, where it is, and which rows must go."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from llmops.data.findings import Finding, Hits
from llmops.data.preparation.examination import MOST_FINDINGS, Rows
from llmops.data.preparation.report import RuleSummary, rule_summaries
from llmops.data.preparation.spill import Spill
from llmops.data.validation.checks import ValidationConfig, dataset_findings, dataset_hits, severity_of
from llmops.data.validation.quality import quality_scores
from llmops.data.validation.rules import RULES, Severity

FINDINGS_SCHEMA = pa.schema(
    [
        ("severity", pa.string()),
        ("rule", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("sample_id", pa.string()),
        ("message", pa.string()),
    ]
)


@dataclass(frozen=True)
class Judgement:
    """What validation says of all rows.

    Attributes:
        findings: by file and line; of one rule at most 10,000.
        counts: rows by rule, all of them.
        faulty: numbers of the rows with an error.
        quality: a score of 0 to 1 for each row.
        of_the_whole: those findings that are about no row in particular.
    """

    findings: list[Finding]
    counts: dict[str, int]
    faulty: np.ndarray
    quality: np.ndarray
    of_the_whole: list[Finding]

    def summaries(self, read: int) -> list[RuleSummary]:
        """One summary a rule, errors first."""
        advice = {name: rule.advice for name, rule in RULES.items()}
        return rule_summaries(self.findings, self.counts, read, advice)

    def table(self) -> pa.Table:
        """The findings in `FINDINGS_SCHEMA`."""
        return pa.Table.from_pylist([finding.model_dump() for finding in self.findings], FINDINGS_SCHEMA)


def judge(rows: Rows, files: Sequence[str], config: ValidationConfig, spill: Spill) -> Judgement:
    """Apply the policies to what was found, the rules over the whole dataset included."""
    by_rule: dict[str, list[Hits]] = {}
    for hits in [*rows.hits, *dataset_hits(rows.facts, config)]:
        by_rule.setdefault(hits.rule, []).append(hits)
    total = sum(rows.read)
    of_the_whole = dataset_findings(rows.facts, config, files[0])
    findings = [*rows.findings, *of_the_whole]
    counts = Counter(rows.unread)
    counts.update({finding.rule: 0 for finding in of_the_whole})
    faulty: list[np.ndarray] = []
    kept: list[Hits] = []
    for rule, found in by_rule.items():
        hit = np.concatenate([hits.rows for hits in found])
        count = len(np.unique(hit))
        severity = severity_of(rule, count, total, config)
        if severity is None or not count:
            continue
        counts[rule] += count
        kept += found
        if severity == "error":
            faulty.append(hit)
        messages = [message for hits in found for message in hits.messages][:MOST_FINDINGS]
        findings += _findings(severity, rule, hit[: len(messages)], messages, rows, files, spill)
    place = {file: number for number, file in enumerate(files)}
    findings.sort(key=lambda one: (place.get(one.file, 0), one.line or 0, one.rule))
    return Judgement(
        findings=findings,
        counts=dict(counts),
        faulty=np.unique(np.concatenate(faulty)) if faulty else np.zeros(0, dtype=np.int64),
        quality=quality_scores(len(rows), kept),
        of_the_whole=of_the_whole,
    )


def _findings(
    severity: Severity,
    rule: str,
    hit: np.ndarray,
    messages: Sequence[str],
    rows: Rows,
    files: Sequence[str],
    spill: Spill,
) -> list[Finding]:
    ids = spill.take(hit, ["id"])["id"].to_pylist()
    where = zip(rows.numbers["file"][hit].tolist(), rows.numbers["line"][hit].tolist(), strict=True)
    return [
        Finding(
            severity=severity,
            rule=rule,
            file=files[file],
            line=line,
            sample_id=sample,
            message=message,
        )
        for (file, line), sample, message in zip(where, ids, messages, strict=True)
    ]
