"""Datasets whose expected texts are class labels: conflicting labels, odd spellings, classes with few examples."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Hits

LONGEST_LABEL = 56  # bytes
_MOST_CLASSES = 1_000
_ROWS_A_CLASS = 8
_SHORT = 0.98
_IMBALANCE = 20
_FEW = 3
_FREQUENT = 5
_JOINING = re.compile(r"[\s_.-]+")


def label_column(expected: pa.ChunkedArray) -> pa.ChunkedArray:
    """The expected texts that are short enough for a label; others are null."""
    short = pc.and_(
        pc.less_equal(pc.binary_length(expected), LONGEST_LABEL), pc.invert(pc.match_substring(expected, "\n"))
    )
    # Taken by row number, a null holds no text; out of if_else it would keep the text that it hides.
    rows = pc.if_else(short, pa.array(np.arange(len(expected))), pa.scalar(None, pa.int64()))
    return pc.utf8_trim_whitespace(expected.take(rows))


def class_counts(labels: pa.ChunkedArray) -> dict[str, int]:
    """How often each class occurs, most frequent first; empty where the expected texts are no class labels.

    They are where nearly all (98 %) are short, there are at least 2 and at most 1,000 different ones, each
    occurs 8 times on average, and they are not numbers (unless there are few of them).

    >>> class_counts(pa.chunked_array([["yes", "no", "yes", "yes"] * 10]))
    {'yes': 30, 'no': 10}
    """
    if not len(labels) or labels.null_count > (1 - _SHORT) * len(labels):
        return {}
    named = labels.filter(pc.not_equal(labels, ""))
    counted = pc.value_counts(named)
    if not 2 <= len(counted) <= min(_MOST_CLASSES, len(named) / _ROWS_A_CLASS):
        return {}
    values, counts = counted.field("values"), counted.field("counts")
    numbers = pc.match_substring_regex(values, r"^[-+$€£]?[\d.,/ ]+%?$").to_numpy(zero_copy_only=False)
    if numbers.mean() > 0.5 and len(counted) > 20:
        return {}
    pairs = zip(values.to_pylist(), counts.to_pylist(), strict=True)
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def label_conflict_hits(keys: np.ndarray, labels: pa.ChunkedArray) -> list[Hits]:
    """`label-conflict`: one question (by key), different labels; all its rows, or those outvoted by two to one."""
    named = np.flatnonzero(pc.fill_null(pc.not_equal(labels, ""), False).to_numpy())
    encoded = labels.take(pa.array(named)).combine_chunks().dictionary_encode()
    codes, keys = encoded.indices.to_numpy(zero_copy_only=False), keys[named]
    order = np.lexsort((codes, keys))
    changes = (keys[order][1:] == keys[order][:-1]) & (codes[order][1:] != codes[order][:-1])
    conflicting = np.unique(keys[order][1:][changes])
    rows = np.flatnonzero(np.isin(keys, conflicting))
    if not len(rows):
        return []
    names = encoded.dictionary.to_pylist()
    groups: dict[int, list[int]] = {}
    for row in rows.tolist():
        groups.setdefault(int(keys[row]), []).append(row)
    said: dict[int, str] = {}
    for group in groups.values():
        votes = {code: sum(codes[row] == code for row in group) for code in {int(codes[row]) for row in group}}
        first, second = sorted(votes.values(), reverse=True)[:2]
        leader = max(votes, key=lambda code: votes[code]) if first >= 2 * second else None
        listed = ", ".join(f'"{names[code]}"' for code in sorted(votes)[:3])
        for row in group:
            if codes[row] != leader:
                said[row] = f"the same input has different labels ({listed}) in {len(group)} rows; decide on one"
    found = sorted(said)
    return [Hits("label-conflict", named[found], [said[row] for row in found])]


def label_spelling_hits(labels: pa.ChunkedArray, counts: dict[str, int]) -> list[Hits]:
    """`label-spelling`: a rare label that is a frequent one but for case, blanks, signs or one character."""
    frequent = {_folded(label): label for label, count in reversed(counts.items()) if count >= _FREQUENT}
    meant: dict[str, str] = {}
    for label, count in counts.items():
        folded = _folded(label)
        twin = frequent.get(folded)
        if twin is None and count < _FREQUENT:
            twin = next((name for other, name in frequent.items() if _one_apart(folded, other)), None)
        if twin is not None and counts[twin] >= 10 * count:
            meant[label] = twin
    if not meant:
        return []
    rows = np.flatnonzero(pc.is_in(labels, pa.array(list(meant))).to_numpy())
    found = labels.take(pa.array(rows)).to_pylist()
    messages = [f'the label "{label}" looks like "{meant[label]}", which is frequent; spell it so' for label in found]
    return [Hits("label-spelling", rows, messages)]


def _folded(label: str) -> str:
    """The label without case, blanks and joining signs ("-1" and "C++" keep theirs: they tell labels apart)."""
    return _JOINING.sub("", label.casefold()) if any(map(str.isalpha, label)) else label


def _one_apart(left: str, right: str) -> bool:
    """Whether two texts of six characters or more differ by one: inserted, lost, changed, or cut off at the end."""
    if min(len(left), len(right)) < 6 or left == right:
        return False
    if right.startswith(left) and 2 * len(left) >= len(right):
        return True
    if abs(len(left) - len(right)) > 1:
        return False
    start = next(
        (place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    return (
        left[start + 1 :] == right[start + 1 :]
        or left[start:] == right[start + 1 :]
        or left[start + 1 :] == right[start:]
    )


def imbalance(counts: dict[str, int]) -> str | None:
    """What `class-imbalance` says: a class with fewer than 3 examples, or 20 times fewer than the largest has."""
    if not counts:
        return None
    (largest, most), (smallest, least) = next(iter(counts.items())), list(counts.items())[-1]
    few = sum(count < _FEW for count in counts.values())
    if most < _IMBALANCE * least and not few:
        return None
    return (
        f'{len(counts)} classes, of which the largest ("{largest}") has {most} examples and the smallest '
        f'("{smallest}") {least}; collect examples of the rare classes, or weigh classes when scoring'
    )
