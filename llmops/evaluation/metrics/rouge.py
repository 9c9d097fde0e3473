"""ROUGE-1, ROUGE-2 and ROUGE-L of answers (Lin 2004), with the values of the library rouge-score.

F1 without stemming; of several references the best counts, as in rouge-score's `score_multi`. That library fills a
table in Python for the longest common subsequence and splits the texts anew for each reference; here rapidfuzz finds
its length with bit operations, and texts are split once for all three.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial

from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio

_TOKEN = re.compile(r"[a-z0-9]+")
_REMEMBERED = 4096  # Texts: those of one chunk of answers, for the three metrics.
Overlap = Callable[[Sequence[str], Sequence[str]], float]


@lru_cache(_REMEMBERED)
def tokens(text: str) -> tuple[str, ...]:
    """rouge-score's words: runs of a to z and digits, in small letters."""
    return tuple(_TOKEN.findall(text.lower()))


def ngram_f1(order: int, output: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the n-grams that two texts share (ROUGE-N).

    >>> round(ngram_f1(2, tokens("the cat sat"), tokens("the cat ran off")), 3)
    0.4
    """
    given, right = _ngrams(output, order), _ngrams(reference, order)
    shared = sum(min(count, given[ngram]) for ngram, count in right.items() if ngram in given)
    return _f1(shared, max(len(output) - order + 1, 0), max(len(reference) - order + 1, 0))


def subsequence_f1(output: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words (ROUGE-L).

    >>> round(subsequence_f1(tokens("the cat sat"), tokens("the black cat ran")), 3)
    0.571
    """
    from rapidfuzz.distance import LCSseq

    # By number, because rapidfuzz takes a one-letter word for the number of its character.
    numbers = {word: number for number, word in enumerate({*output, *reference})}
    shared = LCSseq.similarity([numbers[word] for word in output], [numbers[word] for word in reference])
    return _f1(shared, len(output), len(reference))


def _ngrams(words: Sequence[str], order: int) -> Counter[Hashable]:
    return Counter(words) if order == 1 else Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _f1(shared: int, given: int, right: int) -> float:
    # In the order in which rouge-score computes it, so that not even the last digit differs.
    precision, recall = shared / max(given, 1), shared / max(right, 1)
    return 2 * precision * recall / (precision + recall) if shared else 0.0


def _rows(overlap: Overlap, answers: Answers) -> FloatArray:
    return mean_rows(
        100 * max(overlap(tokens(output), tokens(reference)) for reference in references)
        for output, references in zip(answers.outputs, answers.references, strict=True)
    )


def _metric(name: str, label: str, overlap: Overlap) -> Metric:
    return Metric(name, label, "hundred", partial(_rows, overlap), ratio, needs_references=True, parallel=True)


ROUGE_METRICS = (
    _metric("rouge1", "ROUGE-1", partial(ngram_f1, 1)),
    _metric("rouge2", "ROUGE-2", partial(ngram_f1, 2)),
    _metric("rougeL", "ROUGE-L", subsequence_f1),
)
