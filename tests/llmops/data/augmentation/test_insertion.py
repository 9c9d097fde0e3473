"""Where a word may go in."""

import pytest

from llmops.data.augmentation import InsertionConfig
from llmops.data.augmentation.insertion import insert_words
from llmops.data.augmentation.task import Task

CONFIG = InsertionConfig(adverbs=("actually",), politeness=("please",))


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("I bought a card", "I actually bought a card"),
        ("What did she buy?", "What did she actually buy?"),
        ("Could you send it", "Could you please send it"),
        ("It is late", "It is actually late"),
        ("he was told", "he was actually told"),
        ("Is it late", None),
        ("I have been waiting", None),
        ("I don't know", None),
        ("I am not sure", None),
        ("Can you please go", None),
        ("I actually know", None),
        ("I {verb} it", None),
        ("What time?", None),
        ("", None),
    ],
)
def test_places(text: str, changed: str | None) -> None:
    assert insert_words([Task(text, "", 0, "key")], CONFIG) == [changed]


def test_one_word_at_one_place() -> None:
    text = "I bought it and she sold it while they slept"
    results = insert_words([Task(text, "", 0, f"{number}") for number in range(40)], InsertionConfig())
    assert {len(result.split()) for result in results if result} == {len(text.split()) + 1}
    assert len(set(results)) == 6
