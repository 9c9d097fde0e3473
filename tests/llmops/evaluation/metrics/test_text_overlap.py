"""The values of sacrebleu and rouge-score themselves, on whole corpora and on any subset of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from llmops.evaluation import measure
from llmops.evaluation.metrics.text_overlap import bleu, chrf

WORDS = st.sampled_from(["the", "cat", "dog", "sat", "on", "a", "mat.", "Ürban,", "42", "$5.00", "don't", "x"])
TEXT = st.lists(WORDS, max_size=9).map(" ".join)
CORPUS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=8)


def padded(references: list[list[str]]) -> list[list[str | None]]:
    longest = max(map(len, references))
    return [[texts[place] if place < len(texts) else None for texts in references] for place in range(longest)]


def test_bleu_of_the_corpus_sacrebleu_publishes() -> None:
    outputs = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    references = [
        ["The dog bit the man.", "The dog had bit the man."],
        ["It was not unexpected.", "No one was surprised."],
        ["The man bit him first.", "The man had bitten the dog."],
    ]
    assert measure(outputs, references, names=["bleu"])["bleu"].value == pytest.approx(48.530827, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(CORPUS)
def test_bleu_and_chrf_equal_sacrebleu_with_ragged_references(corpus: list[tuple[str, list[str]]]) -> None:
    outputs, references = [list(part) for part in zip(*corpus, strict=True)]
    measured = measure(outputs, references, names=["bleu", "chrf"])
    streams = padded(references)
    assert measured["bleu"].value == pytest.approx(BLEU().corpus_score(outputs, streams).score, abs=1e-9)
    assert measured["chrf"].value == pytest.approx(CHRF().corpus_score(outputs, streams).score, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(CORPUS, st.randoms(use_true_random=False))
def test_every_resample_is_scored_as_sacrebleu_would(corpus, random) -> None:  # type: ignore[no-untyped-def]
    outputs, references = [list(part) for part in zip(*corpus, strict=True)]
    measured = measure(outputs, references, names=["bleu", "chrf"])
    drawn = [[random.randrange(len(outputs)) for _ in outputs] for _ in range(5)]
    weights = np.array([np.bincount(places, minlength=len(outputs)) for places in drawn])
    all_bleu, all_chrf = bleu(weights @ measured["bleu"].rows), chrf(weights @ measured["chrf"].rows)
    for places, one_bleu, one_chrf in zip(drawn, all_bleu, all_chrf, strict=True):
        texts, streams = [outputs[i] for i in places], padded([references[i] for i in places])
        assert one_bleu == pytest.approx(BLEU().corpus_score(texts, streams).score, abs=1e-9)
        assert one_chrf == pytest.approx(CHRF().corpus_score(texts, streams).score, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(CORPUS)
def test_rouge_equals_rouge_score_with_the_best_reference(corpus: list[tuple[str, list[str]]]) -> None:
    outputs, references = [list(part) for part in zip(*corpus, strict=True)]
    kinds = ["rouge1", "rouge2", "rougeL"]
    measured = measure(outputs, references, names=kinds)
    scorer = RougeScorer(kinds, use_stemmer=False)
    scores = [scorer.score_multi(texts, output) for output, texts in zip(outputs, references, strict=True)]
    for kind in kinds:
        expected = 100 * np.mean([score[kind].fmeasure for score in scores])
        assert measured[kind].value == pytest.approx(expected, abs=1e-9)
        assert measured[kind].per_sample() == pytest.approx([100 * score[kind].fmeasure for score in scores])


def test_exact_match_takes_any_reference_and_ignores_surrounding_space() -> None:
    outputs = [" yes\n", "Yes", "no", "no "]
    references = [["yes"], ["yes"], ["maybe", " no"], ["no", "not at all"]]
    measured = measure(outputs, references, names=["exact_match"])["exact_match"]
    assert measured.per_sample().tolist() == [1, 0, 1, 1]
    assert measured.value == 0.75


def test_a_perfect_corpus_scores_exactly_100() -> None:
    texts = ["the quick brown fox jumps", "over the lazy dog again", "and once more it does"]
    measured = measure(texts, [[text] for text in texts], names=["bleu", "chrf", "rougeL"])
    assert {one.value for one in measured.values()} == {100.0}
