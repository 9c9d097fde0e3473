"""Moments as numbers: seconds since 1970, out of the texts that data files have and back."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def time_keys(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Seconds since 1970 (float64) of ISO 8601 dates or times (UTC where they name no zone); numbers stay numbers.

    NaN stands for null and for what is no time.

    >>> time_keys(pa.array(["1970-01-02", "1970-01-01T00:01:00Z", "soon", None])).tolist()
    [86400.0, 60.0, nan, nan]
    """
    import pandas as pd

    try:
        keys = np.array(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        series = pd.Series(texts.to_pylist(), dtype="object")
        numbers = pd.to_numeric(series, errors="coerce")
        moments = pd.to_datetime(series.where(numbers.isna()), utc=True, format="ISO8601", errors="coerce")
        # Nanoseconds, pandas' own unit, end in 2262, before the 9999-12-31 that stands for no end.
        since = moments.dt.tz_localize(None).to_numpy("datetime64[us]") - np.datetime64(0, "us")
        keys = np.where(numbers.isna(), since / np.timedelta64(1, "s"), numbers)
    keys[np.isinf(keys)] = np.nan
    return keys


def time_text(seconds: float) -> str:
    """A moment as `SplitConfig.cutoffs` takes it: ISO 8601 where it looks like one of our time, else the number.

    >>> time_text(1704067200.0), time_text(17.0)
    ('2024-01-01T00:00:00+00:00', '17.0')
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat() if 1e8 <= seconds <= 4e9 else str(seconds)
