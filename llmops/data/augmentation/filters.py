"""Why a changed input is refused: it may not lose what the expected text rests on, nor say something else."""

from collections import Counter

from llmops.data.augmentation.config import FilterConfig
from llmops.data.augmentation.english_words import FUNCTION_WORDS
from llmops.data.augmentation.protected_text import (
    bag_of_words,
    is_negated,
    names,
    numbers,
    placeholders,
    word_counts,
)


def refusal(source: str, changed: str, expected: str, config: FilterConfig) -> str | None:
    """The reason why `changed` cannot stand for `source`, or None where it can.

    Numbers, names and placeholders must occur as often as they did; every word of the source that also stands
    in the expected text must still be there; the share of common words and the length must be within bounds.

    >>> refusal("Why was I charged $5?", "Why was I billed $6?", "card_fee", FilterConfig())
    'numbers changed'
    >>> refusal("Why was I charged $5?", "Why was I billed $5?", "card_fee", FilterConfig()) is None
    True
    """
    old, new = bag_of_words(source), bag_of_words(changed)
    if not changed.strip():
        return "empty"
    if old == new and (old or source.split() == changed.split()):
        return "copy"
    if placeholders(source) != placeholders(changed):
        return "placeholders changed"
    if numbers(source) != numbers(changed):
        return "numbers changed"
    if not _names_survive(source, changed):
        return "names changed"
    if is_negated(source) != is_negated(changed):
        return "negation changed"
    if not answer_words(source, expected) <= set(new):
        return "answer lost"
    return _distance_refusal(old, new, config)


def answer_words(source: str, expected: str) -> set[str]:
    """The words and values of an input that the expected text repeats, function words left out.

    >>> sorted(answer_words("Where is the new card?", "card_arrival of the card"))
    ['card']
    """
    return (set(bag_of_words(source)) & set(bag_of_words(expected))) - FUNCTION_WORDS


def similarity(old: list[str], new: list[str]) -> float:
    """Jaccard index of two bags of words: shared occurrences over all occurrences, 0 to 1.

    >>> similarity(["a", "b", "b"], ["b", "c"])
    0.25
    """
    left, right = Counter(old), Counter(new)
    union = (left | right).total()
    return (left & right).total() / union if union else 1.0


def _names_survive(source: str, changed: str) -> bool:
    # A name may move to or from the beginning of a sentence, where it cannot be told from other words.
    before, after = word_counts(source), word_counts(changed)
    return all(before[name] == after[name] for name in names(source) | names(changed))


def _distance_refusal(old: list[str], new: list[str], config: FilterConfig) -> str | None:
    lowest, highest = config.similarity
    common = similarity(old, new)
    if common > highest:
        return "too close"
    shortest, longest = config.length_ratio
    if common < lowest or not shortest * len(old) <= len(new) <= longest * len(old):
        return "too far"
    return None
