"""The option that an answer chooses, in the ways that models write it."""

import pytest

from llmops.evaluation.metrics.choice_answers import chosen_letter, options_in
from llmops.evaluation.metrics.definitions import ChoiceDefinition
from llmops.evaluation.metrics.measurement import build_metrics
from llmops.evaluation.metrics.metric import Answers
from llmops.evaluation.metrics.scoring import score

QUESTION = "What is the capital of France?\nA. Rome\nB. Paris\nC. Bern\nD. Paris, Texas\nAnswer:"
OPTIONS = {"A": "Rome", "B": "Paris", "C": "Bern", "D": "Paris, Texas"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" b ", "B"),
        ("(b)", "B"),
        ("B.", "B"),
        ("B) Paris", "B"),
        ("**B**", "B"),
        ("B. Paris, because A is in Italy", "B"),
        ("The answer is C", "C"),
        ("The correct answer is (c).", "C"),
        ("Answer: D", "D"),
        ("**Answer:** D", "D"),
        ("The answer is option B.", "B"),
        ("I first thought the answer is A. The answer is B.", "B"),
        ("I weigh A against B.\n\nC", "C"),
        ("$\\boxed{B}$", None),
        ("Paris", "B"),
        ("the paris!", "B"),
        ("It must be Bern.", "C"),
        ("It must be Rome or Bern.", None),
        ("Surely (A), nothing else", "A"),
        ("Either (A) or (B)", None),
        ("A city in France", None),
        ("The answer is a city", None),
        ("The answer is A-level stuff", None),
        ("", None),
    ],
)
def test_the_letter_that_is_chosen(text: str, letter: str | None) -> None:
    assert chosen_letter(text, OPTIONS) == letter


def test_options_are_read_from_the_question() -> None:
    assert options_in(QUESTION) == OPTIONS
    assert options_in("Pick:\n(A) one\n (B)  two \nC: three") == {"A": "one", "B": "two", "C": "three"}


def test_accuracy_by_letter_and_by_text() -> None:
    outputs = ["Paris", "B", "(A)", "no idea", "positive"]
    references = [["B"], ["Paris"], ["B", "C"], ["B"], ["Positive."]]
    inputs = [QUESTION, QUESTION, QUESTION, QUESTION, "Sentiment?"]
    rows = score(build_metrics(["choice_accuracy"]), Answers(outputs, references, inputs))
    assert rows["choice_accuracy"].tolist() == [[1, 1], [1, 1], [0, 1], [0, 1], [1, 1]]


def test_more_letters_by_a_definition() -> None:
    metric = build_metrics(["mmlu_pro"], {"mmlu_pro": ChoiceDefinition(letters="ABCDEFGHIJ")})
    assert score(metric, Answers(["The answer is (J)."], [["J"]]))["mmlu_pro"].tolist() == [[1, 1]]
    assert score(build_metrics(["choice_accuracy"]), Answers(["J."], [["B"]]))["choice_accuracy"].tolist() == [[0, 1]]
