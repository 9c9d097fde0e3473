"""Edit similarity and similarity of embeddings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import InputError
from llmops.evaluation import measure
from llmops.evaluation.metrics.definitions import EmbeddingDefinition
from llmops.evaluation.metrics.measurement import build_metrics
from llmops.evaluation.metrics.metric import Answers
from llmops.evaluation.metrics.scoring import score

TEXT = st.text(alphabet="abc é日\n", max_size=12)


def letter_counts(texts: list[str]) -> list[list[float]]:
    """How often a and b occur: an encoder whose cosines are easily computed by hand."""
    return [[text.count("a"), text.count("b")] for text in texts]


def broken(texts: list[str]) -> list[list[float]]:
    return [[1.0, 0.0]]


def failing(texts: list[str]) -> list[list[float]]:
    raise RuntimeError("out of memory")


def encoded(function: str, outputs: list[str], references: list[list[str]]) -> np.ndarray:
    definition = EmbeddingDefinition(encoder=f"{__name__}:{function}")
    return score(build_metrics(["mine"], {"mine": definition}), Answers(outputs, references))["mine"]


def test_edit_similarity() -> None:
    # kitten to sitting: 3 edits, 7 letters.
    found = measure(["kitten", "", "abc", ""], [["sitting"], [""], ["xyz", "abd"], ["ab"]], names=["edit_similarity"])
    assert found["edit_similarity"].per_sample() == pytest.approx([4 / 7, 1, 2 / 3, 0])


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT)
def test_edit_similarity_equals_the_textbook_table(one: str, other: str) -> None:
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    expected = 1 - row[-1] / max(len(one), len(other), 1)
    assert measure([one], [[other]], names=["edit_similarity"])["edit_similarity"].value == pytest.approx(expected)


def test_the_default_embedding_orders_texts_by_their_letters() -> None:
    reference = "The restaurant is near the river."
    outputs = [reference, "The restaurants are near a river.", "Un restaurant", "xyz", ""]
    found = measure(outputs, [[reference]] * 5, names=["embedding_similarity"])["embedding_similarity"].per_sample()
    assert found[0] == 1 and found[4] == 0
    assert np.all(np.diff(found[:4]) < 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=2, max_size=6))
def test_a_similarity_does_not_depend_on_the_other_answers(corpus: list[tuple[str, list[str]]]) -> None:
    metrics = build_metrics(["embedding_similarity"])
    outputs, references = [list(part) for part in zip(*corpus, strict=True)]
    together = score(metrics, Answers(outputs, references))["embedding_similarity"]
    alone = [score(metrics, Answers([output], [texts]))["embedding_similarity"][0] for output, texts in corpus]
    assert together.tolist() == [row.tolist() for row in alone]
    assert (together[:, 0] >= 0).all() and (together[:, 0] <= 1).all()


def test_an_encoder_of_ones_own_and_the_nearest_reference() -> None:
    rows = encoded("letter_counts", ["a", "ab", ""], [["b", "aab"], ["a"], ["a"]])
    assert rows[:, 0] == pytest.approx([2 / 5**0.5, 1 / 2**0.5, 0])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("broken", r"returned an array \(1, 2\) for 2 texts"),
        ("failing", "failed on 2 texts: RuntimeError: out of memory"),
        ("missing", "has no 'missing'"),
    ],
)
def test_an_encoder_that_does_not_work_is_named(function: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        encoded(function, ["a"], [["b"]])
