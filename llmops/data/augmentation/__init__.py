"""Augmentation: more training samples from those there are, with other inputs and the same expected text.

====================  ======================================================================
``config``            which methods make how many samples, and what the filters let through
``augment``           `Augmenter`: all methods and filters over a batch of samples
``task``              one copy to be made, with a random state of its own
``synonyms``          words replaced by synonyms of a ``dictionary``:
                      ``thesaurus`` (a person's file) or ``wordnet`` (found by ``wordnet_files``)
``inflection``        regular plurals and verb forms of English
``insertion``         a word that adds nothing, put where English takes it
``paraphrase``        a model writes the input in other words
``back_translation``  a model or two translate it there and back; ``translation_model`` loads one
``filters``           why a changed input is refused; ``protected_text`` is what must survive
``english_words``     short lists of words that the rules above need
====================  ======================================================================
"""

from llmops.data.augmentation.augment import Augmented, Augmenter
from llmops.data.augmentation.config import (
    AugmentationConfig,
    BackTranslationConfig,
    FilterConfig,
    InsertionConfig,
    ParaphraseConfig,
    SynonymConfig,
)

__all__ = [
    "AugmentationConfig",
    "Augmented",
    "Augmenter",
    "BackTranslationConfig",
    "FilterConfig",
    "InsertionConfig",
    "ParaphraseConfig",
    "SynonymConfig",
]
