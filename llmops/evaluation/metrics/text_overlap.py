"""BLEU, chrF and TER of answers against one or more references, as sacrebleu computes them.

With its defaults: 13a tokens and exponential smoothing; character 6-grams and beta 2; TER without normalisation and
in small letters. Values equal the library's. The sums are formed here so that thousands of resamples cost one matrix
product, and n-grams are counted for many answers at once, which is several times faster than a dictionary a text.
"""

from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from llmops.evaluation.metrics.metric import Answers, FloatArray, IntArray, Metric
from llmops.evaluation.metrics.shared_ngrams import character_numbers, shared_ngrams, word_numbers

BLEU_ORDER = 4
CHRF_ORDER = 6
CHRF_BETA = 2


def _bleu_rows(answers: Answers) -> FloatArray:
    """(n, 10): output length, closest reference length, 4 x matched n-grams, 4 x n-grams."""
    rows = np.zeros((len(answers), 2 + 2 * BLEU_ORDER))
    if not len(answers):
        return rows
    tokenize = _tokenizer()
    split = [
        [tokenize(text.rstrip()).split() for text in (output, *references)]
        for output, references in zip(answers.outputs, answers.references, strict=True)
    ]
    _forget(tokenize)
    counts = [len(texts) for texts in split]
    symbols, lengths = word_numbers([words for texts in split for words in texts])
    owner, side = np.repeat(np.arange(len(split)), counts), np.concatenate([np.arange(count) for count in counts])
    rows[:, 0] = output = lengths[side == 0]
    # The reference whose length is closest; of two equally close ones the shorter.
    rows[:, 1] = [min((abs(len(words) - len(texts[0])), len(words)) for words in texts[1:])[1] for texts in split]
    rows[:, 2 : 2 + BLEU_ORDER] = shared_ngrams(symbols, lengths, owner, side, BLEU_ORDER)
    rows[:, 2 + BLEU_ORDER :] = _possible(output, BLEU_ORDER)
    return rows


def _chrf_rows(answers: Answers) -> FloatArray:
    """(n, 18): for each order 1 to 6 the n-grams of the output, of the best reference, and those in both."""
    best = np.zeros((len(answers), 3 * CHRF_ORDER))
    if not len(answers):
        return best
    counts = [len(references) for references in answers.references]
    pairs = sum(counts)
    outputs = ["".join(output.split()) for output in answers.outputs]
    texts = [output for output, count in zip(outputs, counts, strict=True) for _ in range(count)]
    texts += ["".join(reference.split()) for references in answers.references for reference in references]
    symbols, lengths = character_numbers(texts)
    owner, side = np.tile(np.arange(pairs), 2), np.repeat([0, 1], pairs)
    rows = np.empty((pairs, 3 * CHRF_ORDER))
    output, reference = _possible(lengths[:pairs], CHRF_ORDER), _possible(lengths[pairs:], CHRF_ORDER)
    rows[:, 0::3] = np.where(reference > 0, output, 0)
    rows[:, 1::3] = reference
    rows[:, 2::3] = shared_ngrams(symbols, lengths, owner, side, CHRF_ORDER)
    scores, starts = chrf(rows), np.cumsum([0, *counts])
    for place, (start, stop) in enumerate(pairwise(starts.tolist())):
        best[place] = rows[start + scores[start:stop].argmax()]
    return best


def _ter_rows(answers: Answers) -> FloatArray:
    """(n, 2): the fewest edits to any reference, the mean length of the references in words."""
    from sacrebleu.metrics import TER  # takes a second to import

    if not len(answers):
        return np.zeros((0, 2))
    # One stream a reference position; None where an input has fewer references (sacrebleu's own padding).
    streams: list[Sequence[str | None]] = list(zip_longest(*answers.references))
    metric = TER()
    statistics = np.array(metric._extract_corpus_statistics(answers.outputs, streams), dtype=np.float64)
    _forget(metric.tokenizer)
    return statistics


def _possible(lengths: IntArray, orders: int) -> IntArray:
    """The n-grams that texts of these lengths have, (n, orders)."""
    possible: IntArray = np.maximum(lengths[:, None] - np.arange(orders), 0)
    return possible


def _tokenizer() -> Any:
    from sacrebleu.metrics import BLEU

    # sacrebleu's own default, mteval-v13a.
    return BLEU(max_ngram_order=BLEU_ORDER, force=True).tokenizer


def _forget(tokenizer: Any) -> None:
    # A tokenizer of sacrebleu remembers 65,536 texts for as long as the process lives: gigabytes, if they are long.
    while tokenizer is not None:
        remembered: Any = type(tokenizer).__call__
        remembered.cache_clear()
        tokenizer = getattr(tokenizer, "_post_tokenizer", None)


def bleu(sums: FloatArray) -> FloatArray:
    """Corpus BLEU, 0 to 100, from summed statistics (..., 10).

    Papineni et al. 2002, with the exponential smoothing of mteval-v13a that sacrebleu uses (Chen and Cherry
    2014, method 3): the m-th order without a match counts 1/2^m of a match.
    """
    output_length, reference_length = sums[..., 0], sums[..., 1]
    matched, possible = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    defined = (matched.sum(axis=-1) > 0) & (possible > 0).all(axis=-1)
    without_match = matched == 0
    smoothed = np.where(without_match, 0.5 ** np.cumsum(without_match, axis=-1), matched)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.exp(np.log(100 * smoothed / possible).mean(axis=-1))
        brevity = np.exp(np.minimum(0.0, 1 - reference_length / output_length))
        # A perfect score is 100.00000000000004 before rounding is undone.
        return np.where(defined, np.minimum(brevity * precision, 100.0), 0.0)


def chrf(sums: FloatArray) -> FloatArray:
    """Corpus chrF, 0 to 100, from summed statistics (..., 18).

    Popović 2015: F-score, beta 2, of character n-gram precision and recall, each the mean over the orders
    that occur in both output and reference (sacrebleu's effective order).
    """
    output, reference, both = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    counts = (output > 0) & (reference > 0)
    orders = np.maximum(counts.sum(axis=-1), 1)
    precision = np.where(counts, both / np.maximum(output, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(counts, both / np.maximum(reference, 1), 0.0).sum(axis=-1) / orders
    weighted = CHRF_BETA**2 * precision + recall
    score = (1 + CHRF_BETA**2) * precision * recall / np.where(weighted > 0, weighted, 1.0)
    return np.asarray(100 * score)


def ter(sums: FloatArray) -> FloatArray:
    """Corpus translation edit rate in percent, 0 or more, from summed statistics (..., 2): edits, reference length.

    Snover et al. 2006; 100 for an answer where all references are empty, 0 if it is empty too (sacrebleu).
    """
    edits, length = sums[..., 0], sums[..., 1]
    rate = edits / np.where(length > 0, length, 1.0)
    return np.asarray(100 * np.where(length > 0, rate, (edits > 0).astype(np.float64)))


BLEU_METRIC = Metric("bleu", "BLEU", "hundred", _bleu_rows, bleu, needs_references=True, parallel=True)
CHRF_METRIC = Metric("chrf", "chrF", "hundred", _chrf_rows, chrf, needs_references=True, parallel=True)
TER_METRIC = Metric(
    "ter", "TER", "number", _ter_rows, ter, higher_is_better=False, needs_references=True, parallel=True
)
