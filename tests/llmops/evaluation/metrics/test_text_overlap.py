"""The values of sacrebleu itself, on whole corpora, on single answers and on any subset of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER

from llmops.evaluation import measure
from llmops.evaluation.metrics.text_overlap import bleu, chrf

# Unicode, white space that sacrebleu splits at, tokens it rewrites, and texts that share nothing.
ODD = st.text(alphabet="ab cd.,-&;\n\t\u00a0\u2028éß日本語🙂\U0001f468\u200d0019", max_size=40)
WORDS = st.sampled_from(["the", "cat", "dog", "sat", "on", "a", "mat.", "Ürban,", "42", "$5.00", "don't", "x"])
TEXT = st.lists(WORDS, max_size=9).map(" ".join) | ODD
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


@settings(max_examples=80, deadline=None)
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


def test_a_perfect_corpus_scores_exactly_100() -> None:
    texts = ["the quick brown fox jumps", "over the lazy dog again", "and once more it does"]
    measured = measure(texts, [[text] for text in texts], names=["bleu", "chrf", "rougeL"])
    assert {one.value for one in measured.values()} == {100.0}


@settings(max_examples=80, deadline=None)
@given(CORPUS)
def test_each_answer_has_the_statistics_of_sacrebleu(corpus: list[tuple[str, list[str]]]) -> None:
    outputs, references = [list(part) for part in zip(*corpus, strict=True)]
    measured = measure(outputs, references, names=["bleu", "chrf", "ter"])
    for place, (output, texts) in enumerate(corpus):
        found = BLEU(effective_order=True).sentence_score(output, texts)
        expected = [found.sys_len, found.ref_len, *found.counts, *found.totals]
        assert measured["bleu"].rows[place].tolist() == expected
        streams = [[text] for text in texts]
        assert measured["chrf"].rows[place].tolist() == CHRF()._extract_corpus_statistics([output], streams)[0]
        assert measured["ter"].per_sample()[place] == pytest.approx(TER().sentence_score(output, texts).score)
    assert measured["ter"].value == pytest.approx(TER().corpus_score(outputs, padded(references)).score, abs=1e-9)


@pytest.mark.parametrize(
    ("outputs", "references", "score"),
    [
        # sacrebleu's test_ter.py: examples of Tercom.
        (["test string"], [["aaaa bbbb"]], 100.0),
        (["aaaa bbbb cccc"], [["aaaa bbbb cccc"]], 0.0),
        (["a b c d e f g"], [["f g a b c d e"]], 100 / 7),
        ([""], [["a"]], 100.0),
        (["a"], [[""]], 100.0),
        ([""], [[""]], 0.0),
        # One edit of two words, two of four.
        (["a x", "a b x y"], [["a b"], ["a b c d"]], 50.0),
    ],
)
def test_ter_of_hand_made_examples(outputs: list[str], references: list[list[str]], score: float) -> None:
    measured = measure(outputs, references, names=["ter"])["ter"]
    assert measured.value == pytest.approx(score)
    assert not measured.metric.higher_is_better


def test_very_long_and_very_varied_texts_are_counted_exactly() -> None:
    random = np.random.default_rng(0)
    # 30,000 different characters: six of them no longer fit into one number of 64 bits.
    codes = random.integers(0x4E00, 0xD000, size=(2, 60_000))
    output, reference = ("".join(map(chr, row)) for row in codes)
    reference = output[:2000] + reference
    words = " ".join(f"w{number}" for number in random.integers(0, 500, 20_000))
    outputs, references = [output, words], [[reference], [words[:50_000]]]
    measured = measure(outputs, references, names=["bleu", "chrf"])
    streams = padded(references)
    assert measured["chrf"].rows.tolist() == CHRF()._extract_corpus_statistics(outputs, streams)
    assert measured["bleu"].rows.tolist() == BLEU(force=True)._extract_corpus_statistics(outputs, streams)
