"""METEOR of answers: words matched by form, stem and WordNet synonyms, and how scattered the matches are.

Lavie and Agarwal 2007 as NLTK computes it (alpha 0.9, beta 3, gamma 0.5), on NLTK's Treebank words, the best
reference counting.
"""

import threading
from functools import cache
from typing import Any

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio

_lock = threading.Lock()  # NLTK's reader of WordNet is not made for several threads at once.


def _rows(answers: Answers) -> FloatArray:
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.translate.meteor_score import meteor_score

    words = NLTKWordTokenizer().tokenize
    with _lock:
        synonyms = _synonyms()
        return mean_rows(
            meteor_score([words(reference) for reference in references], words(output), wordnet=synonyms)
            for output, references in zip(answers.outputs, answers.references, strict=True)
        )


class _Synonyms:
    """WordNet as METEOR asks for it; each word is looked up once."""

    def __init__(self, reader: Any) -> None:
        self.synsets = cache(reader.synsets)


@cache
def _synonyms() -> _Synonyms:
    from llmops.data.augmentation.wordnet_files import find_wordnet, wordnet_reader
    from llmops.settings import settings

    try:
        folder = find_wordnet(None, settings().home)
    except InputError:
        raise InputError(
            "meteor needs WordNet, which is not on this machine; apt-get install wordnet-base wordnet-sense-index, or "
            "python -m nltk.downloader wordnet, or leave meteor out"
        ) from None
    return _Synonyms(wordnet_reader(folder))


METEOR_METRIC = Metric("meteor", "METEOR", "fraction", _rows, ratio, needs_references=True, parallel=True)
