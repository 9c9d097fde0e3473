from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from llmops.data.findings import Finding, Hits, raise_errors
from llmops.data.samples import sample_table
from llmops.data.validation.checks import (
    RulePolicy,
    ValidationConfig,
    dataset_findings,
    dataset_hits,
    label_counts,
    language_counts,
    row_facts,
    row_hits,
    severity_of,
    too_few,
)
from llmops.data.validation.rules import RULES
from llmops.errors import InputError

DEFAULTS = ValidationConfig()


def table_of(**columns: list[str | None]) -> pa.Table:
    metadata = columns.pop("metadata", None)
    texts = {name: pa.chunked_array([values], pa.string()) for name, values in columns.items()}
    return sample_table(**texts, metadata={"note": pa.chunked_array([metadata], pa.string())} if metadata else None)


def by_rule(hits: list[Hits]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in hits:
        assert len(one.rows) == len(one.messages)
        found[one.rule] = sorted({*found.get(one.rule, []), *one.rows.tolist()})
    return found


def test_empty_texts_and_nul_are_found_in_every_column() -> None:
    table = table_of(
        input=["good", "", " \u3000\n", "in\0put", "good", "good", "good"],
        expected=["fine", "x", "x", "x", None, "x", "x"],
        context=[None, None, None, None, None, "con\0text", None],
        metadata=["m", None, "m", None, "m", "m", "me\0ta"],
    )
    hits = row_hits(table, DEFAULTS)
    assert by_rule(hits) == {"empty-input": [1, 2], "empty-expected": [4], "nul-character": [3, 5, 6]}
    [nul] = [one for one in hits if one.rule == "nul-character"]
    assert [message.split()[0] for message in nul.messages] == ["input", "context", "metadata"]
    assert by_rule(row_hits(table.slice(5), DEFAULTS)) == {"nul-character": [0, 1]}
    assert row_hits(table.slice(0, 0), DEFAULTS) == []


def test_a_conversation_is_read_too() -> None:
    system = '{"messages":[{"content":"Our key is AKIAIOSFODNN7ABCDEFG","role":"system"}]}'
    table = sample_table(
        input=pa.chunked_array([["Hello there", "Hello there"]]),
        expected=pa.chunked_array([["Hi", "Hi"]]),
        messages=pa.chunked_array([[system, '{"messages":[{"content":"a\\u0000b","role":"system"}]}']]),
    )
    hits = row_hits(table, DEFAULTS)
    assert by_rule(hits) == {"secret": [0], "nul-character": [1]}
    assert all("AKIAIOSFODNN7" not in message for one in hits for message in one.messages)


def test_tokens_are_counted_only_against_a_limit() -> None:
    text = "Every good boy deserves favour, and so do all girls of this town, if you ask. " * 2 + "Or not? "
    table = table_of(input=[(text * 2)[:360], (text * 3)[:400]], expected=[text[:38], text[:40]])
    assert row_hits(table, DEFAULTS) == []
    # An estimated token has four bytes: 360 + 38 + 2 joining line feeds make 100, 400 + 40 + 2 make 111.
    [hits] = row_hits(table, ValidationConfig(max_tokens=100))
    assert (hits.rule, hits.rows.tolist()) == ("too-many-tokens", [1])
    assert hits.messages[0].startswith("111 tokens, at most 100")


@pytest.mark.parametrize(
    ("policy", "rows", "severity"),
    [
        (None, 100, "warning"),
        (RulePolicy(action="off"), 100, None),
        (RulePolicy(action="refuse"), 1, "error"),
        (RulePolicy(action="warn"), 100, "warning"),
        (RulePolicy(action="warn", refuse_above=0.05), 5, "warning"),
        (RulePolicy(action="warn", refuse_above=0.05), 6, "error"),
    ],
)
def test_policies_take_the_place_of_the_default(policy: RulePolicy | None, rows: int, severity: str | None) -> None:
    config = ValidationConfig(rules={} if policy is None else {"secret": policy})
    assert severity_of("secret", rows, 100, config) == severity
    assert severity_of("empty-input", 1, 100, config) == "error"


def test_a_rule_that_is_off_finds_nothing() -> None:
    table = table_of(input=["write to jo@example.org"] * 2, expected=["ok", ""])
    off = ValidationConfig(rules={"personal-data": RulePolicy(action="off")})
    assert by_rule(row_hits(table, DEFAULTS)) == {"empty-expected": [1], "personal-data": [0, 1]}
    assert by_rule(row_hits(table, off)) == {"empty-expected": [1]}


def test_a_rule_that_no_policy_changes_takes_none() -> None:
    with pytest.raises(ValidationError, match="no policy changes few-groups, unreadable-row"):
        ValidationConfig(rules={"unreadable-row": RulePolicy(action="off"), "few-groups": RulePolicy(action="off")})


def test_an_unknown_rule_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="no such rule: no-such; there are boilerplate, "):
        ValidationConfig(rules={"no-such": RulePolicy()})


def test_every_rule_says_what_to_do() -> None:
    for name, rule in RULES.items():
        assert rule.name == name and rule.advice.endswith(".") and 0 <= rule.weight <= 1


def test_the_configuration_file_states_the_defaults() -> None:
    file = Path(__file__).resolve().parents[4] / "configs" / "datasets.yaml"
    section = yaml.safe_load(file.read_text(encoding="utf-8"))["prepare-dataset"]["preparation"]["validation"]
    assert ValidationConfig.model_validate(section) == DEFAULTS
    assert set(section) == set(ValidationConfig.model_fields)


@pytest.mark.parametrize(("count", "refused"), [(0, True), (9, True), (10, False), (11, False)])
def test_ten_examples_are_the_least(count: int, refused: bool) -> None:
    assert bool(too_few(count, "f")) == refused


def test_the_dataset_as_a_whole() -> None:
    table = table_of(input=[f"What is number {number}?" for number in range(104)], expected=["yes"] * 100 + ["no"] * 4)
    facts = row_facts(table)
    assert label_counts(facts) == {"yes": 100, "no": 4}
    [finding] = dataset_findings(facts, DEFAULTS, "f.csv")
    assert (finding.severity, finding.rule, finding.line) == ("warning", "class-imbalance", None)
    assert '"yes") has 100' in finding.message and '"no") 4' in finding.message
    assert dataset_findings(facts, ValidationConfig(rules={"class-imbalance": RulePolicy(action="off")}), "f") == []
    assert dataset_findings(facts.slice(90), DEFAULTS, "f") == []


def test_facts_of_batches_are_those_of_the_whole() -> None:
    table = table_of(input=["One.", "Zwei\nund zwei", "", "vier ("], expected=["a", "b " * 40, "", "ü"])
    parts = pa.concat_tables([row_facts(table.slice(0, 1)), row_facts(table.slice(1))])
    assert parts.combine_chunks().to_pydict() == row_facts(table).to_pydict()
    given = row_facts(table, np.arange(4, dtype=np.uint64))
    assert given["question_key"].to_pylist() == [0, 1, 2, 3]


def test_one_question_over_many_contexts_is_no_conflict() -> None:
    contexts: list[str | None] = [f"Shop {number} opens at {number % 12} o'clock." for number in range(60)]
    columns = {"input": ["Does it open before noon?"] * 60, "expected": ["yes", "no"] * 30}
    assert "label-conflict" not in by_rule(dataset_hits(row_facts(table_of(**columns, context=contexts)), DEFAULTS))
    # Without the contexts it is, and so are two answers over one context.
    assert by_rule(dataset_hits(row_facts(table_of(**columns)), DEFAULTS))["label-conflict"] == list(range(60))
    contexts[7] = contexts[2]
    found = dataset_hits(row_facts(table_of(**columns, context=contexts)), DEFAULTS)
    assert by_rule(found)["label-conflict"] == [2, 7]


def test_one_question_under_two_system_prompts_is_no_conflict() -> None:
    systems = [f'{{"messages":[{{"role":"system","content":"Answer {word}."}}]}}' for word in ("yes", "no")]
    table = table_of(input=["q"] * 40, expected=["yes", "no"] * 20, messages=systems * 20)
    assert "label-conflict" not in by_rule(dataset_hits(row_facts(table), DEFAULTS))


def test_several_references_are_no_conflict(real_data: Callable[[str], Path]) -> None:
    source = pq.read_table(real_data("e2e_train.parquet"))
    table = sample_table(input=source["mr"].cast(pa.string()), expected=source["ref"].cast(pa.string()))
    assert len(table) == 42_061
    found = by_rule([*row_hits(table, DEFAULTS), *dataset_hits(row_facts(table), DEFAULTS)])
    assert set(found) <= {"truncated-text", "length-outlier"}
    assert len({row for rows in found.values() for row in rows}) < 0.005 * len(table)


@pytest.mark.parametrize(
    ("file", "columns", "most"),
    [
        ("banking77_train.parquet", {"input": "text", "expected": "category"}, 0.005),
        ("gsm8k_train.parquet", {"input": "question", "expected": "answer"}, 0.005),
        ("clinc150.parquet", {"input": "text", "expected": "intent"}, 0.005),
        ("truthfulqa.parquet", {"input": "Question", "expected": "Best Answer"}, 0.01),
        ("begin_wow.parquet", {"input": "message", "expected": "response"}, 0.01),
    ],
)
def test_real_data_is_hardly_flagged_and_never_refused(
    real_data: Callable[[str], Path], file: str, columns: dict[str, str], most: float
) -> None:
    source = pq.read_table(real_data(file))
    table = sample_table(**{part: source[name].cast(pa.string()) for part, name in columns.items()})
    found = by_rule([*row_hits(table, DEFAULTS), *dataset_hits(row_facts(table), DEFAULTS)])
    assert len({row for rows in found.values() for row in rows}) <= most * len(table)
    languages = language_counts(row_facts(table))
    assert next(iter(languages)) == "en" and languages["en"] > 0.9 * sum(languages.values())
    for rule, rows in found.items():
        assert severity_of(rule, len(rows), len(table), DEFAULTS) == "warning"


def error(line: int, severity: str = "error") -> Finding:
    return Finding.model_validate({"severity": severity, "rule": "r", "file": "f", "line": line, "message": "bad"})


def test_five_errors_are_named_and_the_rest_counted() -> None:
    raise_errors([])
    raise_errors([error(1, "warning")])
    with pytest.raises(InputError, match=r"^f:1: bad; f:2: bad$"):
        raise_errors([error(1), error(9, "warning"), error(2)])
    with pytest.raises(InputError, match=r"^f:1: bad; .*; f:5: bad; and 3 more$"):
        raise_errors([error(line) for line in range(1, 9)])
