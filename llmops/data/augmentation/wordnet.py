"""Synonyms from WordNet that fit without a tagger: few, but seldom silly.

A word gets a synonym only where one part of speech and one meaning stand out in WordNet's counts of tagged text,
the same meaning stands out for the synonym, and the synonym is about as usual. So "buy" becomes "purchase", and
"can", "card" and "Mark" stay what they are.
"""

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmops.data.augmentation.dictionary import Entry
from llmops.data.augmentation.english_words import BEFORE_VERBS, FUNCTION_WORDS, NUMBERS, PARTICLES
from llmops.data.augmentation.inflection import inflected
from llmops.data.augmentation.wordnet_files import find_wordnet, wordnet_reader

NOUN, VERB, ADJECTIVE, ADVERB = "n", "v", "a", "r"
# Shares of a word's uses that make a part of speech or a sense its usual one. These and the bounds below were chosen
# by reading what became of customer messages and of mathematical problems.
MAIN_PART_OF_SPEECH = 0.85
SYNONYMS_PART_OF_SPEECH = 0.5
MAIN_SENSE = 0.65
# A sense that the tagged text never met still counts a little against the others.
UNSEEN = 0.2
# Below these, WordNet's synonyms are mostly words that nobody uses: "motorcar", "necessitate".
LEAST_COUNT = 5
LEAST_RATIO = 0.11
# A word met less often than this says little about what it usually means.
LEAST_EVIDENCE = 5


@dataclass(frozen=True)
class _Known:
    """A word that has synonyms: its part of speech, its entry, and whether it may be a noun as well as a verb."""

    part: str
    entry: Entry
    noun_or_verb: bool


class WordNet:
    """Synonyms by WordNet's counts of senses; every word is looked up once and then remembered."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._known: dict[str, _Known | None] = {}
        self._irregular = {part: self._exceptions(file) for part, file in ((NOUN, "noun.exc"), (VERB, "verb.exc"))}
        self._forms: dict[tuple[str, str], list[str]] = {}
        for part, lemmas in self._irregular.items():
            for form, lemma in lemmas.items():
                self._forms.setdefault((lemma, part), []).append(form)
        with reader.open("cntlist.rev") as lines:
            # Each line: sense key, number of the sense, count. NLTK's own Lemma.count searches the file every time.
            self._counts = {key: int(count) for key, _, count in (line.split() for line in lines)}

    @staticmethod
    def load(folder: Path | None, home: Path) -> "WordNet":
        """Open the WordNet of a folder, or the one that is found or can be built (see `find_wordnet`).

        Raises:
            InputError: there is none.
        """
        return _opened(find_wordnet(folder, home))

    def entry(self, word: str, before: str, after: str) -> Entry | None:
        """Synonyms of a word in small letters, unless its neighbours show another use of it than its usual one."""
        if word not in self._known:
            with self._lock:
                self._known[word] = self._look_up(word)
        known = self._known[word]
        if known is None or not _is_usual(known, before, after):
            return None
        joined = [f"{before}_{word}"] * bool(before) + [f"{word}_{after}"] * bool(after)
        with self._lock:
            part_of_expression = any(self._is_lemma(expression) for expression in joined)
        return None if part_of_expression else known.entry

    def _look_up(self, word: str) -> _Known | None:
        if not _is_plain(word):
            return None
        weights = self._weights(word)
        lemma, part = _main(weights, MAIN_PART_OF_SPEECH)
        ending = self._ending(word, lemma, part)
        meaning = self._main_sense(lemma, part)
        if ending is None or meaning is None:
            return None
        met = self._count_of(lemma, meaning)
        if met < LEAST_EVIDENCE:
            return None
        least = max(LEAST_COUNT, LEAST_RATIO * met)
        synonyms = {}
        for other in meaning.lemmas():
            name = other.name()
            if not _is_plain(name) or name.startswith(lemma) or lemma.startswith(name) or self._count(other) < least:
                continue
            form = self._inflect(name, ending, part)
            if form and self._is_used_for(name, part, meaning):
                synonyms[name] = form
        parts = {part for _, part in weights}
        return _Known(part, Entry(lemma, synonyms), {NOUN, VERB} <= parts) if synonyms else None

    def _is_used_for(self, name: str, part: str, meaning: Any) -> bool:
        # Its new neighbours show the part of speech, so that need not stand out as it must for the word itself.
        usual = _main(self._weights(name), SYNONYMS_PART_OF_SPEECH) == (name, part)
        return usual and self._ending(name, name, part) == "" and self._main_sense(name, part) == meaning

    def _weights(self, word: str) -> dict[tuple[str, str], float]:
        """The lemmas and parts of speech that a word may be a form of, and how often each of them is met."""
        lemmas = {part: self._reader.morphy(word, part) for part in (NOUN, VERB, ADJECTIVE, ADVERB)}
        return {
            (lemma, part): sum(weight for weight, _ in self._senses(lemma, part))
            for part, lemma in lemmas.items()
            if lemma is not None
        }

    def _main_sense(self, lemma: str, part: str) -> Any:
        """The set of synonyms that a lemma nearly always belongs to as this part of speech, or None."""
        senses = self._senses(lemma, part) if lemma else []
        if not senses:
            return None
        weight, synset = max(senses, key=lambda sense: sense[0])
        return synset if weight >= MAIN_SENSE * sum(weight for weight, _ in senses) else None

    def _senses(self, lemma: str, part: str) -> list[tuple[float, Any]]:
        # A capitalised lemma (Mark, May) is another word, but it counts: it shows that this one is ambiguous.
        return [
            (self._count_of(lemma, synset) + UNSEEN, synset)
            for synset in self._reader.synsets(lemma, part, check_exceptions=False)
            if any(own.name().lower() == lemma for own in synset.lemmas())
        ]

    def _count_of(self, lemma: str, synset: Any) -> int:
        return sum(self._count(own) for own in synset.lemmas() if own.name().lower() == lemma)

    def _count(self, lemma: Any) -> int:
        return self._counts.get(lemma.key(), 0)

    def _ending(self, word: str, lemma: str, part: str) -> str | None:
        """Which form of its lemma a word is, by the ending that regular words have there; None if it cannot be told."""
        if part not in self._irregular:
            # Comparatives ask for more than another word: "older than".
            return "" if word == lemma and not word.endswith(("er", "est")) else None
        if word in self._irregular[part]:
            # What is a form of another word too ("found", "left") or of several tenses ("put") cannot be told.
            if word == lemma:
                return None
            return "s" if part == NOUN else "ing" if word.endswith("ing") else "ed"
        endings = ("", "s") if part == NOUN else ("", "s", "ed", "ing")
        return next((ending for ending in endings if word == inflected(lemma, ending)), None)

    def _inflect(self, lemma: str, ending: str, part: str) -> str | None:
        """The form of a lemma where regular words have this ending, if there is just one."""
        if not ending:
            return lemma
        forms = self._forms.get((lemma, part), [])
        if part == VERB:
            # "chose" and "chosen" stand in the place of one "selected".
            forms = (
                [form for form in forms if form[-3:] == "ing"]
                if ending == "ing"
                else [form for form in forms if form[-3:] != "ing" and form.endswith("s") == (ending == "s")]
            )
        elif lemma.endswith("s"):
            return None
        form = forms[0] if forms else inflected(lemma, ending)
        return form if len(forms) < 2 and self._reader.morphy(form, part) == lemma else None

    def _is_lemma(self, name: str) -> bool:
        return any(self._reader.morphy(name, part) is not None for part in (NOUN, VERB, ADVERB))

    def _exceptions(self, file: str) -> dict[str, str]:
        with self._reader.open(file) as lines:
            return {form: lemma for form, lemma, *_ in (line.split() for line in lines if line.strip())}


@cache
def _opened(data: Path | None) -> WordNet:
    # Once in a process: reading takes seconds and 300 MB, and NLTK's reader must stay behind one lock.
    return WordNet(wordnet_reader(data))


def _is_plain(word: str) -> bool:
    """Whether a word may be replaced, or put in place of another."""
    written = word.isascii() and word.isalpha() and word.islower() and len(word) > 2
    return written and word not in FUNCTION_WORDS and word not in NUMBERS


def _main(weights: dict[tuple[str, str], float], share: float) -> tuple[str, str]:
    """The lemma and part of speech that a word has in at least this share of its uses, or two empty texts."""
    if not weights:
        return "", ""
    main = max(weights, key=lambda key: weights[key])
    return main if weights[main] >= share * sum(weights.values()) else ("", "")


def _is_usual(known: _Known, before: str, after: str) -> bool:
    """Whether the neighbours of a word ("" for none) agree with the part of speech that it usually has."""
    if known.part == NOUN:
        # Before another noun it is part of a compound: "auto top-up".
        followed = not after or after in FUNCTION_WORDS or "'" in after or "’" in after
        return followed and after != "of" and not (known.noun_or_verb and before in BEFORE_VERBS)
    if known.part == VERB:
        return after not in PARTICLES and (not known.noun_or_verb or before in BEFORE_VERBS)
    return after not in PARTICLES
