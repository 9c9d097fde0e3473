"""Paired tests against published values, SciPy, statsmodels and brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from llmops.evaluation import METRICS, Measured, measure
from llmops.evaluation.metrics.metric import FloatArray
from llmops.evaluation.statistics.paired_tests import mcnemar_mid_p, paired_tests, sign_flip_p_values, wilcoxon_p
from llmops.evaluation.statistics.pairing import Paired, pair


def paired(name: str, ours: FloatArray, theirs: FloatArray, groups: FloatArray | None = None) -> Paired:
    ids = np.arange(len(ours))
    labels = ids if groups is None else groups
    one, two = (Measured(METRICS[name], rows, labels, ids) for rows in (ours, theirs))
    return pair({name: one}, {name: two})[name]


def means(values: FloatArray, count: float = 1.0) -> FloatArray:
    return np.column_stack([values, np.full(len(values), count)])


@pytest.mark.parametrize(
    ("only_first", "only_second", "p", "digits"),
    [
        (1, 7, 0.039, 3),  # Bentur et al. 2009, in Fagerland et al. 2013, table 1
        (0, 6, 0.0156, 4),  # 2 / 64 - 1 / 64, by hand
        (3, 3, 0.84375, 5),  # 1 - C(6, 3) / 128, by hand
        (0, 0, 1.0, 5),
    ],
)
def test_mcnemar_mid_p_published(only_first: int, only_second: int, p: float, digits: int) -> None:
    assert mcnemar_mid_p(only_first, only_second) == pytest.approx(p, abs=0.5 * 10**-digits)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mid_p_is_statsmodels_exact_less_the_probability_of_the_table(one: int, two: int) -> None:
    found = mcnemar_mid_p(one, two)
    assert found == mcnemar_mid_p(two, one)
    if one != two:
        exact = mcnemar(np.array([[0, one], [two, 0]]), exact=True).pvalue
        assert found == pytest.approx(exact - stats.binom.pmf(min(one, two), one + two, 0.5), abs=1e-12)


def test_wilcoxon_published() -> None:
    """Darwin's heights of cross- and self-fertilised maize (SciPy's example): W = 24, exact p = 0.0413."""
    changes = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])
    assert wilcoxon_p(changes) == pytest.approx(0.041259765625)
    assert wilcoxon_p(np.append(changes, [0.0, 0.0])) == pytest.approx(0.041259765625)  # zeros dropped
    assert wilcoxon_p(np.zeros(5)) == 1.0


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10_000))
def test_sign_flips_go_through_all_assignments_of_groups(groups: int, seed: int) -> None:
    """By brute force on the definition, of loss (a ratio) in groups of one to three questions."""
    random = np.random.default_rng(seed)
    label = np.concatenate([np.arange(groups), random.integers(0, groups, groups)])
    tokens = random.integers(1, 9, len(label)).astype(float)
    ours, theirs = (np.column_stack([tokens * random.normal(1, 0.5, len(label)), tokens]) for _ in range(2))

    def difference(swapped: FloatArray) -> float:
        a = np.where(swapped[label, np.newaxis], theirs, ours).sum(axis=0)
        b = np.where(swapped[label, np.newaxis], ours, theirs).sum(axis=0)
        return abs(a[0] / a[1] - b[0] / b[1])

    every = [difference(np.array(swapped)) for swapped in product([False, True], repeat=groups)]
    expected = np.mean(np.array(every) >= every[0] - 1e-12)
    assert sign_flip_p_values([paired("loss", ours, theirs, label)]) == [pytest.approx(expected)]


def test_random_sign_flips_agree_with_scipys_permutation_test() -> None:
    random = np.random.default_rng(4)
    ours, theirs = random.normal(0.3, 1, 60), random.normal(0, 1, 60)
    expected = stats.permutation_test(
        (ours, theirs), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=20_000, random_state=1
    ).pvalue
    # Of 10,000 flips and of 20,000 resamples; three standard errors of their difference.
    error = 3 * np.sqrt(expected * (1 - expected) * (1 / 10_000 + 1 / 20_000))
    assert abs(sign_flip_p_values([paired("loss", means(ours), means(theirs))])[0] - expected) < error


def test_with_many_groups_the_normal_limit_takes_over() -> None:
    random = np.random.default_rng(5)
    ours = random.normal(0.05, 1, 1999)
    theirs = random.normal(0, 1, 1999)
    drawn = sign_flip_p_values([paired("loss", means(ours), means(theirs))])[0]
    more = sign_flip_p_values([paired("loss", means(np.append(ours, 0.0)), means(np.append(theirs, 0.0)))])[0]
    assert abs(drawn - more) < 3 * np.sqrt(drawn * (1 - drawn) / 10_000) + 0.002


def test_each_metric_gets_the_test_that_fits() -> None:
    random = np.random.default_rng(6)
    right = [(random.random(40) < chance).astype(float) for chance in (0.9, 0.6)]
    scores = [random.normal(mean, 5, 40) for mean in (55, 50)]
    twos = np.repeat(np.arange(20), 2)
    found = paired_tests({
        "exact_match": paired("exact_match", means(right[0]), means(right[1])),
        "rougeL": paired("rougeL", means(scores[0]), means(scores[1])),
        "token_accuracy": paired("token_accuracy", means(right[0] + 2, 3), means(right[1] + 2, 3)),
        "chrf": paired("rougeL", means(scores[0]), means(scores[1]), twos),
    })  # fmt: skip
    assert [one.test for one in found.values()] == [
        "McNemar (mid-p)", "Wilcoxon signed ranks", "sign flips of questions", "sign flips of groups",
    ]  # fmt: skip
    won, lost = int((right[0] > right[1]).sum()), int((right[0] < right[1]).sum())
    assert found["exact_match"].p == mcnemar_mid_p(won, lost)
    assert (found["exact_match"].effect, found["exact_match"].effect_size) == ("Cohen's g", won / (won + lost) - 0.5)
    changes = scores[0] - scores[1]
    assert found["rougeL"].p == pytest.approx(stats.wilcoxon(changes).pvalue)
    assert found["rougeL"].effect_size == pytest.approx(((changes > 0).sum() - (changes < 0).sum()) / 40)
    smallest = min(found.values(), key=lambda one: one.p)
    assert smallest.p_adjusted == pytest.approx(4 * smallest.p)


def test_a_lower_loss_is_a_positive_effect_and_equal_models_have_none() -> None:
    better = paired("loss", means(np.linspace(1, 2, 30)), means(np.linspace(1.5, 2.6, 30)))
    assert paired_tests({"loss": better})["loss"].effect_size == 1.0
    same = measure(["a", "b", "c"], [["a"], ["b"], ["d"]], groups=["x", "x", "y"])
    for one in paired_tests(pair(same, same)).values():
        assert (one.p, one.p_adjusted, one.effect_size) == (1.0, 1.0, 0.0)
