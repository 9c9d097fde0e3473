"""What must survive, against lists made by hand."""

import pytest

from llmops.data.augmentation.protected_text import is_negated, names, numbers, placeholders, starts_sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dear {name}, your {{order_id}} and ${HOME}", ["${HOME}", "{name}", "{{order_id}}"]),
        ("%s of %(total)d, 5% off", ["%(total)d", "%s"]),
        ("<b>now</b> <br/>", ["</b>", "<b>", "<br/>"]),
        ("fill [ORDER_ID] in $AMOUNT, it costs $5", ["$AMOUNT", "[ORDER_ID]"]),
        ("see https://a.example/x?y=1. Or www.b.example!", ["https://a.example/x?y=1", "www.b.example"]),
        ("write to jo.doe+x@mail.example.org, soon", ["jo.doe+x@mail.example.org"]),
        ("{a} {a}", ["{a}", "{a}"]),
        ("3 < 4 and 5 > 2, [sic]", []),
    ],
)
def test_placeholders(text: str, expected: list[str]) -> None:
    assert sorted(placeholders(text).elements()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two cards and 2 more", ["2", "2"]),
        ("$1,000.50 or €20, 80% at 10:30", ["$1000.50", "10:30", "80%", "€20"]),
        ("half of 1/4 pound, -5 degrees, the 3rd", ["-5", "1/4", "3rd", "half"]),
        ("{slot1} and %s and a1@b2.example", []),
        ("Twelve often bone", ["12"]),
    ],
)
def test_numbers(text: str, expected: list[str]) -> None:
    assert sorted(numbers(text).elements()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Why did Natalia go? Because Ann said so.", {"Natalia", "Ann"}),
        ("I think I'm late. It is BNP's fault", {"BNP"}),
        ("use my iPhone or eBay", {"iPhone", "eBay"}),
        ("Hello\nMark has it: Yes “No”", set()),
        ("Visit Jean-Luc in New York", {"Jean", "Luc", "New", "York"}),
        ("USA first", {"USA"}),
    ],
)
def test_names(text: str, expected: set[str]) -> None:
    assert names(text) == expected


def test_negation() -> None:
    assert is_negated("It has not come") and is_negated("it hasn’t") and is_negated("Nothing came")
    assert not is_negated("Another note about knots")


def test_beginnings_of_sentences() -> None:
    text = "One two. Three"
    assert [starts_sentence(text, text.index(word)) for word in ("One", "two", "Three")] == [True, False, True]


@pytest.mark.parametrize("part", ["a", "{", "<a", "a@", "[A", "-", "%"])
def test_long_texts_without_a_blank_are_scanned_in_one_go(part: str) -> None:
    # A pattern that scans again from every character would not end here.
    text = part * (200_000 // len(part))
    assert not placeholders(text) and not numbers(text)
    assert not names(text)
