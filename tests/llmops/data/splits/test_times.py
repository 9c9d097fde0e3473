from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from llmops.data.splits.times import time_keys, time_text


def test_times_are_read() -> None:
    texts = ["2024-02-29", "2024-02-29 12:00:00", "2024-02-29T13:00:00.5+01:00", None]
    seconds = time_keys(pa.chunked_array([texts]))
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp()
    assert seconds[:3].tolist() == [noon - 43200, noon, noon + 0.5]
    assert np.isnan(seconds[3])
    assert time_keys(pa.array(["3", "2.5"])).tolist() == [3.0, 2.5]
    assert time_keys(pa.array([time_text(noon), time_text(noon + 0.5)])).tolist() == [noon, noon + 0.5]


@pytest.mark.parametrize("beside", ["7", "2024-01-01", "soon"])
@pytest.mark.parametrize("text", ["soon", "", "nan", "inf", "-inf", "1e999", "2024-13-01", "2024-01-01T00:00:00+25:00"])
def test_what_is_no_time_is_not_a_number(text: str, beside: str) -> None:
    assert np.isnan(time_keys(pa.array([beside, text], pa.string()))[1])
    assert np.isnan(time_keys(pa.array([text], pa.string()))).all()


def test_times_far_from_ours_are_read() -> None:
    first, last = (datetime(*day, tzinfo=UTC).timestamp() for day in ((1, 1, 1), (9999, 12, 31)))
    assert time_keys(pa.array(["0001-01-01", "9999-12-31", "soon"])).tolist()[:2] == [first, last]
