import pyarrow as pa
import pytest

from llmops.data.samples import sample_table
from llmops.data.validation.control_characters import control_character_hits
from llmops.data.validation.scanned_text import scanned_text


def rules_of(text: str) -> list[str]:
    table = sample_table(input=pa.chunked_array([["fine"]]), expected=pa.chunked_array([[text]]))
    return [hits.rule for hits in control_character_hits(table, scanned_text(table))]


@pytest.mark.parametrize(
    "text",
    [
        "be\bll",
        "\x1b[31mred",
        "a\x7f",
        "it\x92s",
        "zero\u200bwidth",
        "\ufefffirst",
        "soft\u00adly",
        "a\u202eb",
        "x\u200dy",
    ],
)
def test_invisible_characters(text: str) -> None:
    assert rules_of(text) == ["control-character"]


def test_tags_spell_hidden_text() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore")
    assert rules_of(f"Hello{hidden}") == ["control-character"]


@pytest.mark.parametrize(
    "text",
    [
        "tab\tand\r\nlines",
        "👩\u200d🚀 and 👨\u200d👩\u200d👧",
        "می\u200cخواهم",
        "क्\u200dष",
        "\u202bשלום\u202c",
        "🏴\U000e0067\U000e0062\U000e007f",
    ],
)
def test_where_they_belong(text: str) -> None:
    assert rules_of(text) == []


def test_nul_is_a_rule_of_its_own_and_the_message_says_where() -> None:
    assert rules_of("a\0b") == ["nul-character"]
    table = sample_table(input=pa.chunked_array([["ab\u200bc"]]), expected=pa.chunked_array([["x"]]))
    [hits] = control_character_hits(table, scanned_text(table))
    assert hits.messages[0] == "input holds U+200B (zero width space) at character 3; remove it"
