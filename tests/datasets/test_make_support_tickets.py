"""The sample data: what the generator writes, and what makes it a fair test of generalisation."""

import json
import runpy
from collections import defaultdict
from pathlib import Path

import pytest

DATASETS = Path(__file__).parents[2] / "datasets"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    text = (DATASETS / "support_tickets.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def ticket(row: dict[str, str]) -> dict[str, str]:
    return dict(field.split(": ") for field in row["expected"].split(" | "))


def test_the_generator_reproduces_the_file_byte_for_byte() -> None:
    make_lines = runpy.run_path(str(DATASETS / "make_support_tickets.py"))["make_lines"]
    made = ("\n".join(make_lines()) + "\n").encode()
    assert made == (DATASETS / "support_tickets.jsonl").read_bytes()


def test_several_hundred_distinct_rows_from_over_two_hundred_skeletons(rows: list[dict[str, str]]) -> None:
    assert 400 <= len(rows) <= 700
    assert len({row["input"] for row in rows}) == len(rows)
    assert len({row["template"] for row in rows}) >= 200


def test_what_is_copied_stands_in_the_message(rows: list[dict[str, str]]) -> None:
    for row in rows:
        fields = ticket(row)
        assert list(fields) == ["priority", "order", "product"]
        assert fields["product"] in row["input"]
        assert fields["order"] == "none" or fields["order"] in row["input"]
        assert "{" not in row["input"]


def test_a_message_without_an_order_number_has_none_in_its_ticket(rows: list[dict[str, str]]) -> None:
    for row in rows:
        numbers = [word for word in row["input"].replace(".", " ").split() if word.strip("(),:;!?").isdigit()]
        five_digits = [number.strip("(),:;!?") for number in numbers if len(number.strip("(),:;!?")) == 5]
        assert five_digits == ([] if ticket(row)["order"] == "none" else [ticket(row)["order"]])


def test_one_skeleton_has_one_priority(rows: list[dict[str, str]]) -> None:
    kinds = defaultdict(set)
    for row in rows:
        kinds[row["template"]].add(ticket(row)["priority"])
    assert all(len(kind) == 1 for kind in kinds.values())


def test_no_two_skeletons_share_most_of_their_words() -> None:
    """Else a test input could be a training input in all but name."""
    read = runpy.run_path(str(DATASETS / "make_support_tickets.py"))["read_skeletons"]
    words = [set(text.lower().split()) for *_, text in read(DATASETS / "support_ticket_skeletons.txt")]
    for index, one in enumerate(words):
        for other in words[:index]:
            assert len(one & other) / len(one | other) < 0.5, (one, other)
