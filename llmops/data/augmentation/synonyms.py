"""Synonym replacement: some words of the input, and all their occurrences alike, become synonyms of theirs.

After Wei & Zou, "EDA: Easy Data Augmentation Techniques" (2019), with more care about what is replaced.
"""

import re
from collections.abc import Sequence

from llmops.data.augmentation.dictionary import Dictionary, Entry
from llmops.data.augmentation.english_words import NUMBERS
from llmops.data.augmentation.filters import answer_words
from llmops.data.augmentation.protected_text import names, own_form, tokens
from llmops.data.augmentation.task import Task

_PHRASE_GAP = re.compile(r"[ \t]+")
_VOWELS = frozenset("aeiou")
# The letter does not tell whether these begin with a vowel's sound.
_UNSURE = frozenset("uho")


def replace_synonyms(tasks: Sequence[Task], dictionary: Dictionary, share: float) -> list[str | None]:
    """Replace about this share of the words of each text, at least one; None where no word has a synonym."""
    return [_replace(task, dictionary, share) for task in tasks]


def _replace(task: Task, dictionary: Dictionary, share: float) -> str | None:
    found = tokens(task.text)
    places: dict[str, list[tuple[re.Match[str], Entry]]] = {}
    for match, entry in _replaceable(task, found, dictionary):
        places.setdefault(entry.lemma, []).append((match, entry))
    random = task.random()
    lemmas = sorted(places)
    random.shuffle(lemmas)
    wanted = max(1, round(share * len(found)))
    new: list[tuple[re.Match[str], str]] = []
    replaced = 0
    for lemma in lemmas:
        common = set.intersection(*(set(entry.synonyms) for _, entry in places[lemma]))
        fitting = sorted(name for name in common if _fits(task.text, name, places[lemma]))
        if fitting and replaced < wanted:
            chosen = random.choice(fitting)
            new += [(match, entry.synonyms[chosen]) for match, entry in places[lemma]]
            replaced += 1
    if not new:
        return None
    return _with_replaced(task.text, new)


def _replaceable(
    task: Task, found: list[tuple[str, re.Match[str]]], dictionary: Dictionary
) -> list[tuple[re.Match[str], Entry]]:
    kept = answer_words(task.text, task.expected)
    named = names(task.text)
    places = []
    for index, (kind, match) in enumerate(found):
        word = match[0]
        if kind != "word" or own_form(word) != word or word in named or word.lower() in kept or word.lower() in NUMBERS:
            continue
        start, end = match.span()
        if task.text[start - 1 : start] in ("-", "_") or task.text[end : end + 1] in ("-", "_"):
            continue
        entry = dictionary.entry(word, _neighbour(task.text, found, index, -1), _neighbour(task.text, found, index, 1))
        if entry is not None:
            places.append((match, entry))
    return places


def _neighbour(text: str, found: list[tuple[str, re.Match[str]]], index: int, step: int) -> str:
    """The word before (-1) or after (1) in small letters, or "" where anything but blanks lies between."""
    if not 0 <= index + step < len(found):
        return ""
    left, right = sorted((found[index][1], found[index + step][1]), key=lambda match: match.start())
    gap = text[left.end() : right.start()]
    return found[index + step][1][0].lower() if _PHRASE_GAP.fullmatch(gap) else ""


def _fits(text: str, name: str, places: list[tuple[re.Match[str], Entry]]) -> bool:
    """Whether a synonym leaves every "a" and "an" before it right, and is not in the text already."""
    if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE):
        return False
    for match, entry in places:
        article = re.search(r"\b(an?)[ \t]+$", text[: match.start()][-8:], re.IGNORECASE)
        if article is None:
            continue
        first = entry.synonyms[name][0].lower()
        if first in _UNSURE or (first in _VOWELS) != (article[1].lower() == "an"):
            return False
    return True


def _with_replaced(text: str, new: list[tuple[re.Match[str], str]]) -> str:
    parts, end = [], 0
    for match, written in sorted(new, key=lambda pair: pair[0].start()):
        parts += [text[end : match.start()], written]
        end = match.end()
    return "".join([*parts, text[end:]])
