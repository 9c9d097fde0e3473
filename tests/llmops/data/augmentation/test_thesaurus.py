"""A person's thesaurus: all forms of the file, and the line of every fault."""

from pathlib import Path

import pytest

from llmops.data.augmentation.thesaurus import read_thesaurus
from llmops.errors import InputError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'buy,purchase,acquire\n# a remark\n\n"Card",bank card\n'),
        ("t.tsv", "buy\tpurchase\tacquire\nCard\tbank card\n"),
        ("t.yaml", "buy: [purchase, acquire]\nCard: bank card\n"),
        ("t.yml", "buy:\n  - purchase\n  - acquire\nCard: [bank card, card]\n"),
    ],
)
def test_forms_of_the_file(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert read_thesaurus(path).synonyms == {"buy": ("purchase", "acquire"), "card": ("bank card",)}


def test_yaml_words_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("no: [nope]\non: atop\n")
    assert read_thesaurus(path).synonyms == {"no": ("nope",), "on": ("atop",)}


def test_case_follows_the_word(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("buy,purchase\n")
    thesaurus = read_thesaurus(path)
    written = [thesaurus.entry(word, "", "").synonyms["purchase"] for word in ("buy", "Buy", "BUY")]  # type: ignore[union-attr]
    assert written == ["purchase", "Purchase", "PURCHASE"]
    assert thesaurus.entry("buys", "", "") is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "buy,purchase\nsell\n", "t.csv:2: 'sell' has no synonym"),
        ("t.csv", "buy,buy, \n", "t.csv:1: 'buy' has no synonym"),
        ("t.csv", "buy,purchase\n\nbuy,get\n", "t.csv:3: 'buy' stands in an earlier line"),
        ("t.csv", "credit card,card\n", "t.csv:1: 'credit card' is not one word"),
        ("t.csv", ",card\n", "t.csv:1: '' is not one word"),
        ("t.csv", 'a,b\n"c"d,e\n', "t.csv:2: "),
        ("t.csv", "", "t.csv is empty"),
        ("t.yaml", "buy: [purchase]\nsell: {a: b}\n", "t.yaml:2: 'sell'|t.yaml:2: not a word"),
        ("t.yaml", "buy: [purchase]\nsell: [a\n", "t.yaml:3: "),
        ("t.yaml", "buy: [a]\nbuy: [b]\n", "t.yaml:2: 'buy' stands in an earlier line"),
        ("t.yaml", "- buy\n", "t.yaml:1: not a mapping"),
        ("t.yaml", "a: \x00\n", "t.yaml"),
        ("t.yaml", "", "t.yaml is empty"),
        ("t.txt", "a,b\n", "is not .yaml, .yml, .csv or .tsv"),
    ],
)
def test_faults(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        read_thesaurus(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_thesaurus(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9,bar\n")
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 3\)"):
        read_thesaurus(tmp_path / "latin.csv")
