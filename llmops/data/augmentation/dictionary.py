"""What synonym replacement asks of a thesaurus or of WordNet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """A word's lemma, and its synonyms in the form of the word.

    Attributes:
        lemma: shared by all forms of the word; a text gets one synonym for all of them.
        synonyms: from the lemma of each synonym to how it is written in place of the word.
    """

    lemma: str
    synonyms: Mapping[str, str]


class Dictionary(Protocol):
    """Looks words up; may be called from several threads."""

    def entry(self, word: str, before: str, after: str) -> Entry | None:
        """Synonyms that fit between the word before and the word after ("" at either end of a phrase)."""
        ...
