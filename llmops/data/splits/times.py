"""Moments as numbers: seconds since 1970, out of the texts that data files have and back."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.errors import InputError


def time_keys(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Seconds since 1970 (float64) of ISO 8601 dates or times (UTC where they name no zone); numbers stay numbers.

    >>> time_keys(pa.array(["1970-01-02", "1970-01-01T00:01:00Z", None])).tolist()
    [86400.0, 60.0, nan]

    Raises:
        InputError: a text is neither.
    """
    import pandas as pd

    try:
        return np.asarray(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        series = pd.Series(texts.to_pylist(), dtype="object")
    numbers = pd.to_numeric(series, errors="coerce")
    moments = pd.to_datetime(series.where(numbers.isna()), utc=True, format="ISO8601", errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & moments.isna() & series.notna()).to_numpy())
    if len(wrong):
        raise InputError(
            f"a split by time needs ISO 8601 dates or numbers, and {len(wrong)} of {len(series)} rows hold neither, "
            f"the first {series[wrong[0]]!r}"
        )
    seconds = (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return np.asarray(numbers.fillna(seconds).to_numpy(np.float64))


def time_text(seconds: float) -> str:
    """A moment as `SplitConfig.cutoffs` takes it: ISO 8601 where it looks like one of our time, else the number.

    >>> time_text(1704067200.0), time_text(17.0)
    ('2024-01-01T00:00:00+00:00', '17.0')
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat() if 1e8 <= seconds <= 4e9 else str(seconds)
