"""The n-grams that answers share with their references, counted for many answers at once.

A text is a row of symbols (characters or words) by number. The n-grams of all texts are sorted together, so that a few
passes over arrays stand for a dictionary a text; the counts are exact, n-grams are never hashed.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from llmops.evaluation.metrics.metric import FloatArray, IntArray

_LARGEST = 2**62


def character_numbers(texts: Sequence[str]) -> tuple[IntArray, IntArray]:
    """The characters of all texts, one text after the other, numbered from 0 without gaps; the texts' lengths."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    number = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
    number[codes] = 1
    return (np.cumsum(number) - 1)[codes], np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


def word_numbers(texts: Sequence[Sequence[Hashable]]) -> tuple[IntArray, IntArray]:
    """The same for texts that are split into words."""
    known: dict[Hashable, int] = {}
    numbers: Iterable[int] = (known.setdefault(word, len(known)) for words in texts for word in words)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return np.fromiter(numbers, dtype=np.int64, count=int(lengths.sum())), lengths


def shared_ngrams(symbols: IntArray, lengths: IntArray, owner: IntArray, side: IntArray, orders: int) -> FloatArray:
    """For each owner and each order 1 to `orders` the n-grams of its output that its references have too.

    An n-gram counts as often as it occurs in the output, but at most as often as in the one reference that has it most
    often (the clipped count of Papineni et al. 2002).

    symbols: of t texts, one after the other, numbered from 0. lengths: (t,). owner: (t,) from 0, the answer a text
    belongs to. side: (t,) 0 for the output, 1, 2, … for the references. Returns (owners, orders).
    """
    owners, sides, kinds = int(owner.max()) + 1, int(side.max()) + 1, int(symbols.max(initial=0)) + 1
    shared = np.zeros((owners, orders))
    place, end = np.arange(len(symbols)), np.repeat(np.cumsum(lengths), lengths)
    whose, which = np.repeat(owner, lengths), np.repeat(side, lengths)
    ngrams, distinct = symbols, kinds
    for order in range(1, orders + 1):
        if order > 1:
            if distinct * kinds * owners * sides >= _LARGEST:
                present, ngrams = np.unique(ngrams, return_inverse=True)
                distinct = len(present)
            kept = place + order <= end
            place, end, whose, which, ngrams = (column[kept] for column in (place, end, whose, which, ngrams))
            ngrams, distinct = ngrams * kinds + symbols[place + order - 1], distinct * kinds
        if not len(place):
            break
        # Sorted, an n-gram's occurrences in the output come first, then those in each reference.
        keys = np.sort((whose * distinct + ngrams) * sides + which)
        first = _beginnings(keys)
        counts = np.diff(first, append=len(keys))
        ngram, text = np.divmod(keys[first], sides)
        start = _beginnings(ngram)
        in_output = np.where(text[start] == 0, counts[start], 0)
        in_reference = np.maximum.reduceat(np.where(text == 0, 0, counts), start)
        clipped = np.minimum(in_output, in_reference)
        shared[:, order - 1] = np.bincount(ngram[start] // distinct, weights=clipped, minlength=owners)
    return shared


def _beginnings(ordered: IntArray) -> IntArray:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
