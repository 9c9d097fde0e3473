"""Exact and normalised matching and token F1, by SQuAD's rules."""

import pytest

from llmops.evaluation import measure
from llmops.evaluation.metrics.answer_matching import normalized, token_f1


def values(name: str, outputs: list[str], references: list[list[str]]) -> list[float]:
    scores: list[float] = measure(outputs, references, names=[name])[name].per_sample().tolist()
    return scores


def test_exact_match_takes_any_reference_and_ignores_surrounding_space() -> None:
    outputs = [" yes\n", "Yes", "no", "no "]
    references = [["yes"], ["yes"], ["maybe", " no"], ["no", "not at all"]]
    assert values("exact_match", outputs, references) == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Cat.", "cat"),
        ("an  apple,\na day", "apple day"),
        ("theatre", "theatre"),
        ("U.S.", "us"),
        ("10,000", "10000"),
        ("the a an", ""),
        ("Ärger—ohne", "ärger—ohne"),
    ],
)
def test_squad_normalisation(text: str, plain: str) -> None:
    assert normalized(text) == plain


@pytest.mark.parametrize(
    ("output", "reference", "f1"),
    [
        # Precision 1/2, recall 1: the dates of SQuAD's own description.
        ("October 1973", "1973", 2 / 3),
        ("Denver Broncos", "The Denver Broncos", 1.0),
        ("Carolina Panthers", "Denver Broncos", 0.0),
        # Three of four words given, three of five right ones; a repeated word counts as often as both have it.
        ("one two two six", "two two one three four", 2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5)),
        ("", "the", 1.0),
        ("", "word", 0.0),
    ],
)
def test_token_f1(output: str, reference: str, f1: float) -> None:
    assert token_f1(output, reference) == pytest.approx(f1)
    assert values("token_f1", [output], [["something else", reference]]) == [pytest.approx(f1)]


def test_normalised_match_and_contained_references() -> None:
    outputs = ["It is the Eiffel Tower!", "eiffel tower", "concatenate", "", "word"]
    references = [["Eiffel tower"], ["The Eiffel Tower."], ["cat"], [""], [""]]
    assert values("normalized_match", outputs, references) == [0, 1, 0, 1, 0]
    assert values("contains_reference", outputs, references) == [1, 1, 0, 1, 0]
