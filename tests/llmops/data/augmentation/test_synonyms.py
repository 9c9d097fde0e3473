"""Replacement in a text, by a thesaurus whose effect can be written down."""

import pytest

from llmops.data.augmentation.synonyms import replace_synonyms
from llmops.data.augmentation.task import Task
from llmops.data.augmentation.thesaurus import Thesaurus

THESAURUS = Thesaurus(
    {
        "buy": ("purchase",),
        "big": ("large",),
        "apple": ("fruit",),
        "fruit": ("orange",),
        "can": ("tin",),
        "two": ("twain",),
        "rapid": ("unusual", "swift"),
    }
)


@pytest.mark.parametrize(
    ("text", "expected", "changed"),
    [
        ("I buy it", "", "I purchase it"),
        ("Buy it, then buy more", "", "Purchase it, then purchase more"),
        ("Did Big Bank say so", "", None),
        ("Did Big Bank buy a big car", "", "Did Big Bank purchase a large car"),
        ("It costs {buy} or <big> or a@buy.org", "", None),
        ("buy two", "buy", None),
        ("a buy-back, the un_big one", "", None),
        ("an apple", "", None),
        ("the apple", "", "the fruit"),
        ("the apple is a big fruit", "", "the apple is a large orange|the apple is a large fruit"),
        ("a rapid one", "", "a swift one"),
        ("nothing here", "", None),
        ("", "", None),
    ],
)
def test_replacement(text: str, expected: str, changed: str | None) -> None:
    [result] = replace_synonyms([Task(text, expected, 0, "key")], THESAURUS, share=1.0)
    assert result in (changed.split("|") if changed else [None])


def test_share_of_words() -> None:
    text = "buy big rapid things here"
    for share, replaced in ((0.01, 1), (0.4, 2), (1.0, 3)):
        [result] = replace_synonyms([Task(text, "", 0, "key")], THESAURUS, share)
        assert result is not None
        assert sum(new != old for new, old in zip(result.split(), text.split(), strict=True)) == replaced


def test_chance_depends_on_the_key_alone() -> None:
    tasks = [Task("a rapid but big thing to buy", "", 0, f"key {number}") for number in range(30)]
    together = replace_synonyms(tasks, THESAURUS, 0.2)
    assert together == [replace_synonyms([task], THESAURUS, 0.2)[0] for task in tasks]
    assert len(set(together)) > 2
