"""Metrics of a generated text against one or more references.

BLEU and chrF are sacrebleu's (its defaults: 13a tokens, exponential smoothing; character 6-grams, beta 2),
ROUGE is rouge-score's F1 without stemming, the best reference counting as in its `score_multi`. Their values
equal those of the two libraries; the sums are formed here so that thousands of resamples cost one matrix
product.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.base import Metric as SacreMetric

from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, ratio

BLEU_ORDER = 4
CHRF_ORDER = 6
CHRF_BETA = 2


def _exact_match_rows(answers: Answers) -> FloatArray:
    right = [
        output.strip() in {reference.strip() for reference in references}
        for output, references in zip(answers.outputs, answers.references, strict=True)
    ]
    return np.column_stack([right, np.ones(len(right))]).astype(np.float64)


def _sacrebleu_rows(metric: SacreMetric, answers: Answers) -> FloatArray:
    # One stream a reference position; None where an input has fewer references (sacrebleu's own padding).
    streams: list[Sequence[str | None]] = list(zip_longest(*answers.references))
    return np.array(metric._extract_corpus_statistics(answers.outputs, streams), dtype=np.float64)


def _bleu_rows(answers: Answers) -> FloatArray:
    """(n, 10): output length, closest reference length, 4 x matched n-grams, 4 x n-grams."""
    # force silences a warning about texts that look tokenised; the values do not depend on it.
    return _sacrebleu_rows(BLEU(max_ngram_order=BLEU_ORDER, force=True), answers)


def _chrf_rows(answers: Answers) -> FloatArray:
    """(n, 18): for each order 1 to 6 the n-grams of the output, of the best reference, and those in both."""
    return _sacrebleu_rows(CHRF(char_order=CHRF_ORDER, beta=CHRF_BETA), answers)


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


def _rouge_rows(kind: str) -> Callable[[Answers], FloatArray]:
    def rows(answers: Answers) -> FloatArray:
        from rouge_score.rouge_scorer import RougeScorer  # takes over a second to import

        scorer = RougeScorer([kind], use_stemmer=False)
        f1 = [
            scorer.score_multi(references, output)[kind].fmeasure
            for output, references in zip(answers.outputs, answers.references, strict=True)
        ]
        return np.column_stack([100 * np.array(f1, dtype=np.float64), np.ones(len(f1))])

    return rows


TEXT_METRICS = (
    Metric("exact_match", "exact match", "share", _exact_match_rows, ratio),
    Metric("bleu", "BLEU", "hundred", _bleu_rows, bleu),
    Metric("chrf", "chrF", "hundred", _chrf_rows, chrf),
    Metric("rouge1", "ROUGE-1", "hundred", _rouge_rows("rouge1"), ratio),
    Metric("rouge2", "ROUGE-2", "hundred", _rouge_rows("rouge2"), ratio),
    Metric("rougeL", "ROUGE-L", "hundred", _rouge_rows("rougeL"), ratio),
)
