"""Whether an answer is, or holds, one of the right answers, compared as text."""

import re
import string
from collections import Counter

from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """A text in small letters without punctuation, articles and surplus white space.

    SQuAD's normalisation (Rajpurkar et al. 2016, evaluate-v1.1.py).

    >>> normalized(" The  Eiffel-Tower, a.k.a. “la dame”! ")
    'eiffeltower aka “la dame”'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def token_f1(output: str, reference: str) -> float:
    """F1 of the words that two texts share after SQuAD's normalisation; 1 where neither has a word.

    >>> round(token_f1("in the city of Paris", "Paris"), 3)
    0.4
    """
    given, right = normalized(output).split(), normalized(reference).split()
    if not given or not right:
        return float(given == right)
    shared = sum((Counter(given) & Counter(right)).values())
    return 2 * shared / (len(given) + len(right))


def _holds(output: str, reference: str) -> bool:
    # Whole words: "cat" is not in "concatenated"; an empty reference is in nothing but an empty answer.
    return f" {reference} " in f" {output} " if reference else not output


def _exact_rows(answers: Answers) -> FloatArray:
    return mean_rows(
        output.strip() in {reference.strip() for reference in references}
        for output, references in zip(answers.outputs, answers.references, strict=True)
    )


def _normalized_rows(answers: Answers) -> FloatArray:
    return mean_rows(
        normalized(output) in {normalized(reference) for reference in references}
        for output, references in zip(answers.outputs, answers.references, strict=True)
    )


def _contains_rows(answers: Answers) -> FloatArray:
    return mean_rows(
        any(_holds(normalized(output), normalized(reference)) for reference in references)
        for output, references in zip(answers.outputs, answers.references, strict=True)
    )


def _token_f1_rows(answers: Answers) -> FloatArray:
    return mean_rows(
        max(token_f1(output, reference) for reference in references)
        for output, references in zip(answers.outputs, answers.references, strict=True)
    )


EXACT_MATCH = Metric("exact_match", "exact match", "share", _exact_rows, ratio, needs_references=True)
MATCH_METRICS = (
    Metric("normalized_match", "normalised match", "share", _normalized_rows, ratio, needs_references=True),
    Metric("contains_reference", "contains a reference", "share", _contains_rows, ratio, needs_references=True),
    Metric("token_f1", "token F1", "fraction", _token_f1_rows, ratio, needs_references=True),
)
