"""Each rule met by samples made to break it by one, and by samples that just keep it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llmops.data.conversations import from_messages
from llmops.data.exports.provider_limits import LIMITS, MOST_FINDINGS, FormatLimits, check_format, sample_texts
from llmops.data.exports.writers import FORMATS
from llmops.data.findings import Finding
from llmops.data.samples import sample_table
from llmops.errors import InputError

USER = {"role": "user", "content": "When?"}
ANSWER = {"role": "assistant", "content": "At nine."}


def plain(number: int, expected: str = "At nine.") -> pa.Table:
    texts = pa.chunked_array([pa.array([f"When {row}?" for row in range(number)], pa.string())])
    return sample_table(input=texts, expected=pa.chunked_array([pa.array([expected] * number, pa.string())]))


def talk(*messages: dict[str, Any], tools: Any = None) -> pa.Table:
    sample = from_messages(list(messages), tools)._asdict()
    return sample_table(**{name: pa.chunked_array([pa.array([text], pa.string())]) for name, text in sample.items()})


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.rule) for finding in findings]


@pytest.mark.parametrize(
    ("format", "minimum"),
    [("openai", 10), ("azure", 10), ("bedrock-claude", 32), ("bedrock", 100), ("bedrock-conversation", 8)],
)
def test_the_minimum_of_samples(format: str, minimum: int) -> None:
    assert check_format(plain(minimum), format) == []
    findings = check_format(plain(minimum - 1), format, name="toy@1")
    assert said(findings) == [("error", "too-few-samples")]
    assert findings[0].file == "toy@1"
    assert f"{minimum - 1} samples where at least {minimum} are needed" in findings[0].message
    assert said(check_format(plain(minimum - 1), format, split="all")) == [("error", "too-few-samples")]
    for split in ("validation", "test"):
        assert check_format(plain(minimum - 1), format, split=split) == []


def test_the_maxima_of_samples() -> None:
    assert check_format(plain(20_000), "bedrock-conversation") == []
    assert said(check_format(plain(20_001), "bedrock-conversation")) == [("error", "too-many-samples")]
    assert check_format(plain(10_000), "bedrock-claude") == []
    assert said(check_format(plain(10_001), "bedrock-claude")) == [("error", "too-many-samples")]
    assert check_format(plain(1_000), "bedrock-claude", split="validation") == []
    assert said(check_format(plain(1_001), "bedrock-claude", split="validation")) == [("error", "too-many-samples")]
    assert said(check_format(plain(5_001), "vertex", split="validation")) == [("error", "too-many-samples")]


def test_the_own_formats_take_anything() -> None:
    for format in ("jsonl", "json", "csv", "tsv", "parquet"):
        assert check_format(plain(1, ""), format) == []
    with pytest.raises(InputError, match="no format 'xml'"):
        check_format(plain(1), "xml")


def test_every_limit_names_its_source() -> None:
    assert set(LIMITS) < set(FORMATS)
    assert all(limits.source.startswith("https://") for limits in LIMITS.values())


def test_tokens_are_estimated_where_there_is_no_tokenizer() -> None:
    limits = FormatLimits(maximum_tokens=100)
    # "When 0?" and the line end between the two are 8 bytes: 400 bytes are 100 tokens at 4 bytes a token.
    assert check_format(plain(1, "x" * 392), "openai", limits) == []
    findings = check_format(plain(1, "x" * 393), "openai", limits)
    assert said(findings) == [("warning", "too-many-tokens")]
    assert findings[0].message.startswith("about 101 tokens where 100 are allowed, the provider refuses the file")
    assert findings[0].sample_id == plain(1, "x" * 393)["id"][0].as_py()
    # Four times as many are too many by any count.
    assert said(check_format(plain(1, "x" * 1_592), "openai", limits)) == [("warning", "too-many-tokens")]
    assert said(check_format(plain(1, "x" * 1_593), "openai", limits)) == [("error", "too-many-tokens")]
    cut = FormatLimits(maximum_tokens=100, too_long="cut")
    assert said(check_format(plain(1, "x" * 1_593), "openai", cut)) == [("warning", "too-many-tokens")]


def test_tokens_are_counted_where_there_is_a_tokenizer(word_tokenizer: Path) -> None:
    limits = FormatLimits(maximum_tokens=6)
    # Its words: When, 0, ?, At, nine, . are six.
    assert check_format(plain(1), "openai", limits, tokenizer=str(word_tokenizer)) == []
    findings = check_format(plain(1, "At half nine."), "openai", limits, tokenizer=str(word_tokenizer))
    assert said(findings) == [("error", "too-many-tokens")]
    assert findings[0].message.startswith("7 tokens where 6")


@pytest.fixture
def word_tokenizer(tmp_path: Path) -> Path:
    """A folder with a tokenizer that splits at blanks and punctuation, and says that it pads and cuts."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_characters_of_bedrock() -> None:
    # AWS: sixteen thousand tokens, six characters each.
    limits = FormatLimits(maximum_characters=LIMITS["bedrock"].maximum_characters)
    # A letter of two bytes is one character; "When 0?" and the line end are eight.
    assert check_format(plain(1, "é" * 95_992), "bedrock", limits) == []
    findings = check_format(plain(1, "é" * 95_993), "bedrock", limits)
    assert said(findings) == [("error", "too-many-characters")]
    assert findings[0].message == "96,001 characters where 96,000 are allowed; shorten it"


def test_words_that_nova_keeps_for_itself() -> None:
    # https://docs.aws.amazon.com/nova/latest/userguide/fine-tune-prepare-data-understanding.html, item 12
    for text in ("User: hello", "Ask the Bot: it knows", "an <image> of it", "done [EOS]"):
        for table in (
            plain(8, text),
            pa.concat_tables([plain(8), talk(USER, ANSWER, {**USER, "content": text}, ANSWER)]),
        ):
            findings = check_format(table, "bedrock-conversation")
            assert {(finding.severity, finding.rule) for finding in findings} == {("error", "reserved-word")}
    findings = check_format(plain(8, "done [EOS]"), "bedrock-conversation")
    assert findings[0].message == "it holds '[EOS]', which the provider keeps for itself; write another"
    assert findings[0].sample_id == plain(8, "done [EOS]")["id"][0].as_py()
    assert check_format(plain(8, "The user: hello"), "bedrock-conversation") == []
    assert check_format(plain(10, "User: hello"), "openai") == []


def test_empty_texts() -> None:
    findings = check_format(plain(12, ""), "openai")
    assert said(findings) == [("error", "empty-text")] * 12
    assert findings[0].message == "its expected is empty; fill it or take the sample out"
    empty = talk(USER, {**ANSWER, "content": ""}, USER, ANSWER)
    assert ("error", "empty-text") in said(check_format(empty, "vertex"))


def test_conversations_that_a_format_does_not_carry() -> None:
    findings = check_format([plain(100), talk({"role": "system", "content": "s"}, USER, ANSWER)], "bedrock")
    assert said(findings) == [("error", "not-carried")]
    assert findings[0].sample_id is not None
    assert "export it as bedrock-claude" in findings[0].message


def test_a_developer_message_is_said_to_become_the_systems() -> None:
    table = pa.concat_tables([plain(40), talk({"role": "developer", "content": "s"}, USER, ANSWER)])
    assert check_format(table, "openai") == []
    for format in ("vertex", "bedrock-claude", "bedrock-conversation", "sharegpt"):
        assert said(check_format(table, format)) == [("warning", "developer-role")]


def test_roles_out_of_order_in_a_table_made_elsewhere() -> None:
    table = talk({"role": "system", "content": "s"}, USER, ANSWER)
    for text, rule in (
        ('{"messages":[{"role":"user","content":"q"}]}', "role-order"),
        ('{"messages":[{"role":"assistant","content":"q"}]}', "role-order"),
        ('{"messages":[]}', "role-order"),
        ("no JSON", "chat-shape"),
        ('{"messages":[{"role":"judge","content":"q"},{"role":"user","content":"q"}]}', "chat-shape"),
    ):
        column = pa.array([text], pa.string())
        wrong = table.set_column(table.schema.get_field_index("messages"), "messages", column)
        assert ("error", rule) in said(check_format(wrong, "openai"))


def test_more_tools_than_allowed() -> None:
    tools = [{"type": "function", "function": {"name": f"f{number}"}} for number in range(129)]
    base = plain(10)
    assert check_format([base, talk(USER, ANSWER, tools=tools[:128])], "azure") == []
    assert said(check_format([base, talk(USER, ANSWER, tools=tools)], "azure")) == [("error", "too-many-tools")]


def test_many_findings_of_one_rule_are_counted() -> None:
    findings = check_format(plain(MOST_FINDINGS + 7, ""), "openai")
    assert len(findings) == MOST_FINDINGS + 1
    assert findings[-1].message == "7 more samples with the same"


def test_what_a_tokenizer_sees() -> None:
    context = pa.chunked_array([["c"]])
    one = sample_table(input=pa.chunked_array([["q"]]), expected=pa.chunked_array([["a"]]), context=context)
    assert sample_texts(one.to_batches()[0]).to_pylist() == ["c\nq\na"]
    assert sample_texts(plain(1).to_batches()[0]).to_pylist() == ["When 0?\nAt nine."]
    conversation = talk({"role": "system", "content": "s"}, USER, ANSWER)
    assert sample_texts(conversation.to_batches()[0]).to_pylist() == conversation["messages"].to_pylist()
