"""ROUGE against rouge-score itself, digit by digit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from llmops.evaluation import measure
from llmops.evaluation.metrics.rouge import ngram_f1, subsequence_f1, tokens

KINDS = ["rouge1", "rouge2", "rougeL"]
# One-letter words too: rapidfuzz takes a single character for its number.
WORDS = st.sampled_from(["the", "cat", "dog", "a", "b", "97", "İstanbul", "don't", "naïve", "x", "日本", "K"])
TEXT = st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=20)
CORPUS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(CORPUS)
def test_values_equal_those_of_rouge_score_with_the_best_reference(corpus: list[tuple[str, list[str]]]) -> None:
    outputs, references = [list(part) for part in zip(*corpus, strict=True)]
    measured = measure(outputs, references, names=KINDS)
    scorer = RougeScorer(KINDS, use_stemmer=False)
    scores = [scorer.score_multi(texts, output) for output, texts in zip(outputs, references, strict=True)]
    for kind in KINDS:
        assert measured[kind].per_sample().tolist() == [100 * score[kind].fmeasure for score in scores]


def test_the_example_of_the_paper() -> None:
    # Lin 2004, section 3.1: S2 shares "police the gunman" with S1, S3 only "the gunman"; beta is 1 here.
    one, two, three = map(tokens, ("police killed the gunman", "police kill the gunman", "the gunman kill police"))
    assert subsequence_f1(two, one) == pytest.approx(3 / 4)
    assert subsequence_f1(three, one) == pytest.approx(2 / 4)
    assert ngram_f1(2, two, one) == ngram_f1(2, three, one) == pytest.approx(1 / 3)
