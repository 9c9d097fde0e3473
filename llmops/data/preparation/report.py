"""What became of the rows of a source: counts, findings by rule, and what the samples look like."""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from llmops.data.findings import Finding

EXAMPLES = 5
QUALITY_BINS = 20
LENGTH_BINS = 30


class SourceFile(BaseModel):
    """A file that samples came from: where it was, the SHA-256 of its bytes, and its rows."""

    model_config = ConfigDict(frozen=True)

    path: str
    digest: str
    rows: int


class RuleSummary(BaseModel):
    """What one rule found: rows, their share of all rows read, what to do about it, and the first few."""

    model_config = ConfigDict(frozen=True)

    rule: str
    severity: str
    rows: int
    share: float
    advice: str
    examples: list[Finding]


class QualitySummary(BaseModel):
    """The quality scores (0 to 1) of the samples: mean, share below one half, and counts in 20 equal bins."""

    model_config = ConfigDict(frozen=True)

    mean: float
    below_half: float
    histogram: list[int]


class LengthSummary(BaseModel):
    """Lengths in words: median, 95th percentile, longest, and a histogram with its edges (one more than counts)."""

    model_config = ConfigDict(frozen=True)

    median: float
    p95: float
    longest: int
    edges: list[float]
    histogram: list[int]


class PreparationReport(BaseModel):
    """What became of the rows.

    Of what was published, `read` and the sum of `augmented` are the sum of `counts` and of `dropped`; of a source that
    was refused only `read`, the ``faulty`` rows and what was found are known.

    Attributes:
        read: rows of all files, also those that could not be made into a sample.
        dropped: rows left out, by reason: ``faulty`` (rows with an error), ``exact repeat``, ``near duplicate``,
            ``leaked`` (in the separate test file too), ``left out`` (beyond `max_rows`), ``bridging`` (of two splits).
        augmented: samples made from training samples, by method.
        rejected: samples that augmentation made and its filters refused, by reason.
        counts: samples by split.
        several_references: inputs with more than one expected text.
        findings: one summary a rule, errors first, then by number of rows.
        labels: how often each class occurs, where the expected texts are class labels.
        languages: samples by language, where it could be told.
        cutoffs: of a split by time, the first moment of validation and of test.
    """

    read: int
    dropped: dict[str, int]
    augmented: dict[str, int] = {}
    rejected: dict[str, int] = {}
    counts: dict[str, int]
    several_references: int
    sources: list[SourceFile]
    findings: list[RuleSummary] = []
    quality: QualitySummary
    lengths: dict[str, LengthSummary] = {}
    labels: dict[str, int] = {}
    languages: dict[str, int] = {}
    cutoffs: list[str] = []


def quality_summary(scores: np.ndarray) -> QualitySummary:
    """Summarise quality scores.

    >>> quality_summary(np.array([1.0, 0.4], dtype=np.float32)).mean.__round__(2)
    0.7
    """
    if not len(scores):
        return QualitySummary(mean=0.0, below_half=0.0, histogram=[0] * QUALITY_BINS)
    histogram, _ = np.histogram(scores, bins=QUALITY_BINS, range=(0, 1))
    return QualitySummary(
        mean=float(np.mean(scores, dtype=np.float64)),
        below_half=float(np.mean(scores < 0.5)),
        histogram=histogram.tolist(),
    )


def length_summary(words: np.ndarray) -> LengthSummary:
    """Summarise lengths in words; the last bin of the histogram holds all above the 99.5th percentile.

    >>> summary = length_summary(np.array([1, 2, 2, 3]))
    >>> summary.median, summary.edges, summary.histogram
    (2.0, [0.0, 1.0, 2.0, 3.0, 4.0], [0, 1, 2, 1])
    """
    if not len(words):
        return LengthSummary(median=0.0, p95=0.0, longest=0, edges=[0.0, 1.0], histogram=[0])
    top = int(np.ceil(np.quantile(words, 0.995)))
    # Bins of whole words, all of one width: others would show a comb.
    width = top // LENGTH_BINS + 1
    edges = np.arange(0, top + width + 1, width)
    histogram, _ = np.histogram(np.minimum(words, top), bins=edges)
    return LengthSummary(
        median=float(np.median(words)),
        p95=float(np.quantile(words, 0.95)),
        longest=int(words.max()),
        edges=edges.tolist(),
        histogram=histogram.tolist(),
    )


def rule_summaries(
    findings: Sequence[Finding], rows: Mapping[str, int], read: int, advice: Mapping[str, str]
) -> list[RuleSummary]:
    """One summary a rule out of findings (of which there may be fewer than rows: see `rows`)."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    summaries = [
        RuleSummary(
            rule=rule,
            severity="error" if any(one.severity == "error" for one in found) else "warning",
            rows=rows.get(rule, len(found)),
            share=rows.get(rule, len(found)) / max(read, 1),
            advice=advice.get(rule, ""),
            examples=found[:EXAMPLES],
        )
        for rule, found in by_rule.items()
    ]
    return sorted(summaries, key=lambda one: (one.severity, -one.rows, one.rule))
