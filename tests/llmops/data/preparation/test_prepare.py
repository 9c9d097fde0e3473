import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from llmops.data import (
    SAMPLE_SCHEMA,
    SPLITS,
    AugmentationConfig,
    ColumnMapping,
    DuplicateConfig,
    FaultyDataError,
    PreparationConfig,
    PreparationReport,
    Prepared,
    SplitConfig,
    ValidationConfig,
    prepare,
    read_samples,
)
from llmops.data.augmentation import SynonymConfig
from llmops.data.preparation import examination
from llmops.data.validation import RulePolicy
from llmops.data.versions.digest import version_digest
from llmops.errors import InputError

Write = Callable[[Path, list[dict[str, Any]]], Path]
FORMATS = (".jsonl", ".csv", ".parquet")


def numbered(count: int) -> list[dict[str, Any]]:
    """Rows of which no two are near duplicates: three words in a row, and none of them in two rows."""
    return [
        {"input": f"question {number}", "expected": f"answer {number} {number}a {number}b"} for number in range(count)
    ]


def test_the_report_accounts_for_every_row(tmp_path: Path, write: Write) -> None:
    rows = [*numbered(100), {"input": "question 7 ", "expected": "answer  7 7a 7b"}]
    rows += [{"input": "question 8", "expected": "another answer"}]
    source = write(tmp_path / "source.jsonl", rows)
    test = write(tmp_path / "test.jsonl", [{"input": "question 9", "expected": text} for text in "ab"])
    prepared = prepare(source, PreparationConfig(max_rows=90), test_source=test)
    report = prepared.report
    dropped = {reason: count for reason, count in report.dropped.items() if count}
    assert (report.read, dropped) == (104, {"exact repeat": 1, "leaked": 1, "left out": 10})
    assert report.read == sum(report.counts.values()) + sum(report.dropped.values())
    assert len(prepared.samples) == sum(report.counts.values()) == len(prepared.table)
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
        version_digest(prepare(write(tmp_path / f"a{suffix}", some)).samples).samples
        for suffix in FORMATS
        for some in (rows, rows[::-1])
    }
    assert len(digests) == 1


def test_faults_of_both_files_are_reported_together(tmp_path: Path, write: Write) -> None:
    source = write(tmp_path / "source.jsonl", [*numbered(12), {"input": " ", "expected": "x"}] * 4)
    test = write(tmp_path / "test.csv", [{"input": "a", "expected": ""}, {"input": "", "expected": "\0"}])
    with pytest.raises(InputError) as caught:
        prepare(source, test_source=test)
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
    with pytest.raises(InputError, match=r"ten\.jsonl without the rows that are also in the test source: 0 distinct"):
        prepare(ten, test_source=ten)


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
    assert (report.read, report.dropped["exact repeat"]) == (42_061, 1_202)
    # Several references of one meaning representation are no label conflict.
    assert report.several_references > 4_000
    assert not [one for one in report.findings if one.severity == "error" or one.rule == "label-conflict"]
    straddling = prepared.table.group_by("input").aggregate([("split", "count_distinct")])
    assert pc.max(straddling["split_count_distinct"]).as_py() == 1
    # 4,862 meaning representations: four standard errors of an 80 % share are 0.023.
    groups = prepared.table.group_by(["input", "split"]).aggregate([])["split"].to_pylist()
    assert 4_862 - report.dropped["near duplicate"] - report.dropped["bridging"] <= len(groups) <= 4_862
    assert abs(groups.count("train") / len(groups) - 0.8) < 0.023


def test_e2e_development_file_as_the_test_split(real_data: Callable[[str], Path]) -> None:
    config = PreparationConfig(columns=ColumnMapping(input="mr", expected="ref"))
    dev = real_data("e2e_dev.parquet")
    prepared = prepare(real_data("e2e_train.parquet"), config, test_source=dev)
    test = prepared.table.filter(pc.field("split") == "test")
    assert len(pc.unique(test["input"])) == 547
    pairs = pq.read_table(dev, columns=["mr", "ref"]).group_by(["mr", "ref"]).aggregate([])
    assert 0 <= len(pairs) - len(test) < 20  # those that differ in white space only
    # No meaning representation of one file is in the other; the few rows that leak are nearly the same as a test row.
    leaked = prepared.dropped.filter(pc.field("reason") == "leaked")
    held_out = dict(zip(test["id"].to_pylist(), test["input"].to_pylist(), strict=True))
    assert 0 < len(leaked) < 20
    for row in leaked.to_pylist():
        one, other = (three_words(text) for text in (row["input"], held_out[row["kept_id"]]))
        assert 0.8 <= len(one & other) / len(one | other) < 1


def three_words(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[place : place + 3]) for place in range(max(len(words) - 2, 1))}


def splits_of(prepared: Prepared) -> dict[str, str]:
    return dict(zip(prepared.table["input"].to_pylist(), prepared.table["split"].to_pylist(), strict=True))


def test_with_on_error_drop_the_good_rows_are_kept_and_the_others_counted(tmp_path: Path) -> None:
    good = [json.dumps(row) for row in numbered(50)]
    lines = [*good[:20], '{"input": "cut off', *good[20:], '{"input": "", "expected": "x"}', "[]"]
    source = tmp_path / "a.jsonl"
    source.write_text("\n".join(lines))
    with pytest.raises(FaultyDataError) as caught:
        prepare(source)
    assert caught.value.report.dropped == {"faulty": 3}
    assert caught.value.findings["line"].to_pylist() == [21, 52, 53]
    assert {one.rule: one.rows for one in caught.value.report.findings} == {"unreadable-row": 2, "empty-input": 1}

    prepared = prepare(source, on_error="drop")

    assert prepared.report.dropped["faulty"] == 3
    assert sum(prepared.report.counts.values()) == 50
    assert prepared.findings["line"].to_pylist() == [21, 52, 53]


def test_a_folder_is_one_source_and_findings_name_the_file(tmp_path: Path, write: Write) -> None:
    rows = numbered(40)
    (tmp_path / "in" / "more").mkdir(parents=True)
    write(tmp_path / "in" / "a.jsonl", rows[:20])
    write(tmp_path / "in" / "more" / "b.csv", [*rows[20:], {"input": "what?", "expected": " "}])
    prepared = prepare(tmp_path / "in", on_error="drop")
    assert [file.rows for file in prepared.report.sources] == [20, 21]
    (finding,) = prepared.findings.to_pylist()
    assert (Path(finding["file"]).name, finding["line"], finding["rule"]) == ("b.csv", 22, "empty-expected")
    assert len(prepared.samples) == 40


@pytest.mark.parametrize("split", [SplitConfig(), SplitConfig(method="stratified", by="topic")])
@pytest.mark.parametrize("order", ["appended", "mixed in"])
def test_new_rows_move_no_old_row(tmp_path: Path, write: Write, split: SplitConfig, order: str) -> None:
    random = Random(3)
    rows = [{**row, "topic": random.choice("abc")} for row in numbered(400)]
    old, new = rows[:360], rows[360:]
    # A tenth of the new rows are so close to old ones that they belong where those are.
    new = [{**row, "input": f"{old[n]['input']} now"} if n % 10 == 0 else row for n, row in enumerate(new)]
    config = PreparationConfig(split=split)
    before = prepare(write(tmp_path / "old.jsonl", old), config)
    mixed = [*old, *new] if order == "appended" else random.sample([*old, *new], 400)
    after = prepare(write(tmp_path / "new.jsonl", mixed), config, previous=before.samples)
    was, now = splits_of(before), splits_of(after)
    assert {asked: now[asked] for asked in was} == was
    assert len(now) + after.report.dropped["bridging"] == 400


def test_stratified_shares_hold_within_each_class(tmp_path: Path, write: Write) -> None:
    rows = [{**row, "topic": "rare" if number % 20 == 0 else "common"} for number, row in enumerate(numbered(1000))]
    config = PreparationConfig(split=SplitConfig(method="stratified", by="topic"))
    table = prepare(write(tmp_path / "a.jsonl", rows), config).table
    topics = pc.map_lookup(table["metadata"], "topic", "first")
    counted = pa.table([topics, table["split"]], names=["topic", "split"]).group_by(["topic", "split"])
    counts = {
        (row["topic"], row["split"]): row["topic_count"] for row in counted.aggregate([("topic", "count")]).to_pylist()
    }
    assert counts["rare", "train"] == 40 and counts["rare", "test"] == 5
    assert counts["common", "train"] == 760 and counts["common", "test"] == 95


def test_by_time_the_newest_are_the_test_and_the_cutoffs_can_be_pinned(tmp_path: Path, write: Write) -> None:
    rows = [
        {**row, "day": f"2026-0{1 + number // 28}-{1 + number % 28:02}"} for number, row in enumerate(numbered(200))
    ]
    source = write(tmp_path / "a.jsonl", rows[::-1])
    first = prepare(source, PreparationConfig(split=SplitConfig(method="time", by="day")))
    days = pc.map_lookup(first.table["metadata"], "day", "first").to_pylist()
    by_split = {
        split: [day for day, one in zip(days, first.table["split"].to_pylist(), strict=True) if one == split]
        for split in SPLITS
    }
    assert max(by_split["train"]) < min(by_split["validation"]) <= max(by_split["validation"]) < min(by_split["test"])
    assert first.report.counts == {"train": 160, "validation": 20, "test": 20}
    pinned = SplitConfig(method="time", by="day", cutoffs=tuple(first.report.cutoffs))
    assert splits_of(prepare(source, PreparationConfig(split=pinned))) == splits_of(first)


def test_near_twins_are_dropped_for_the_row_that_is_kept(tmp_path: Path, write: Write) -> None:
    text = "the parcel that I ordered last week came with a broken lid and I want my money back today please"
    rows = [
        *numbered(30),
        {"input": text, "expected": "refund"},
        {"input": f"{text}!!", "expected": "refund"},
        {"input": f"{text} now", "expected": "exchange"},
    ]
    prepared = prepare(write(tmp_path / "a.jsonl", rows))
    (dropped,) = prepared.dropped.to_pylist()
    assert (dropped["reason"], dropped["line"], dropped["kept_line"]) == ("near duplicate", 32, 31)
    # Another answer makes it no twin, but similar inputs share a split.
    assert len({split for asked, split in splits_of(prepared).items() if "parcel" in asked}) == 1


def test_augmented_samples_join_the_training_split_only(tmp_path: Path, write: Write) -> None:
    (tmp_path / "words.csv").write_text("question,query\n")
    config = PreparationConfig(
        augmentation=AugmentationConfig(synonyms=SynonymConfig(share=1.0, thesaurus=tmp_path / "words.csv"))
    )
    prepared = prepare(write(tmp_path / "a.jsonl", numbered(100)), config)
    made = prepared.table.filter(pc.starts_with(prepared.table["input"], "query"))
    assert set(made["split"].to_pylist()) == {"train"}
    assert len(made) == prepared.report.augmented["synonyms"] > 50
    parents = {row["id"]: row for row in prepared.table.to_pylist()}
    for row in made.to_pylist():
        parent = parents[dict(row["metadata"])["augmented_from"]]
        assert parent["split"] == "train" and parent["group"] == row["group"]
    assert prepared.report.read + len(made) == sum(prepared.report.counts.values()) + sum(
        prepared.report.dropped.values()
    )


def test_no_augmented_sample_comes_close_to_a_held_out_one(tmp_path: Path, write: Write) -> None:
    (tmp_path / "words.csv").write_text("purchased,bought\n")
    tail = "a kettle from your shop in the old town on the second of May and it does not switch on any more"
    bought, purchased = (f"I {verb} {tail}" for verb in ("bought", "purchased"))
    source = write(tmp_path / "a.jsonl", [*numbered(30), {"input": purchased, "expected": "repair"}])
    test = write(tmp_path / "test.jsonl", [{"input": f"Yesterday {bought}", "expected": "repair"}])
    synonyms = SynonymConfig(share=1.0, thesaurus=tmp_path / "words.csv")
    config = PreparationConfig(augmentation=AugmentationConfig(synonyms=synonyms))
    # The original is not similar enough to have leaked, the new sample would be.
    prepared = prepare(
        source, config.model_copy(update={"duplicates": DuplicateConfig(threshold=0.9)}), test_source=test
    )
    assert (prepared.report.dropped["leaked"], prepared.report.augmented) == (0, {})
    assert prepared.report.rejected["too close to a held-out input"] == 1


def test_rows_that_occur_in_a_test_set_are_found(tmp_path: Path, write: Write) -> None:
    asked = "If a train leaves Rome at nine and travels eighty miles an hour for three hours, how far does it get?"
    test = write(tmp_path / "test.jsonl", [*numbered(12), {"input": asked, "expected": "240 miles"}])
    others = [{"input": f"word{number} " * 3, "expected": f"{number}"} for number in range(30)]
    source = write(tmp_path / "a.jsonl", [*others, {"input": asked, "expected": "It gets 240 miles far."}])
    references = {"the-test": read_samples(test)[0]}
    findings = prepare(source, references=references).findings.to_pylist()
    assert [(one["rule"], one["line"]) for one in findings if one["rule"] == "test-contamination"] == [
        ("test-contamination", 31)
    ]


def test_an_old_text_in_a_new_group_pulls_no_old_row_along(tmp_path: Path, write: Write) -> None:
    rows = [{**row, "team": f"t{number % 40}"} for number, row in enumerate(numbered(400))]
    config = PreparationConfig(columns=ColumnMapping(group="team"))
    before = prepare(write(tmp_path / "old.jsonl", rows), config)
    for old in rows[:40]:
        # First in the file, and in a group of another split as often as not.
        new = {**old, "expected": f"{old['expected']} ", "team": "t7"}
        after = prepare(write(tmp_path / "new.jsonl", [new, *rows]), config, previous=before.samples)
        assert splits_of(after).items() >= splits_of(before).items()


def test_a_policy_about_the_whole_dataset_refuses_even_where_rows_may_be_dropped(tmp_path: Path, write: Write) -> None:
    labels = ["common"] * 990 + ["rare"] * 10
    rows = [{**row, "expected": label} for row, label in zip(numbered(1000), labels, strict=True)]
    source = write(tmp_path / "a.jsonl", rows)
    assert [one.rule for one in prepare(source).report.findings] == ["class-imbalance"]
    strict = ValidationConfig(rules={"class-imbalance": RulePolicy(action="refuse")})
    with pytest.raises(FaultyDataError, match="rare"):
        prepare(source, PreparationConfig(validation=strict), on_error="drop")


def test_findings_of_a_rule_are_counted_beyond_those_kept(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "MOST_FINDINGS", 7)
    source = tmp_path / "a.jsonl"
    good = [json.dumps(row) for row in numbered(30)]
    source.write_text("\n".join([*good, *["[]"] * 20, *['{"input": "", "expected": "x"}'] * 20]))
    prepared = prepare(source, on_error="drop")
    assert {one.rule: one.rows for one in prepared.report.findings} == {"unreadable-row": 20, "empty-input": 20}
    lines = prepared.findings.filter(pc.field("rule") == "empty-input")["line"].to_pylist()
    assert lines == list(range(51, 58))
    assert (prepared.report.dropped["faulty"], len(prepared.samples)) == (40, 30)


def test_a_split_by_what_is_not_there_is_refused(tmp_path: Path, write: Write) -> None:
    rows = [{**row, "day": f"2026-01-{1 + number % 28:02}"} for number, row in enumerate(numbered(100))]
    rows[41]["day"] = "soon"
    source = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match="no row has the metadata 'dya'"):
        prepare(source, PreparationConfig(split=SplitConfig(method="stratified", by="dya")))
    by_time = PreparationConfig(split=SplitConfig(method="time", by="day"))
    with pytest.raises(InputError, match=r"a\.jsonl:42: day is no time"):
        prepare(source, by_time)
    prepared = prepare(source, by_time, on_error="drop")
    assert (prepared.report.dropped["faulty"], len(prepared.samples)) == (1, 99)


def test_a_test_source_may_be_a_reference_and_must_keep_rows(tmp_path: Path, write: Write) -> None:
    test = write(tmp_path / "test.jsonl", [{"input": f"exam {n} {n}x {n}y", "expected": f"{n}"} for n in range(12)])
    source = write(tmp_path / "a.jsonl", numbered(40))
    refuse = ValidationConfig(rules={"test-contamination": RulePolicy(action="refuse")})
    references = {"exam": read_samples(test)[0]}
    prepared = prepare(
        source, PreparationConfig(validation=refuse), test_source=test, references=references, on_error="drop"
    )
    assert prepared.report.counts["test"] == 12
    empty = write(tmp_path / "empty.jsonl", [{"input": "", "expected": "x"}] * 12)
    with pytest.raises(InputError, match="the test source has no row without errors"):
        prepare(source, test_source=empty, on_error="drop")


def test_augmented_samples_obey_the_rules_and_are_made_once(tmp_path: Path, write: Write) -> None:
    (tmp_path / "words.csv").write_text("question,query\n")
    synonyms = SynonymConfig(share=1.0, thesaurus=tmp_path / "words.csv")
    limited = PreparationConfig(
        validation=ValidationConfig(max_tokens=8), augmentation=AugmentationConfig(synonyms=synonyms)
    )
    rows = [{"input": f"question {n}", "expected": f"a{n} b{n}"} for n in range(60)]
    (tmp_path / "words.csv").write_text(f"question,{'query' * 9}\n")
    prepared = prepare(write(tmp_path / "a.jsonl", rows), limited)
    assert prepared.report.augmented == {}
    assert prepared.report.rejected["too-many-tokens"] > 30


def test_a_small_difference_in_a_tool_call_is_a_real_one(tmp_path: Path, write: Write) -> None:
    asked = {"role": "user", "content": "please look up the opening hours of the town library next to the old station"}

    def row(argument: str) -> dict[str, Any]:
        function = {"name": "look_up", "arguments": json.dumps({"day": argument})}
        calls = [{"id": "1", "type": "function", "function": function}]
        return {"messages": [asked, {"role": "assistant", "content": "One moment.", "tool_calls": calls}]}

    answer = {"role": "assistant", "content": "a"}
    rows = [{"messages": [{"role": "user", "content": f"q{number}"}, answer]} for number in range(20)]
    prepared = prepare(write(tmp_path / "a.jsonl", [*rows, row("monday"), row("tuesday"), row("monday")]))
    assert {reason: count for reason, count in prepared.report.dropped.items() if count} == {"exact repeat": 1}
