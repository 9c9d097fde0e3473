"""Two models within each slice of the questions: those that have the same value in a column of their metadata."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from llmops.errors import InputError
from llmops.evaluation.comparison.gates import GateConfig, require_measured
from llmops.evaluation.comparison.margins import default_margins
from llmops.evaluation.comparison.verdicts import Verdict, decide
from llmops.evaluation.comparison.wording import say_missing
from llmops.evaluation.metrics.metric import Measured
from llmops.evaluation.statistics.bootstrap import SEED
from llmops.evaluation.statistics.intervals import Difference, Estimate, paired_differences
from llmops.evaluation.statistics.pairing import Labels, Paired, pair

NO_VALUE = "(none)"
SMALLEST = 20
MOST = 1000  # values of a column: more of them are names, not slices
Key = tuple[str, str, str]  # column, value, metric


class Slice(BaseModel):
    """One metric within one slice; positive differences are better.

    n, groups: questions compared, and the independent groups they form. difference: with its uncorrected interval;
    None where the slice is a single group. verdict: corrected for all slices and metrics; `too small` where the slice
    has too few groups to be asked. candidate_missing, baseline_missing: answers asked in the slice and not measured.
    missing: what is missing, where that makes the verdict `inconclusive`; else empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    value: str
    metric: str
    label: str
    n: int
    groups: int
    candidate: float
    baseline: float
    difference: Estimate | None
    margin: float
    verdict: Verdict | Literal["too small"]
    candidate_missing: int = 0
    baseline_missing: int = 0
    missing: str = ""


def compare_slices(
    candidate: Mapping[str, Measured],
    baseline: Mapping[str, Measured],
    ids: Labels,
    metadata: Sequence[Mapping[str, str]],
    columns: Sequence[str],
    gate: GateConfig | None = None,
    smallest: int = SMALLEST,
    seed: int = SEED,
) -> list[Slice]:
    """The gate's verdicts within each slice, with Holm's correction over all slices and metrics together.

    ids, metadata: of the questions (those of `Questions`). columns: the metadata to slice by, each by itself; a
    question without the column is in the slice `(none)`. smallest: groups that a slice needs to get a verdict.
    Returns the slices by column, the largest first, each with all gated metrics; a metric that was measured of both on
    no question of a slice has no row there. As in the whole, a slice of which one side lacks more than `max_missing` of
    the answers is at most `inconclusive`. Raises InputError for a column that no question has or that has more than
    1,000 values, and where candidate and baseline cannot be paired.
    """
    gate = gate or GateConfig()
    for name in gate.margins or ([gate.primary] if gate.primary else []):
        require_measured(name, candidate, baseline)
    pairs = pair(candidate, baseline)
    margins = gate.margins or default_margins(pairs, gate.primary)
    parts: dict[Key, Paired] = {}
    for column in columns:
        value_of = _values(column, ids, metadata)
        for metric in margins:
            parts |= _parts(column, value_of, metric, pairs[metric])
    differences: dict[Key, Difference] = {}
    for key, one in parts.items():
        if len(one.candidate_totals) >= 2:
            differences[key] = paired_differences({key[2]: one}, seed)[key[2]]
    asked = {key for key in differences if len(parts[key].candidate_totals) >= max(2, smallest)}
    verdicts = decide(
        {key: differences[key].limits for key in parts if key in asked},
        {key: margins[key[2]] for key in asked},
        gate.alpha,
    )
    lacking = {
        key: say_missing(parts[key], gate.max_missing)
        for key, verdict in verdicts.items()
        if verdict != "worse" and parts[key].missing_share > gate.max_missing
    }
    sizes: dict[tuple[str, str], int] = {}
    for (column, value, _), one in parts.items():
        sizes[column, value] = max(one.n, sizes.get((column, value), 0))
    rows = [
        Slice(
            column=key[0],
            value=key[1],
            metric=key[2],
            label=one.metric.label,
            n=one.n,
            groups=len(one.candidate_totals),
            candidate=one.candidate_value,
            baseline=one.baseline_value,
            difference=differences[key].estimate(gate.alpha) if key in differences else None,
            margin=margins[key[2]],
            verdict="inconclusive" if key in lacking else verdicts.get(key, "too small"),
            candidate_missing=one.candidate_missing,
            baseline_missing=one.baseline_missing,
            missing=lacking.get(key, ""),
        )
        for key, one in parts.items()
    ]
    return sorted(rows, key=lambda row: (columns.index(row.column), -sizes[row.column, row.value], row.value))


def _values(column: str, ids: Labels, metadata: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Of each question that has the column, its value."""
    found = {str(key): row[column] for key, row in zip(ids, metadata, strict=True) if row.get(column) is not None}
    if not found:
        known = sorted({name for row in metadata for name in row})
        raise InputError(f"no question has the metadata {column!r}; known are {', '.join(known) or 'none'}")
    different = len(set(found.values()))
    if different > MOST:
        raise InputError(
            f"the metadata {column!r} has {different:,} different values; slice by what has at most {MOST:,}"
        )
    return found


def _parts(column: str, value_of: Mapping[str, str], metric: str, one: Paired) -> dict[Key, Paired]:
    """The questions of each value, the most frequent value first; without those where nothing can be compared."""
    values = np.array([value_of.get(str(key), NO_VALUE) for key in one.asked], dtype=str)
    found, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    places = np.split(np.argsort(number, kind="stable"), np.cumsum(counts)[:-1])
    parts = {
        (column, str(found[place]), metric): one.take(places[place]) for place in np.argsort(-counts, kind="stable")
    }
    return {key: part for key, part in parts.items() if part.n}


def slice_table(slices: Sequence[Slice]) -> pa.Table:
    """One row a slice and metric, flat: what is logged beside a run."""
    return pa.Table.from_pylist(
        [
            one.model_dump(exclude={"difference"})
            | {
                "difference": one.difference.value if one.difference else None,
                "low": one.difference.low if one.difference else None,
                "high": one.difference.high if one.difference else None,
            }
            for one in slices
        ],
        schema=SLICE_SCHEMA,
    )


SLICE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("column", "value", "metric", "label")]
    + [(name, pa.int64()) for name in ("n", "groups")]
    + [(name, pa.float64()) for name in ("candidate", "baseline", "difference", "low", "high", "margin")]
    + [("verdict", pa.string()), ("candidate_missing", pa.int64()), ("baseline_missing", pa.int64())]
    + [("missing", pa.string())]
)
