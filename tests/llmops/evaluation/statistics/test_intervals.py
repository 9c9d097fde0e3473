"""Properties every interval and difference has, and their coverage by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import InputError
from llmops.evaluation import METRICS, Measured, differences, estimate, estimates, measure
from llmops.evaluation.metrics.metric import FloatArray
from llmops.evaluation.statistics.bootstrap import resampled_totals, stretched_percentiles
from llmops.evaluation.statistics.bounded_scores import bounded_score

TEXTS = ["the cat sat", "a dog", "the dog sat on the mat", "a cat", "the mat"]


def mean_of(name: str, values: FloatArray, groups: FloatArray | None = None) -> Measured:
    rows = np.column_stack([values, np.ones(len(values))])
    return Measured(METRICS[name], rows, np.arange(len(values)) if groups is None else groups, np.arange(len(values)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_intervals_hold_the_value_and_do_not_depend_on_the_order_of_samples(data: st.DataObject) -> None:
    n = data.draw(st.integers(3, 12))
    outputs = data.draw(st.lists(st.sampled_from(TEXTS), min_size=n, max_size=n))
    references = [[text] for text in data.draw(st.lists(st.sampled_from(TEXTS), min_size=n, max_size=n))]
    groups = [f"{place:02d}" for place in range(n)]
    order = data.draw(st.permutations(range(n)))
    one = estimates(measure(outputs, references, groups=groups))
    two = estimates(
        measure([outputs[i] for i in order], [references[i] for i in order], groups=[groups[i] for i in order])
    )
    for name, found in one.items():
        assert 0 <= found.low <= found.value <= found.high <= METRICS[name].highest
        assert found.high > found.low or METRICS[name].scale == "hundred"
        assert (found.value, found.low, found.high) == pytest.approx((two[name].value, two[name].low, two[name].high))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_swapping_the_models_mirrors_every_difference(data: st.DataObject) -> None:
    texts = st.lists(st.sampled_from(TEXTS), min_size=8, max_size=8)
    references = [[text] for text in TEXTS + TEXTS[:3]]
    one, two = measure(data.draw(texts), references), measure(data.draw(texts), references)
    there, back = differences(one, two), differences(two, one)
    for name in there:
        a, b = there[name].estimate(), back[name].estimate()
        assert (a.value, a.low, a.high) == pytest.approx((-b.value, -b.high, -b.low))
        assert a.low <= a.value <= a.high


def test_a_lower_loss_is_a_positive_difference() -> None:
    spread = np.linspace(-0.1, 0.1, 30)
    found = differences({"loss": mean_of("loss", 1 + spread)}, {"loss": mean_of("loss", 1.5 + spread)})
    one = found["loss"].estimate()
    assert (one.value, one.low, one.high, one.n) == (*[pytest.approx(0.5)] * 3, 30)


def test_pairing_makes_differences_sharper_than_the_values() -> None:
    random = np.random.default_rng(3)
    difficulty = random.normal(size=200)
    one = mean_of("loss", 5 + difficulty + 0.1 * random.normal(size=200))
    two = mean_of("loss", 5 + difficulty + 0.1 * random.normal(size=200))
    alone, paired = estimate(one), differences({"loss": one}, {"loss": two})["loss"].estimate()
    assert paired.high - paired.low < (alone.high - alone.low) / 4


def test_a_perfect_score_is_not_certain() -> None:
    found = estimates(measure(["the cat sat on it"] * 40, [["the cat sat on it"]] * 40))
    assert found["exact_match"].low == pytest.approx(0.9124, abs=1e-4)
    for name in ("bleu", "chrf", "rouge1", "rouge2", "rougeL"):
        assert (found[name].value, found[name].high) == (100, 100)
        assert found[name].low == pytest.approx(91.24, abs=0.01)


def test_a_single_group_is_refused() -> None:
    measured = measure(["a", "b"], [["a"], ["a"]], groups=["same", "same"], names=["bleu"])
    with pytest.raises(InputError, match="bleu: the 2 test inputs form a single group"):
        estimate(measured["bleu"])


def test_resamples_are_those_of_whole_groups() -> None:
    totals = np.arange(12.0).reshape(6, 2)
    drawn = resampled_totals(totals, draws=20_000)
    assert drawn[:, 1] == pytest.approx(drawn[:, 0] + 6)  # each draw holds six groups
    standard_error = 6 * np.sqrt(totals[:, 0].var() / 6 / 20_000)
    assert abs(drawn[:, 0].mean() - totals[:, 0].sum()) < 4 * standard_error
    assert drawn[:, 0].var() == pytest.approx(6 * totals[:, 0].var(), rel=0.05)


# Coverage: the share of R simulated test sets whose 95 % interval holds the truth. Pass rule: within three
# Monte Carlo standard errors of what longer simulations found (20,000 sets), 95 % but for very few groups.
R = 2000


def three_standard_errors(coverage: float, runs: int = R) -> float:
    return float(3 * np.sqrt(coverage * (1 - coverage) / runs))


def normal_means(random: np.random.Generator, groups: int) -> FloatArray:
    return np.stack([random.normal(1, 1, (R, groups)), np.ones((R, groups))], axis=-1)


def token_losses(random: np.random.Generator, groups: int) -> FloatArray:
    """Ratios: groups of 1 to 8 tokens whose losses hang together, 1 nat a token on average."""
    tokens = random.integers(1, 9, (R, groups))
    return np.stack([tokens * random.normal(1, 0.3, (R, groups)), tokens], axis=-1)


@pytest.mark.parametrize(("groups", "known"), [(5, 0.94), (10, 0.945), (40, 0.95)])
@pytest.mark.parametrize("simulate", [normal_means, token_losses])
def test_bootstrap_coverage(simulate: Callable[..., FloatArray], groups: int, known: float) -> None:
    data = simulate(np.random.default_rng(11), groups)
    resampled = resampled_totals(np.moveaxis(data, 0, 1).reshape(groups, -1)).reshape(-1, R, 2)
    replicates, sums = resampled[..., 0] / resampled[..., 1], data.sum(axis=1)
    low, high = stretched_percentiles(sums[:, 0] / sums[:, 1], np.sort(replicates.T), groups, 0.05)
    covered = np.mean((low <= 1) & (high >= 1))
    assert abs(covered - known) < three_standard_errors(known)


@pytest.mark.parametrize(
    ("right", "alike", "groups", "known"),
    [
        (0.7, 0.0, 15, 0.95),
        (0.7, 0.3, 15, 0.95),
        (0.7, 0.3, 40, 0.95),
        (0.9, 0.3, 15, 0.95),
        (0.9, 0.3, 25, 0.95),
        (0.9, 0.6, 40, 0.95),
    ],
)
def test_coverage_of_shares_in_groups(right: float, alike: float, groups: int, known: float) -> None:
    """Beta-binomial groups of five with intraclass correlation `alike`."""
    random = np.random.default_rng(12)
    chances = np.full((R, groups), right)
    if alike:
        scale = 1 / alike - 1
        chances = random.beta(right * scale, (1 - right) * scale, (R, groups))
    totals = np.stack([random.binomial(5, chances), np.full((R, groups), 5)], axis=-1).astype(float)
    low, high = bounded_score(METRICS["exact_match"], totals).limits(0.05)
    covered = np.mean((low <= right) & (high >= right))
    assert covered > known - three_standard_errors(known)


def test_coverage_of_a_mean_near_its_ceiling() -> None:
    """ROUGE-like, 98 % of the outputs perfect. The bootstrap alone covers 32 % (n = 20), 54 % (n = 40)."""
    random = np.random.default_rng(13)
    for n in (20, 40):
        covered = 0
        for _ in range(400):
            failed = random.random(n) < 0.02
            found = estimate(mean_of("rougeL", np.where(failed, random.uniform(0, 100, n), 100.0)))
            covered += found.low <= 99 <= found.high
        assert covered / 400 > 0.95 - three_standard_errors(0.95, runs=400)
