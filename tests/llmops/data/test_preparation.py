from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from llmops.data import SAMPLE_SCHEMA, ColumnMapping, PreparationConfig, PreparationReport, prepare
from llmops.data.versions import samples_digest
from llmops.errors import InputError

Write = Callable[[Path, list[dict[str, Any]]], Path]
FORMATS = (".jsonl", ".csv", ".parquet")


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"input": f"question {number}", "expected": f"answer {number}"} for number in range(count)]


def test_the_report_accounts_for_every_row(tmp_path: Path, write: Write) -> None:
    rows = [*numbered(100), {"input": "question 7 ", "expected": "answer  7"}]
    rows += [{"input": "question 8", "expected": "another answer"}]
    source = write(tmp_path / "source.jsonl", rows)
    test = write(tmp_path / "test.jsonl", [{"input": "question 9", "expected": text} for text in "ab"])
    prepared = prepare(source, PreparationConfig(max_rows=90), test)
    report = prepared.report
    assert (report.read, report.dropped_repeats, report.leaked, report.left_out) == (104, 1, 1, 10)
    assert report.read == sum(report.counts.values()) + 1 + 1 + 10 + report.bridging
    assert report.counts["test"] == 2
    assert [file.rows for file in report.sources] == [102, 2]
    assert prepared.table.schema.equals(SAMPLE_SCHEMA)
    assert "question 9" not in prepared.table.filter(pc.field("split") != "test")["input"].to_pylist()
    assert PreparationReport.model_validate_json(report.model_dump_json()) == report


def test_several_references_are_counted_not_refused(tmp_path: Path, write: Write) -> None:
    rows = [*numbered(20), *[{"input": f"question {number}", "expected": "also"} for number in range(5)]]
    prepared = prepare(write(tmp_path / "a.jsonl", rows), PreparationConfig())
    assert prepared.report.several_references == 5
    assert sum(prepared.report.counts.values()) == 25


def test_the_content_is_the_same_from_every_format_and_order(tmp_path: Path, write: Write) -> None:
    rows = [{**row, "topic": "é" if number % 3 else "", "n": number} for number, row in enumerate(numbered(50))]
    digests = {
        samples_digest(prepare(write(tmp_path / f"a{suffix}", some), PreparationConfig()).table)
        for suffix in FORMATS
        for some in (rows, rows[::-1])
    }
    assert len(digests) == 1


def test_faults_of_both_files_are_reported_together(tmp_path: Path, write: Write) -> None:
    source = write(tmp_path / "source.jsonl", [*numbered(12), {"input": " ", "expected": "x"}] * 4)
    test = write(tmp_path / "test.csv", [{"input": "a", "expected": ""}, {"input": "", "expected": "\0"}])
    with pytest.raises(InputError) as caught:
        prepare(source, PreparationConfig(), test)
    message = str(caught.value)
    assert message.startswith(f"{source}:13: input is empty; {source}:26: input is empty; ")
    assert f"{test}:2: expected is empty" in message
    assert message.endswith("; and 2 more")


def test_fewer_than_ten_distinct_examples_are_refused(tmp_path: Path, write: Write) -> None:
    nine = write(tmp_path / "nine.jsonl", [*numbered(9), *numbered(9)])
    with pytest.raises(InputError, match=r"nine\.jsonl: 9 distinct example\(s\), at least 10 are needed"):
        prepare(nine, PreparationConfig())
    ten = write(tmp_path / "ten.jsonl", numbered(10))
    assert all(prepare(ten, PreparationConfig()).report.counts.values())
    with pytest.raises(InputError, match=r"without 10 rows also in .*ten\.jsonl: 0 distinct"):
        prepare(ten, PreparationConfig(), ten)


def test_a_moved_group_is_a_warning(tmp_path: Path, write: Write) -> None:
    ten = write(tmp_path / "ten.jsonl", numbered(10))
    warned = [bool(prepare(ten, PreparationConfig(seed=seed)).report.findings) for seed in range(20)]
    assert any(warned) and not all(warned)


@pytest.mark.parametrize(
    "wrong", [{"ratios": (0.8, 0.1, 0.2)}, {"ratios": (0.9, 0.1, 0.0)}, {"max_rows": 9}, {"colums": {}}]
)
def test_configuration_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PreparationConfig(**wrong)


def test_e2e_training_file(real_data: Callable[[str], Path]) -> None:
    config = PreparationConfig(columns=ColumnMapping(input="mr", expected="ref"))
    prepared = prepare(real_data("e2e_train.parquet"), config)
    report = prepared.report
    assert (report.read, report.dropped_repeats, report.leaked, report.bridging) == (42_061, 1_202, 0, 0)
    straddling = prepared.table.group_by("input").aggregate([("split", "count_distinct")])
    assert pc.max(straddling["split_count_distinct"]).as_py() == 1
    # 4,862 meaning representations: four standard errors of an 80 % share are 0.023.
    groups = prepared.table.group_by(["input", "split"]).aggregate([])["split"].to_pylist()
    assert len(groups) == 4_862
    assert abs(groups.count("train") / len(groups) - 0.8) < 0.023


def test_e2e_development_file_as_the_test_split(real_data: Callable[[str], Path]) -> None:
    config = PreparationConfig(columns=ColumnMapping(input="mr", expected="ref"))
    dev = real_data("e2e_dev.parquet")
    prepared = prepare(real_data("e2e_train.parquet"), config, dev)
    assert prepared.report.leaked == 0
    test = prepared.table.filter(pc.field("split") == "test")
    assert len(pc.unique(test["input"])) == 547
    pairs = pq.read_table(dev, columns=["mr", "ref"]).group_by(["mr", "ref"]).aggregate([])
    assert 0 <= len(pairs) - len(test) < 20  # those that differ in white space only
