"""Word insertion: a word that adds nothing, where English takes one.

An adverb goes between a pronoun and its verb ("I actually bought") or after its form of *be* or modal ("it is
actually"), a word of politeness after "can you" and the like. Other places, and other languages, get nothing.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from llmops.data.augmentation.config import InsertionConfig
from llmops.data.augmentation.english_words import (
    AUXILIARIES,
    BE_AND_MODALS,
    FUNCTION_WORDS,
    NEGATIONS,
    PRONOUNS,
    REQUESTS,
)
from llmops.data.augmentation.protected_text import tokens
from llmops.data.augmentation.task import Task


def insert_words(tasks: Sequence[Task], config: InsertionConfig) -> list[str | None]:
    """Insert one word into each text; None where no place for one was found."""
    return [_insert(task, config) for task in tasks]


def _insert(task: Task, config: InsertionConfig) -> str | None:
    words = [match for kind, match in tokens(task.text) if kind == "word"]
    lower = [match[0].lower() for match in words]
    present = set(lower)
    adverbs = [word for word in config.adverbs if word.lower() not in present]
    politeness = [word for word in config.politeness if word.lower() not in present]
    options: list[tuple[int, list[str]]] = []
    for index, (left, right) in enumerate(pairwise(words)):
        if task.text[left.end() : right.start()] != " ":
            continue
        before = lower[index - 1] if index else ""
        if lower[index] == "you" and before in REQUESTS and _takes_politeness(lower[index + 1]):
            options.append((left.end(), politeness))
        elif _takes_adverb(before, lower[index], lower[index + 1], right):
            options.append((left.end(), adverbs))
    options = [(place, fitting) for place, fitting in options if fitting]
    if not options:
        return None
    random = task.random()
    place, fitting = random.choice(options)
    return f"{task.text[:place]} {random.choice(fitting)}{task.text[place:]}"


def _takes_politeness(after: str) -> bool:
    return after not in FUNCTION_WORDS or after in ("do", "get", "let")


def _takes_adverb(before: str, word: str, after: str, following: re.Match[str]) -> bool:
    if following[0] != after or after in NEGATIONS or "'" in after or "’" in after:
        return False
    if word in BE_AND_MODALS:
        # "it is | late", but not "is it late" nor "what it is | about".
        return before in PRONOUNS and after not in AUXILIARIES and after not in PRONOUNS
    subject = word in PRONOUNS and word not in ("it", "you")
    return subject and after not in FUNCTION_WORDS
