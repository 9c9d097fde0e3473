import pyarrow as pa
import pytest

from llmops.data.samples import sample_table
from llmops.data.validation.flat_text import FlatText
from llmops.data.validation.repetition import loops, repetition_hits

SENTENCE = "The tide was out and gulls stood along the wall. "


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SENTENCE + "and so on " * 10, (10, 10)),
        (SENTENCE * 6, (49, 6)),
        (SENTENCE + "ha" * 30 + ". " + SENTENCE[:20], (2, 30)),
        ("x" * 40, (1, 40)),
        (SENTENCE * 3, None),
        ("=" * 200, None),
        ("very " * 6, None),  # 30 bytes
        ("1000000000000000000000000000000000000000", None),
        (SENTENCE, None),
        ("", None),
    ],
)
def test_loops(text: str, found: tuple[int, int] | None) -> None:
    assert loops(FlatText.of(pa.array(["fine", text, SENTENCE]))) == ({} if found is None else {1: found})


def test_rows_of_both_columns() -> None:
    loop = pa.chunked_array([["no " * 20, "b", "c"]])
    table = sample_table(input=loop, expected=pa.chunked_array([["a", "b", "é" * 20]]))
    [hits] = repetition_hits(table)
    assert hits.rows.tolist() == [0, 2]
    assert hits.messages[0].startswith("input repeats the same 3 characters 20 times")
    assert hits.messages[1].startswith("expected repeats one character 20 times")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("é" * 40, (1, 40)),
        ("©" + "é" * 40, (1, 40)),
        ("ab" * 500_000, (2, 10_000)),
        ("no " * 40 + "".join(map(str, range(20_000))), None),  # neither at an end nor in a middle
        ("".join(map(str, range(20_000))) + "no " * 40, (3, 40)),
        (
            "".join(map(str, range(3_000))) + "no " * 20_000 + "".join(map(str, range(9_000))),
            (3, 3_036),
        ),  # (20,000 - 10,890) / 3
    ],
)
def test_of_long_texts_the_ends_are_looked_at(text: str, found: tuple[int, int] | None) -> None:
    assert loops(FlatText.of(pa.array([text, SENTENCE]))) == ({} if found is None else {0: found})
