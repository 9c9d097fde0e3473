"""What holds rows in one split: their group, their input, and inputs that are similar; and how that is kept up."""

import numpy as np

from llmops.data.duplicates.near_duplicates import SimilarPairs


def key_codes(keys: np.ndarray) -> np.ndarray:
    """A number for each distinct key, 0, 1, …"""
    return np.asarray(np.unique(keys, return_inverse=True)[1], np.int64)


class Ties:
    """Which groups and inputs hold each other in one split."""

    def __init__(self, groups: np.ndarray, inputs: np.ndarray, pairs: SimilarPairs) -> None:
        self.groups, self.inputs = groups, inputs
        self.left, self.right = inputs[pairs.left], inputs[pairs.right]

    def tied(self) -> np.ndarray:
        """True for the groups with an input that another group has too or that is similar to another."""
        one_group = np.zeros(self.inputs.max(initial=-1) + 1, np.int64)
        one_group[self.inputs] = self.groups
        shared = np.zeros(len(one_group), bool)
        shared[self.inputs[one_group[self.inputs] != self.groups]] = True
        shared[self.left] = shared[self.right] = True
        tied = np.zeros(self.groups.max(initial=-1) + 1, bool)
        tied[self.groups[shared[self.inputs]]] = True
        return tied

    def neighbours(self) -> dict[int, list[int]]:
        """The similar inputs of each input that has any."""
        found: dict[int, list[int]] = {}
        for one, other in zip(self.left.tolist(), self.right.tolist(), strict=True):
            found.setdefault(one, []).append(other)
            found.setdefault(other, []).append(one)
        return found

    def components(self) -> np.ndarray:
        """A number for each row, equal for rows that are tied to each other in any number of steps."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        group_count, input_count = self.groups.max(initial=-1) + 1, self.inputs.max(initial=-1) + 1
        ones = np.concatenate([self.groups, self.left + group_count])
        others = np.concatenate([self.inputs, self.right]) + group_count
        size = group_count + input_count
        graph = coo_array((np.ones(len(ones), bool), (ones, others)), shape=(size, size))
        labels: np.ndarray = connected_components(graph, directed=False)[1]
        of_row: np.ndarray = labels[self.groups]
        return of_row


def settle(
    wished: np.ndarray, pinned: np.ndarray, ties: Ties, time: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and clashes: untied groups all at once, the others row by row.

    Args:
        wished: the split of each row by its method alone.
        pinned: see `SplitKeys`.
        ties: between the rows.
        time: given for a split by time: then a row has its wish or goes, and the oldest come first.
    """
    settled = np.where(pinned >= 0, pinned, wished).astype(np.int8)
    groups = ties.groups
    count = groups.max(initial=-1) + 1
    if time is None:
        pinned_split = np.full(count, -1, np.int8)
        pinned_split[groups[pinned >= 0]] = pinned[pinned >= 0]
        settled = np.where(pinned_split[groups] >= 0, pinned_split[groups], settled)
    by_group = np.full(count, -1, np.int8)
    by_group[groups] = settled
    fixed = np.where(pinned >= 0, pinned, settled)
    looped = ties.tied()
    looped[groups[fixed != by_group[groups]]] = True
    rows = np.flatnonzero(looped[groups])
    keys = (rows, pinned[rows] < 0) if time is None else (rows, time[rows], pinned[rows] < 0)
    order = rows[np.lexsort(keys)]
    clash = np.full(len(groups), -1, np.int64)
    settled[order], clash[order] = _row_by_row(order, wished, pinned, ties, strict=time is not None)
    return settled, clash


def _row_by_row(
    order: np.ndarray, wished: np.ndarray, pinned: np.ndarray, ties: Ties, *, strict: bool
) -> tuple[list[int], list[int]]:
    """The split and the clash of each row, in this order; `strict` rows take no other split than they wish."""
    neighbours = ties.neighbours()
    group_of: dict[int, tuple[int, int, int]] = {}  # place in the order, split, row of the first row kept
    input_of: dict[int, tuple[int, int, int]] = {}
    codes: list[int] = []
    clashes: list[int] = []
    columns = (order, ties.groups[order], ties.inputs[order], wished[order], pinned[order])
    for place, (row, group, text, wish, pin) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        own = group_of.get(group)
        near = [input_of[one] for one in (text, *neighbours.get(text, ())) if one in input_of]
        if pin >= 0:
            code = pin
        elif strict:
            code = wish
        elif own is not None:
            code = own[1]
        else:
            code = min(near)[1] if near else wish
        against = [one for one in (own, *near) if one is not None and one[1] != code]
        codes.append(-1 if against else code)
        clashes.append(min(against)[2] if against else -1)
        if not against:
            group_of.setdefault(group, (place, code, row))
            input_of.setdefault(text, (place, code, row))
    return codes, clashes
