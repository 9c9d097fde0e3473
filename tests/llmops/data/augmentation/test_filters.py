"""Every filter on a case worked out by hand, and what the filters promise together."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.augmentation import FilterConfig
from llmops.data.augmentation.filters import answer_words, refusal, similarity
from llmops.data.augmentation.protected_text import names, numbers, placeholders

SOURCE = "Why did Ann pay $5 for {item} in two shops?"


@pytest.mark.parametrize(
    ("source", "changed", "expected", "reason"),
    [
        (SOURCE, "What made Ann pay $5 for {item} in two shops?", "fee", None),
        (SOURCE, " \n", "fee", "empty"),
        (SOURCE, "why did ann  pay $5 for {item} in two shops", "fee", "copy"),
        ("🙂", " 🙂", "smile", "copy"),
        (SOURCE, "What made Ann pay $5 for it in two shops?", "fee", "placeholders changed"),
        (SOURCE, "What made Ann pay $5 for {item} {item} in two shops?", "fee", "placeholders changed"),
        (SOURCE, "What made Ann pay $6 for {item} in two shops?", "fee", "numbers changed"),
        (SOURCE, "What made Ann pay $5 for {item} in three shops?", "fee", "numbers changed"),
        (SOURCE, "What made Ann pay $5 for {item} in 2 shops?", "fee", None),
        (SOURCE, "What made Tom pay $5 for {item} in two shops?", "fee", "names changed"),
        (SOURCE, "Ann did pay $5 for {item} in two shops, why?", "fee", None),
        (SOURCE, "Why did Ann not pay $5 for {item} in two shops?", "fee", "negation changed"),
        (SOURCE, "What made Ann pay $5 for {item} in two stores?", "payment in shops", "answer lost"),
        ("Is my card lost?", "Did my card get lost?", "lost_card", None),
        ("Is my card lost?", "Did my card vanish?", "lost_card", "answer lost"),
        ("a b c d e f", "a u v w x y z", "-", "too far"),
        ("really large", "really large and really large really", "-", "too far"),
    ],
)
def test_reason(source: str, changed: str, expected: str, reason: str | None) -> None:
    assert refusal(source, changed, expected, FilterConfig()) == reason


def test_bounds_are_inclusive() -> None:
    # Bags {a, b, c} and {a, b, d}: two of four in common.
    config = FilterConfig(similarity=(0.5, 0.5), length_ratio=(1, 1))
    assert refusal("a b c", "a b d", "", config) is None
    assert refusal("a b c", "a b c d", "", config) == "too close"
    assert refusal("a b c", "a d e", "", config) == "too far"


def test_similarity_counts_occurrences() -> None:
    assert similarity(["a", "a", "b"], ["a", "b", "b"]) == 2 / 4
    assert similarity([], []) == 1


def test_function_words_are_no_answer() -> None:
    assert answer_words("What is it of the Bridge?", "It is the bridge of 7") == {"bridge"}


PIECES = ["card", "Card", "ann", "Ann", "BNP", "5", "5.5", "$7", "two", "not", "{x}", "{{x}}", "<b>", "[SLOT]", "%s"]
WORDS = st.lists(st.sampled_from([*PIECES, "the", "a@b.org", ",", ".", "?"]), max_size=8).map(" ".join)


@settings(max_examples=50, deadline=None)
@given(WORDS, WORDS, WORDS)
def test_what_passes_keeps_what_it_must(source: str, changed: str, expected: str) -> None:
    if refusal(source, changed, expected, FilterConfig(similarity=(0, 1), length_ratio=(0, 100))) is not None:
        return
    assert Counter(placeholders(source)) == Counter(placeholders(changed))
    assert numbers(source) == numbers(changed)
    assert source.casefold().split() != changed.casefold().split()
    words = Counter(changed.replace(",", " ").replace(".", " ").split())
    assert all(words[name] for name in names(source))


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text())
def test_a_text_is_a_copy_of_itself(source: str, expected: str) -> None:
    assert refusal(source, source, expected, FilterConfig()) in ("copy", "empty")
