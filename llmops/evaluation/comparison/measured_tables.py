"""Measured statistics as a table: kept beside a run, so that a later run is compared without scoring this one again."""

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import FloatArray, IntArray, Measured, Metric
from llmops.evaluation.statistics.repeats import metric_of_repeats

KEYS = ("id", "group")
ANSWERS = "answers"
"""A struct with a count a metric: how many answers were measured, 0 for a question that was asked, null for others."""
REPEATS = b"repeats"
"""In the schema's metadata, as JSON: how many answers a question were asked for, by metric."""


def to_table(measured: Mapping[str, Measured]) -> pa.Table:
    """One row a question that was asked: id, group, for each metric a list of its statistics, and `ANSWERS`.

    The statistics are null where a question was not measured; the group is, where no metric measured it. Raises
    InputError where two metrics put a question into different groups.
    """
    if not measured:
        raise InputError("nothing was measured; a table of statistics needs a metric")
    ids = np.unique(np.concatenate([np.asarray(one.asked).astype(str) for one in measured.values()]))
    keys = {name: np.asarray(one.ids).astype(str) for name, one in measured.items()}
    columns: dict[str, pa.Array] = {"id": pa.array(ids, pa.string()), "group": _groups(ids, keys, measured)}
    counts = []
    for name, one in measured.items():
        columns[name] = _statistics(ids, keys[name], one.rows)
        counts.append(_counts(ids, one))
    columns[ANSWERS] = pa.StructArray.from_arrays(counts, list(measured))
    repeats = json.dumps({name: one.repeats for name, one in measured.items()})
    return pa.table(columns).replace_schema_metadata({REPEATS: repeats.encode()})


def _statistics(ids: np.ndarray, keys: np.ndarray, rows: FloatArray) -> pa.Array:
    """A list a question, null where it was not measured.

    Not lists of a fixed size: Parquet with nulls among those cannot be read (pyarrow 25, "Expected all lists to be of
    size").
    """
    place = np.searchsorted(ids, keys)
    present = np.zeros(len(ids), dtype=bool)
    present[place] = True
    offsets = np.concatenate([[0], np.cumsum(present * rows.shape[1])]).astype(np.int32)
    values = pa.array(rows[np.argsort(place)].ravel(), pa.float64())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~present))


def _groups(ids: np.ndarray, keys: Mapping[str, np.ndarray], measured: Mapping[str, Measured]) -> pa.Array:
    """The group of each question, null where no metric measured it."""
    known, first = np.unique(np.concatenate(list(keys.values())), return_index=True)
    groups = np.concatenate([np.asarray(one.groups).astype(str) for one in measured.values()])[first]
    for name, one in measured.items():
        differ = np.flatnonzero(groups[np.searchsorted(known, keys[name])] != np.asarray(one.groups).astype(str))
        if differ.size:
            raise InputError(f"{name}: question {keys[name][differ[0]]} is in another group than for other metrics")
    found = np.full(len(ids), None, dtype=object)
    found[np.searchsorted(ids, known)] = groups
    return pa.array(found, pa.string())


def _counts(ids: np.ndarray, one: Measured) -> pa.Array:
    """Measured answers to each question, null where it was not asked."""
    place = np.searchsorted(ids, np.asarray(one.asked).astype(str))
    counts, unasked = np.zeros(len(ids), dtype=np.int32), np.ones(len(ids), dtype=bool)
    counts[place], unasked[place] = one.repeats - one.lacking, False
    return pa.array(counts, mask=unasked)


def from_table(table: pa.Table, metrics: Mapping[str, Metric]) -> dict[str, Measured]:
    """What `to_table` wrote, for those of the metrics that the table has; ids and groups come back as strings.

    pass@k and the like come with the metric that they are made of. Metrics that were measured on the same questions
    share their ids. A table of an earlier version, without `ANSWERS`, holds what was measured and not what was asked:
    there every question that a metric lacks was not asked. Raises InputError for a table without ids.
    """
    for key in KEYS:
        if key not in table.column_names:
            raise InputError(
                f"a table of statistics needs the column {key}; this one has {', '.join(table.column_names)}"
            )
    ids, groups = (np.array(["" if one is None else one for one in table[key].to_pylist()], dtype=str) for key in KEYS)
    repeats = json.loads((table.schema.metadata or {}).get(REPEATS, b"{}"))
    counts = _columns_of_counts(table)
    found = {}
    shared: dict[bytes, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for name in table.column_names:
        metric = metrics.get(name) or metric_of_repeats(name, metrics)
        if metric is None or name in (*KEYS, ANSWERS):
            continue
        column = table[name].combine_chunks()
        present = pc.is_valid(column).to_numpy(zero_copy_only=False)
        if not present.any():
            continue
        rows = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(int(present.sum()), -1)
        answered = counts.get(name, np.where(present, 1, -1))
        asked = np.packbits(present).tobytes() + np.packbits(answered == 0).tobytes()
        if asked not in shared:
            shared[asked] = (ids[present], groups[present], ids[answered == 0])
        found[name] = Measured(
            metric=metric,
            rows=np.array(rows, dtype=np.float64),
            groups=shared[asked][1],
            ids=shared[asked][0],
            answers=answered[present],
            repeats=max(repeats.get(name, 1), int(answered.max())),
            unmeasured=shared[asked][2],
        )
    return {name: found[name] for name in [*metrics, *found] if name in found}


def _columns_of_counts(table: pa.Table) -> dict[str, IntArray]:
    """Measured answers by metric, -1 where a question was not asked."""
    if ANSWERS not in table.column_names or not pa.types.is_struct(table.schema.field(ANSWERS).type):
        return {}
    column = table[ANSWERS].combine_chunks()
    return {
        field.name: pc.fill_null(column.field(place), -1).to_numpy(zero_copy_only=False).astype(np.int64)
        for place, field in enumerate(column.type)
    }
