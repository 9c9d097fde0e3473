"""The baseline that copies: what it copies, and that it needs little memory."""

import pytest

from llmops.errors import InputError
from llmops.evaluation import copy_nearest

PROMPTS = ["The printer on floor 3 is jammed", "I cannot log in to the portal", "Invoice 4711 was paid twice"]
TICKETS = ["hardware", "access", "billing"]


def test_a_training_prompt_finds_itself_and_a_similar_one_its_like() -> None:
    assert copy_nearest(PROMPTS, TICKETS, PROMPTS) == TICKETS
    asked = [
        "my log in to that portal fails",
        "printers jam on every floor",
        "we paid invoice 4712 two times",
    ]
    assert copy_nearest(PROMPTS, TICKETS, asked) == ["access", "hardware", "billing"]


def test_the_first_of_equals_counts() -> None:
    assert copy_nearest(["same", "same", "other"], ["first", "second", "third"], ["same"]) == ["first"]
    assert copy_nearest(["abc def", "abc ghi"], ["first", "second"], ["abc"]) == ["first"]


def test_repeated_questions_keep_their_order() -> None:
    asked = [PROMPTS[2], PROMPTS[0], PROMPTS[2]]
    assert copy_nearest(PROMPTS, TICKETS, asked) == ["billing", "hardware", "billing"]
    assert copy_nearest(PROMPTS, TICKETS, []) == []


def test_texts_without_words_are_no_accident() -> None:
    assert copy_nearest(["???", "x"], ["a", "b"], ["", "???", "日本語"]) == ["a", "a", "a"]


def test_completions_must_fit_the_prompts() -> None:
    with pytest.raises(InputError, match="2 training prompts with 1 completions"):
        copy_nearest(["a", "b"], ["x"], ["a"])
    with pytest.raises(InputError, match="at least one"):
        copy_nearest([], [], ["a"])
