"""pass@k and pass^k by brute force and published values; variance components against statsmodels."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import InputError
from llmops.evaluation import METRICS, Measured, compare, estimate
from llmops.evaluation.statistics.repeats import (
    VarianceComponents,
    flakiness,
    pass_all,
    pass_at,
    share_components,
    variance_components,
)


def repeated(right: list[int], asked: int | list[int]) -> Measured:
    ids = np.arange(len(right))
    rows = np.column_stack([right, np.broadcast_to(asked, len(right))]).astype(float)
    return Measured(METRICS["exact_match"], rows, ids, ids)


@given(st.data())
def test_pass_at_k_is_the_share_of_all_draws_of_k(data: st.DataObject) -> None:
    asked = data.draw(st.integers(1, 8))
    right = data.draw(st.integers(0, asked))
    k = data.draw(st.integers(1, asked))
    answers = [1] * right + [0] * (asked - right)
    draws = list(combinations(answers, k))
    measured = repeated([right, right], asked)
    assert pass_at(measured, k).value == pytest.approx(np.mean([max(draw) for draw in draws]))
    assert pass_all(measured, k).value == pytest.approx(np.mean([min(draw) for draw in draws]))


@given(st.integers(1, 200), st.data())
def test_both_equal_their_binomial_coefficients(asked: int, data: st.DataObject) -> None:
    right, k = data.draw(st.integers(0, asked)), data.draw(st.integers(1, asked))
    measured = repeated([right, right], asked)
    assert pass_at(measured, k).value == pytest.approx(1 - comb(asked - right, k) / comb(asked, k), abs=1e-9)
    assert pass_all(measured, k).value == pytest.approx(comb(right, k) / comb(asked, k), abs=1e-9)


def test_pass_at_k_as_the_paper_computes_it() -> None:
    """Chen et al. 2021, figure 3: 1 - prod(1 - k / arange(n - c + 1, n + 1)), 1 where n - c < k."""
    n, k, right = 200, 100, [0, 1, 5, 150]
    expected = [1.0 if n - c < k else 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1)) for c in right]
    assert pass_at(repeated(right, n), k).rows[:, 0] == pytest.approx(expected)


def test_flakiness_counts_what_is_neither_always_right_nor_always_wrong() -> None:
    found = flakiness(repeated([0, 1, 4, 5, 5], 5))
    assert found.rows[:, 0].tolist() == [0, 1, 1, 0, 0]
    one = estimate(found)
    assert (one.value, one.n) == (0.4, 5)
    assert one.low < 0.4 < one.high


def test_they_are_compared_like_any_metric() -> None:
    ours, theirs = repeated([5, 5, 4, 5] * 10, 5), repeated([5, 2, 1, 0] * 10, 5)
    name = "exact_match.pass^3"
    found = compare({name: pass_all(ours, 3)}, {name: pass_all(theirs, 3)})
    assert found.verdict == "better"
    assert found.sentence.startswith("Better: pass^3 of exact match 0.850 against 0.250: 0.600 more")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pass_at(repeated([1, 2], [3, 2]), 3), "question 1 has 2 answers, and 3 are needed"),
        (lambda: flakiness(repeated([1, 1], 1)), "question 0 has 1 answers, and 2 are needed"),
        (lambda: share_components(repeated([1, 1], 1)), "variance within questions needs repeats"),
        (
            lambda: pass_at(Measured(METRICS["loss"], np.ones((2, 2)), np.arange(2), np.arange(2)), 1),
            "loss is no share of right answers",
        ),
    ],
)
def test_too_few_answers_are_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()


def test_variance_components_equal_an_analysis_of_variance() -> None:
    """Balanced: mean squares by hand from pandas, between = (MSB - MSW) / r."""
    random = np.random.default_rng(0)
    question = np.repeat(np.arange(30), 4)
    scores = np.repeat(random.normal(0, 2, 30), 4) + random.normal(0, 1, 120)
    groups = pd.Series(scores).groupby(question)
    within = groups.var(ddof=1).mean()
    between = groups.mean().var(ddof=1) - within / 4
    found = variance_components(scores, question)
    assert (found.between, found.within) == pytest.approx((between, within))
    assert found.standard_error(4) == pytest.approx(groups.mean().std(ddof=1) / np.sqrt(30))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(4, 6)), min_size=2, max_size=10))
def test_counts_give_what_single_answers_give(counts: list[tuple[int, int]]) -> None:
    scores = np.concatenate([[1.0] * right + [0.0] * (asked - right) for right, asked in counts])
    question = np.repeat(np.arange(len(counts)), [asked for _, asked in counts])
    scores, question = np.append(scores, np.nan), np.append(question, 0)  # an answer that was not measured
    one = variance_components(scores, question)
    two = share_components(repeated([right for right, _ in counts], [asked for _, asked in counts]))
    assert (one.between, one.within, one.n) == pytest.approx((two.between, two.within, two.n))


def test_variance_components_recover_what_was_planted() -> None:
    """2,000 questions asked 3 times: between 4, within 1, each within three of its standard errors."""
    random = np.random.default_rng(7)
    question = np.repeat(np.arange(2000), 3)
    found = variance_components(np.repeat(random.normal(0, 2, 2000), 3) + random.normal(0, 1, 6000), question)
    assert abs(found.within - 1) < 3 * np.sqrt(2 / 4000)
    assert abs(found.between - 4) < 3 * np.sqrt(2 / 2000) * (4 + 1 / 3)


def test_more_repeats_than_are_worth_it_gain_less_than_a_tenth() -> None:
    found = VarianceComponents(between=0.05, within=0.15, n=100)
    worth = found.repeats_worth()
    assert worth is not None
    endless = found.standard_error(10**9)
    assert found.standard_error(worth) <= 1.1 * endless < found.standard_error(worth - 1)
    assert VarianceComponents(between=0.0, within=0.2, n=100).repeats_worth() is None
