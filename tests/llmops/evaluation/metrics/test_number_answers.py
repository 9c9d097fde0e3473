"""Numbers out of answers: written by hand, and the published answers to GSM8K with their published verdicts."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.evaluation import measure
from llmops.evaluation.metrics.measurement import build_metrics
from llmops.evaluation.metrics.metric import Answers
from llmops.evaluation.metrics.number_answers import answer_number, last_number_text
from llmops.evaluation.metrics.scoring import score


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She has 16 - 7 = 9 eggs.", "9"),
        ("so 16-7", "7"),
        ("GPT-4", "4"),
        ("It drops to -12.5 degrees", "-12.5"),
        ("a loss of −3", "-3"),
        ("He lost -$5 or $-5.", "-5"),
        ("- 18 eggs", "18"),
        ("It costs $1,234,567.00.", "1234567"),
        ("57,00", "0"),
        ("€ 12.50", "12.5"),
        ("1{,}000 \\times 10^{2}", "100000"),
        ("about 25 %", "25"),
        ("about 25%.", "25"),
        ("3/4 of it", "0.75"),
        ("\\frac{3}{8}", "0.375"),
        ("born 4/12/2020", "2020"),
        ("5/0", None),
        ("1.5e-3", "0.0015"),
        ("6.02 × 10^23", "6.02e23"),
        (".5", "0.5"),
        ("no number", None),
        ("", None),
        # What the answer says that its number is comes before what is last.
        ("so 18.\n#### 18\nThat is 3 boxes.", "18"),
        ("#### $1,000", "1000"),
        ("#### Step 2: add 3 and 4 to get 7", "7"),
        ("#### 2. Add them\nThat makes 7", "7"),
        ("\\boxed{42} because 6*7", "42"),
        ("\\boxed{\\frac{1}{2}} out of 9", "0.5"),
        ("The answer is 12 eggs, in 2 boxes.", "12"),
        ("The answer is 16 - 7 = 9 eggs.", "9"),
        ("**Answer:** 12 (of 30)", "12"),
        ("The answer is:\n\n12\n\nCheck: 6 * 2", "12"),
        ("First I thought the answer is 5, but the answer is 6, not 7.", "6"),
        ("The answer is clear: 5 apples and 6 pears make 11.", "5"),
        ("The answer is unclear.\nPerhaps 5, or 6.", "6"),
    ],
)
def test_the_number_an_answer_gives(text: str, number: str | None) -> None:
    assert answer_number(text) == (None if number is None else Decimal(number))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4))
def test_a_number_is_found_however_it_is_written(number: Decimal) -> None:
    assert answer_number(f"It makes {number:,} in all.") == number
    assert answer_number(f"Of 3 boxes: ${number:f}") == number


def test_values_are_compared_and_text_is_not() -> None:
    outputs = ["$57.00", "57", "1/3", "57.0000001", "57.00000000001", "none", "58"]
    references = [["57"], ["so #### 57.00"], ["2/6"], ["57"], ["57"], ["57"], ["57", "58"]]
    measured = measure(outputs, references, names=["numeric_match", "strict_number_match"])
    assert measured["numeric_match"].per_sample().tolist() == [1, 1, 1, 0, 1, 0, 1]
    assert measured["strict_number_match"].per_sample().tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert last_number_text("of 1,057.00.") == "1057.00"


def test_without_a_number_in_the_references_nothing_is_measured() -> None:
    rows = score(
        build_metrics(["numeric_match", "strict_number_match"]), Answers(["5", "5"], [["five"], ["five", "5"]])
    )
    for name in rows:
        assert np.isnan(rows[name][0]).all() and rows[name][1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("model", "right", "published"),
    [("gpt-4-1106-preview", 0.889, 0.8567), ("mistralai/Mixtral-8x7B-Instruct-v0.1", 0.639, 0.6384)],
)
def test_published_answers_to_gsm8k(
    real_data: Callable[[str], Path], model: str, right: float, published: float
) -> None:
    answered = pq.read_table(real_data("routing_gsm8k.parquet"))
    truth = pq.read_table(real_data("gsm8k_test.parquet"))
    solution = dict(zip(truth["question"].to_pylist(), truth["answer"].to_pylist(), strict=True))
    references = [[solution[question]] for question in answered["prompt"].to_pylist()]
    outputs = answered[f"{model}_response"].to_pylist()
    flags = np.array([str(flag) == "True" for flag in answered[model].to_pylist()])
    measured = measure(outputs, references, names=["numeric_match", "strict_number_match"])
    assert flags.mean() == pytest.approx(published, abs=5e-5)
    assert measured["numeric_match"].value == pytest.approx(right, abs=0.003)
    assert (measured["strict_number_match"].per_sample() == flags).mean() >= 0.99
