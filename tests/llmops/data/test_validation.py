import pyarrow as pa
import pytest

from llmops.data.samples import sample_table
from llmops.data.findings import Finding, raise_errors
from llmops.data.validation import too_few, validate
from llmops.errors import InputError


def table_of(**columns: list[str | None]) -> pa.Table:
    metadata = columns.pop("metadata", None)
    texts = {name: pa.chunked_array([values], pa.string()) for name, values in columns.items()}
    table = sample_table(**texts, metadata={"note": pa.chunked_array([metadata], pa.string())} if metadata else None)
    return table.append_column("line", pa.array(range(10, 10 + len(table)), pa.int64()))


def test_every_fault_is_found_with_its_line_and_clean_rows_are_not() -> None:
    table = table_of(
        input=["good", "", " \u3000\n", "in\0put", "good", "good", "good"],
        expected=["fine", "x", "x", "x", None, "x", "x"],
        context=[None, None, None, None, None, "con\0text", None],
        metadata=["m", None, "m", None, "m", "m", "me\0ta"],
    )
    assert [(finding.rule, finding.line) for finding in validate(table, "f.csv")] == [
        ("empty-input", 11),
        ("empty-input", 12),
        ("control-character", 13),
        ("empty-expected", 14),
        ("control-character", 15),
        ("control-character", 16),
    ]
    assert str(validate(table, "f.csv")[0]) == "f.csv:11: input is empty"


def test_a_faulty_slice_names_its_own_rows() -> None:
    table = table_of(input=["a", "b", "c"], expected=["x", "y", "z"], metadata=["m", "m", "me\0ta"])
    assert [finding.line for finding in validate(table.slice(1), "f")] == [12]


@pytest.mark.parametrize(("count", "refused"), [(0, True), (9, True), (10, False), (11, False)])
def test_ten_examples_are_the_least(count: int, refused: bool) -> None:
    assert bool(too_few(count, "f")) == refused


def error(line: int, severity: str = "error") -> Finding:
    return Finding.model_validate({"severity": severity, "rule": "r", "file": "f", "line": line, "message": "bad"})


def test_five_errors_are_named_and_the_rest_counted() -> None:
    raise_errors([])
    raise_errors([error(1, "warning")])
    with pytest.raises(InputError, match=r"^f:1: bad; f:2: bad$"):
        raise_errors([error(1), error(9, "warning"), error(2)])
    with pytest.raises(InputError, match=r"^f:1: bad; .*; f:5: bad; and 3 more$"):
        raise_errors([error(line) for line in range(1, 9)])
