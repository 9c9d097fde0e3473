from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from llmops.data.splits.times import time_keys, time_text
from llmops.errors import InputError


def test_times_are_read() -> None:
    texts = ["2024-02-29", "2024-02-29 12:00:00", "2024-02-29T13:00:00.5+01:00", None]
    seconds = time_keys(pa.chunked_array([texts]))
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp()
    assert seconds[:3].tolist() == [noon - 43200, noon, noon + 0.5]
    assert np.isnan(seconds[3])
    assert time_keys(pa.array(["3", "2.5"])).tolist() == [3.0, 2.5]
    assert time_keys(pa.array([time_text(noon), time_text(noon + 0.5)])).tolist() == [noon, noon + 0.5]
    with pytest.raises(InputError, match="1 of 2 rows hold neither, the first 'soon'"):
        time_keys(pa.array(["2024-01-01", "soon"]))
