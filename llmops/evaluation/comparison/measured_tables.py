"""Measured statistics as a table: kept beside a run, so that a later run is compared without scoring this one again."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import Measured, Metric

KEYS = ("id", "group")


def to_table(measured: Mapping[str, Measured]) -> pa.Table:
    """One row a question: id, group, and for each metric a list of its statistics, null where it was not measured.

    Raises InputError where two metrics put a question into different groups.
    """
    if not measured:
        raise InputError("nothing was measured; a table of statistics needs a metric")
    labels = [np.asarray(one.ids).astype(str) for one in measured.values()]
    ids, first = np.unique(np.concatenate(labels), return_index=True)
    groups = np.concatenate([np.asarray(one.groups).astype(str) for one in measured.values()])[first]
    columns: dict[str, pa.Array] = {"id": pa.array(ids, pa.string()), "group": pa.array(groups, pa.string())}
    for (name, one), keys in zip(measured.items(), labels, strict=True):
        place = np.searchsorted(ids, keys)
        differ = np.flatnonzero(groups[place] != np.asarray(one.groups).astype(str))
        if differ.size:
            raise InputError(f"{name}: question {keys[differ[0]]} is in another group than for other metrics")
        rows = np.zeros((len(ids), one.rows.shape[1]))
        rows[place] = one.rows
        absent = np.ones(len(ids), dtype=bool)
        absent[place] = False
        values = pa.array(rows.ravel(), pa.float64())
        columns[name] = pa.FixedSizeListArray.from_arrays(values, rows.shape[1], mask=pa.array(absent))
    return pa.table(columns)


def from_table(table: pa.Table, metrics: Mapping[str, Metric]) -> dict[str, Measured]:
    """What `to_table` wrote, for those of the metrics that the table has; ids and groups come back as strings.

    Metrics that were measured on the same questions share their ids. Raises InputError for a table without ids.
    """
    for key in KEYS:
        if key not in table.column_names:
            raise InputError(
                f"a table of statistics needs the column {key}; this one has {', '.join(table.column_names)}"
            )
    ids, groups = (np.asarray(table[key].to_pylist(), dtype=str) for key in KEYS)
    found = {}
    shared: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for name, metric in metrics.items():
        if name not in table.column_names:
            continue
        column = table[name].combine_chunks()
        present = pc.is_valid(column).to_numpy(zero_copy_only=False)
        if not present.any():
            continue
        rows = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(int(present.sum()), -1)
        asked = np.packbits(present).tobytes()
        if asked not in shared:
            shared[asked] = (ids[present], groups[present])
        found[name] = Measured(metric, np.array(rows, dtype=np.float64), shared[asked][1], shared[asked][0])
    return found
