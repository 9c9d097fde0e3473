"""Rows of a stored version in the order of their positions, as many at once as memory should hold.

As published, the row groups of the files follow each other in that order. Compaction may have mixed up the rows: then
every range is looked for in all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

RANGE_ROWS = 65_536
RANGE_BYTES = 2**27


def read_in_order(rows: ds.Dataset, columns: Sequence[str], wanted: pc.Expression | None = None) -> Iterator[pa.Table]:
    """The rows ordered by their column `position`, of which no value occurs twice: one table after the other.

    A table has at most `RANGE_ROWS` rows and about `RANGE_BYTES` bytes, or one row.

    Args:
        rows: Parquet files.
        columns: to read.
        wanted: which rows; all when left out.
    """
    bounds = _bounds(_row_groups(rows, columns))
    for start, end in pairwise(bounds):
        within = (pc.field("position") >= start) & (pc.field("position") < end)
        some = rows.to_table(columns=[*columns, "position"], filter=within if wanted is None else within & wanted)
        for table in _ordered(some):
            yield table.select(columns)


@dataclass(frozen=True)
class _RowGroup:
    """Which positions are in a row group (`end` excluded), and the bytes of the columns that are read."""

    start: int
    end: int
    size: int


def _row_groups(rows: ds.Dataset, columns: Sequence[str]) -> list[_RowGroup]:
    found = []
    for fragment in rows.get_fragments():
        metadata = fragment.metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            parts = [group.column(place) for place in range(group.num_columns)]
            if not group.num_rows:
                continue
            known = next(part.statistics for part in parts if part.path_in_schema == "position")
            if known is not None and known.has_min_max:
                first, last = known.min, known.max
            else:
                positions = fragment.subset(row_group_ids=[number]).to_table(columns=["position"])["position"]
                first, last = pc.min_max(positions).as_py().values()
            size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in columns)
            found.append(_RowGroup(first, last + 1, size))
    return found


def _bounds(groups: Sequence[_RowGroup]) -> list[int]:
    """Where ranges begin and end: at borders of row groups, and within large ones."""
    if not groups:
        return []
    edges = np.unique([edge for group in groups for edge in (group.start, group.end)])
    sizes = np.zeros(len(edges) - 1)
    for group in groups:
        inside = slice(*np.searchsorted(edges, [group.start, group.end]))
        sizes[inside] += group.size * np.diff(edges)[inside] / (group.end - group.start)
    bounds, used = [int(edges[0])], 0.0
    for start, end, size in zip(edges[:-1].tolist(), edges[1:].tolist(), sizes.tolist(), strict=True):
        share = max((end - start) / RANGE_ROWS, size / RANGE_BYTES)
        if used + share > 1 and bounds[-1] < start:
            bounds.append(start)
            used = 0.0
        parts = min(ceil(share), end - start)
        bounds += [start + (end - start) * part // parts for part in range(1, parts)]
        used = used + share if parts == 1 else share / parts
    return [*bounds, int(edges[-1])]


def _ordered(table: pa.Table) -> Iterator[pa.Table]:
    # The sizes of row groups are estimates: equal texts may be stored once. Sorting puts all texts of a column into
    # one array, which holds 2 GiB.
    if table.nbytes > 2 * RANGE_BYTES and len(table) > 1:
        middle = int(np.median(table["position"].to_numpy()))
        yield from _ordered(table.filter(pc.field("position") <= middle))
        yield from _ordered(table.filter(pc.field("position") > middle))
    else:
        yield table.sort_by("position").combine_chunks()
