from collections.abc import Callable

import pyarrow as pa

from llmops.data import drop_exact_repeats
from llmops.data.samples import sample_table


def test_the_first_of_each_set_of_repeats_stays_in_order(samples: Callable[..., pa.Table]) -> None:
    rows = [("b", "1"), ("a", "1"), ("b", "1"), ("b", "2"), ("caf\u00e9", "x"), ("  cafe\u0301\n", "x ")]
    kept, dropped = drop_exact_repeats(samples(rows))
    assert dropped == 2
    assert kept["input"].to_pylist() == ["b", "a", "b", "caf\u00e9"]
    assert kept["expected"].to_pylist() == ["1", "1", "2", "x"]


def test_text_does_not_run_from_one_column_into_the_next(samples: Callable[..., pa.Table]) -> None:
    kept, dropped = drop_exact_repeats(samples([("ab", "c"), ("a", "bc"), ("a b", "c"), ("a", "b c")]))
    assert (len(kept), dropped) == (4, 0)


def test_another_context_is_another_example_and_other_metadata_is_not() -> None:
    def column(*values: str | None) -> pa.ChunkedArray:
        return pa.chunked_array([list(values)], pa.string())

    table = sample_table(
        input=column("q", "q", "q"),
        expected=column("a", "a", "a"),
        context=column("one", "two", "one"),
        metadata={"source": column("x", "y", "z")},
    )
    kept, dropped = drop_exact_repeats(table)
    assert (kept["context"].to_pylist(), dropped) == (["one", "two"], 1)
