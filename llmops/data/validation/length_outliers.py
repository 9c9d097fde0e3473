"""Texts far longer or shorter than the others of their column."""

import numpy as np

from llmops.data.findings import Hits

# Of 14 public datasets no text is longer, and few are shorter ("yo", "n/a").
_ABOVE, _BELOW = 4.5, 7.0
_LEAST_ROWS = 100
_LEAST_SPREAD = 0.15


def length_outlier_hits(column: str, lengths: np.ndarray) -> list[Hits]:
    """`length-outlier` of one column, given the length of every text in bytes.

    On the logarithm of the length, each side by itself (lengths are skewed): more than 4.5 times (below:
    7 times, for a short answer is natural) the distance from the median to the quantile that lies one standard
    deviation out (15.87 % and 84.13 %), which outliers cannot move (as the median absolute deviation, Hampel 1974).
    """
    filled = lengths[lengths > 0]
    if len(filled) < _LEAST_ROWS:
        return []
    logs = np.log(np.maximum(lengths, 1))
    low, middle, high = np.quantile(np.log(filled), [0.1587, 0.5, 0.8413])
    below = (middle - logs) / max(middle - low, _LEAST_SPREAD)
    above = (logs - middle) / max(high - middle, _LEAST_SPREAD)
    rows = np.flatnonzero((lengths > 0) & ((below > _BELOW) | (above > _ABOVE)))
    if not len(rows):
        return []
    usual = int(np.exp(middle))
    messages = [
        f"{column} has {length} bytes where the middle one has {usual}; look whether text was "
        + ("glued together" if length > usual else "lost")
        for length in lengths[rows].tolist()
    ]
    return [Hits("length-outlier", rows, messages)]
