"""An edit takes the named samples away, adds the others at the end, and refuses what cannot be meant."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from llmops.data.samples import SAMPLE_SCHEMA
from llmops.data.versions.edits import edit_samples
from llmops.errors import InputError

Samples = Callable[..., pa.Table]


@pytest.fixture
def there(samples: Samples) -> list[pa.RecordBatch]:
    """Three samples, two for training and a test."""
    rows = samples([("a", "1", "a"), ("b", "2", "b"), ("c", "3", "c")])
    column = SAMPLE_SCHEMA.get_field_index("split")
    return rows.set_column(column, SAMPLE_SCHEMA.field(column), pa.array(["train", "train", "test"])).to_batches()


def test_what_stays_comes_first_and_what_is_new_after_it(there: list[pa.RecordBatch], samples: Samples) -> None:
    gone = there[0]["id"][1].as_py()
    edited = edit_samples(there, added=samples([("d", "4", "c")]), retired=[gone], shares={"train": 1.0})
    rows = pa.Table.from_batches(edited)
    assert rows["input"].to_pylist() == ["a", "c", "d"]
    assert rows["split"].to_pylist() == ["train", "test", "test"]
    assert pa.Table.from_batches(edited).equals(rows)


def test_what_takes_the_place_of_a_retired_sample_goes_where_it_was(
    there: list[pa.RecordBatch], samples: Samples
) -> None:
    gone = there[0]["id"][2].as_py()
    edited = edit_samples(there, added=samples([("c", "right"), ("c", "3")]), retired=[gone], shares={"train": 1.0})
    assert edited.placed.samples["split"].to_pylist() == ["test", "test"]
    assert edited.placed.repeats == 0


def test_unknown_ids_and_an_empty_end_are_refused(there: list[pa.RecordBatch]) -> None:
    ids = there[0]["id"].to_pylist()
    with pytest.raises(InputError, match="cannot retire x, y: the version has no sample"):
        edit_samples(there, retired=["y", ids[0], "x"], shares={"train": 1.0})
    with pytest.raises(InputError, match="no sample would be left"):
        edit_samples(there, retired=ids, shares={"train": 1.0})
