"""Verdicts, their correction for many metrics, and how often they are wrong when nothing has changed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from llmops.errors import InputError
from llmops.evaluation import METRICS, Comparison, Estimate, GateConfig, Measured, compare
from llmops.evaluation.comparison.gates import decide, holm, samples_needed
from llmops.evaluation.metrics.metric import FloatArray

REAL_DATA = Path(__file__).parents[3] / "../shared/data/routing_gsm8k.parquet"


def means(values: dict[str, FloatArray], groups: FloatArray | None = None) -> dict[str, Measured]:
    """Measured metrics whose value is the mean of the given numbers."""
    return {
        name: Measured(
            METRICS[name],
            np.column_stack([one, np.ones(len(one))]),
            np.arange(len(one)) if groups is None else groups,
            np.arange(len(one)),
        )
        for name, one in values.items()
    }


def normal_limits(value: float, standard_error: float):  # type: ignore[no-untyped-def]
    return lambda alpha: (
        value + norm.ppf(alpha / 2) * standard_error,
        value - norm.ppf(alpha / 2) * standard_error,
    )


@pytest.mark.parametrize(
    ("value", "margin", "verdict"),
    [
        (2.0, 0.5, "better"),  # above 1.96 standard errors
        (1.9, 0.0, "inconclusive"),
        (1.5, 0.5, "not worse"),  # above 1.96 - 0.5
        (-1.0, 3.0, "not worse"),
        (-2.0, 4.0, "not worse"),  # below 0 for sure, and within the margin for sure
        (-1.9, 0.5, "inconclusive"),
        (-2.0, 0.5, "worse"),  # below -1.96
    ],
)
def test_the_four_verdicts_of_one_metric(value: float, margin: float, verdict: str) -> None:
    """With a standard error of 1."""
    assert decide({"bleu": normal_limits(value, 1.0)}, {"bleu": margin}, 0.05) == {"bleu": verdict}


def test_a_wide_interval_is_inconclusive() -> None:
    assert decide({"bleu": normal_limits(-0.5, 1.0)}, {"bleu": 1.0}, 0.05) == {"bleu": "inconclusive"}


def holm_rejects(p_values: FloatArray, alpha: float) -> FloatArray:
    """Holm by adjusted p-values: the running maximum of (k - i) p_(i)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    return (adjusted <= alpha)[np.argsort(order, kind="stable")]


# statsmodels takes a tenth of a second a call.
@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=9), st.sampled_from([0.01, 0.05, 0.1]))
def test_holm_equals_statsmodels(p_values: list[float], alpha: float) -> None:
    expected = multipletests(p_values, alpha=alpha, method="holm")[0]
    p = {str(place): value for place, value in enumerate(p_values)}
    rejected = holm(p, lambda name, level: p[name] <= level, alpha)
    assert rejected == {str(place) for place in np.flatnonzero(expected)}
    assert holm_rejects(np.array(p_values), alpha).tolist() == expected.tolist()


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
def test_verdicts_are_holm_on_p_values_of_each_question(z_values: list[float]) -> None:
    names = list(METRICS)[: len(z_values)]
    found = decide(
        {name: normal_limits(z, 1.0) for name, z in zip(names, z_values, strict=True)},
        dict.fromkeys(names, 1.5),
        0.05,
    )
    z = np.array(z_values)
    better = holm_rejects(norm.sf(z), 0.025)
    not_worse = holm_rejects(norm.sf(z + 1.5), 0.025)
    worse = holm_rejects(norm.cdf(z), 0.025)
    expected = np.select([better, not_worse, worse], ["better", "not worse", "worse"], "inconclusive")
    assert list(found.values()) == list(expected)


def test_overall_verdict_and_sentences() -> None:
    random = np.random.default_rng(0)
    base = {"exact_match": np.repeat([1.0, 0.0], [4, 196]), "loss": 1 + 0.1 * random.normal(size=200)}
    tuned = {"exact_match": np.repeat([1.0, 0.0], [126, 74]), "loss": base["loss"] - 0.5}
    gate = GateConfig(margins={"exact_match": 0.02, "loss": 0.02})
    better = compare(means(tuned), means(base), gate)
    assert (better.verdict, better.passed) == ("better", True)
    assert better.verdicts["exact_match"].sentence == (
        "exact match 63.0 % against 2.0 %: 61.0 points more (95 % interval 53.7 to 67.4), better"
    )
    assert better.verdicts["loss"].sentence.startswith("loss 0.502 against 1.002: 0.500 less (95 % interval")
    assert better.sentence == (
        "Better: exact match 63.0 % against 2.0 %: 61.0 points more (95 % interval 53.7 to 67.4); "
        "none of the 2 gated metrics is worse."
    )

    worse = compare(means(base), means(tuned), gate)
    assert (worse.verdict, worse.passed) == ("worse", False)
    assert worse.sentence == (
        "Worse in exact match and loss: exact match 2.0 % against 63.0 %: "
        "61.0 points less (95 % interval 53.7 to 67.4)."
    )

    mixed = compare(means(tuned | {"loss": base["loss"] + 0.5}), means(base), gate)
    assert mixed.verdict == "worse"
    assert mixed.verdicts["exact_match"].verdict == "better"

    same = compare(means({"exact_match": np.repeat([1.0, 0.0], [2500, 2500])}),
                   means({"exact_match": np.repeat([1.0, 0.0], [2500, 2500])}),
                   GateConfig(margins={"exact_match": 0.02}))  # fmt: skip
    assert (same.verdict, same.passed) == ("not worse", True)
    assert same.sentence.startswith("Not worse: exact match 50.0 % against 50.0 %: no difference")


def test_inconclusive_says_how_many_samples_would_settle_it_and_passes_only_if_told_to() -> None:
    random = np.random.default_rng(1)
    one, two = (means({"exact_match": (random.random(60) < 0.5).astype(float)}) for _ in range(2))
    gate = GateConfig(margins={"exact_match": 0.02})
    found = compare(one, two, gate)
    assert (found.verdict, found.passed) == ("inconclusive", False)
    assert found.samples_needed is not None and found.samples_needed > 60
    assert f"60 test inputs cannot settle exact match; about {found.samples_needed:,} would" in found.sentence
    assert compare(one, two, gate.model_copy(update={"inconclusive_passes": True})).passed


def test_samples_needed_equals_the_textbook_formula() -> None:
    """One-sided non-inferiority of a mean, 2.5 %, power 80 %: n = 7.849 (sd / (difference + margin))^2."""
    half = norm.ppf(0.975) * 10 / np.sqrt(100)  # sd 10, n 100
    estimate = Estimate(value=0.5, low=0.5 - half, high=0.5 + half, n=100)
    assert samples_needed(estimate, margin=1.0, alpha=0.05) == int(np.ceil(7.8489 * (10 / 1.5) ** 2))
    assert samples_needed(estimate.model_copy(update={"value": 0.0}), margin=0.0, alpha=0.05) is None


def test_the_planned_number_of_samples_has_the_planned_power() -> None:
    """At the number said, about 80 % of new test sets settle it, within three standard errors of 300 runs."""
    random = np.random.default_rng(5)
    half = norm.ppf(0.975) * 1 / np.sqrt(50)
    n = samples_needed(Estimate(value=0.0, low=-half, high=half, n=50), margin=0.2, alpha=0.05)
    assert n is not None
    gate = GateConfig(primary="loss", margins={"loss": 0.2})
    settled = 0
    for _ in range(300):
        base = random.uniform(5, 6, n)
        verdict = compare(means({"loss": base + random.normal(0, 1, n)}), means({"loss": base}), gate).verdict
        settled += verdict in ("better", "not worse")
    assert abs(settled / 300 - 0.8) < 3 * np.sqrt(0.8 * 0.2 / 300)


def test_a_missing_gated_metric_is_named() -> None:
    one = means({"exact_match": np.ones(5)})
    with pytest.raises(InputError, match="needs bleu, and the candidate was not measured by it"):
        compare(one, one, GateConfig(margins={"exact_match": 0.02, "bleu": 1.0}))


@pytest.mark.parametrize(
    "given_settings",
    [
        {"primary": "bleu", "margins": {"exact_match": 0.02}},
        {"margins": {"exact_match": -0.1}},
        {"margins": {"exact_match": float("nan")}},
        {"margins": {"exact_match": 0.1, "blue": 1.0}},
        {"alpha": 0.0},
        {"margin": {}},
    ],
)
def test_a_wrong_gate_is_refused(given_settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GateConfig.model_validate(given_settings)


def test_a_comparison_survives_json() -> None:
    random = np.random.default_rng(2)
    one, two = (means({"exact_match": (random.random(30) < 0.5) * 1.0}) for _ in range(2))
    found = compare(one, two, GateConfig(margins={"exact_match": 0.02}))
    text = json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert Comparison.model_validate_json(text) == found


# How often a gate is wrong, by simulation of 400 pairs of models. Pass rule: at most 5 % plus three Monte
# Carlo standard errors (8.3 %). What is aimed at is 2.5 % on each side.
RUNS = 400
LIMIT = 0.05 + 3 * np.sqrt(0.05 * 0.95 / RUNS)
FIVE = ["exact_match", "rouge1", "rouge2", "rougeL", "loss"]


def two_models(random: np.random.Generator, names: list[str], groups: int, size: int, drop: float = 0.0):  # type: ignore[no-untyped-def]
    """Two equally good models, their metrics and samples correlated; `drop` taken off the first's scores."""
    n = groups * size
    difficulty = np.repeat(random.normal(size=groups), size)
    models = []
    for lost in (drop, 0.0):
        skill = difficulty + np.repeat(random.normal(size=groups), size) + random.normal(size=n)
        values = {}
        for name in names:
            seen = skill + 0.5 * random.normal(size=n)
            if name == "exact_match":
                values[name] = (seen > 0).astype(float)
            else:
                values[name] = 50 - lost + 5 * seen
        models.append(means(values, np.repeat(np.arange(groups), size)))
    return models


@pytest.mark.parametrize(("groups", "size"), [(80, 1), (25, 4)])
@pytest.mark.parametrize("names", [["exact_match"], ["rougeL"], FIVE])
def test_false_better_and_false_worse_are_rare(names: list[str], groups: int, size: int) -> None:
    random = np.random.default_rng(21)
    gate = GateConfig(primary=names[0], margins=dict.fromkeys(names, 0.0))
    better = worse = 0
    for _ in range(RUNS):
        verdicts = compare(*two_models(random, names, groups, size), gate).verdicts.values()
        better += any(one.verdict == "better" for one in verdicts)
        worse += any(one.verdict == "worse" for one in verdicts)
    assert better / RUNS < LIMIT
    assert worse / RUNS < LIMIT


def test_a_loss_of_the_whole_margin_is_rarely_called_not_worse() -> None:
    random = np.random.default_rng(22)
    gate = GateConfig(primary="rougeL", margins={"rougeL": 1.0})
    passed = sum(compare(*two_models(random, ["rougeL"], 80, 1, drop=1.0), gate).passed for _ in range(RUNS))
    assert passed / RUNS < LIMIT


@pytest.mark.skipif(not REAL_DATA.exists(), reason=f"needs the public data set {REAL_DATA.name}")
def test_gpt4_is_better_than_mixtral_on_gsm8k() -> None:
    """RouteLLM's published flags: 85.67 % against 63.84 % of the same 1,319 questions."""
    table = pd.read_parquet(REAL_DATA)
    strong, weak = table["gpt-4-1106-preview"], table["mistralai/Mixtral-8x7B-Instruct-v0.1"]
    found = compare(
        means({"exact_match": strong.to_numpy(dtype=float)}),
        means({"exact_match": weak.to_numpy(dtype=float)}),
        GateConfig(margins={"exact_match": 0.02}),
    )
    difference = found.verdicts["exact_match"].difference
    assert found.verdict == "better"
    assert difference.value == pytest.approx(0.8567 - 0.6384, abs=1e-4)
    # Wald for paired proportions, from the discordant pairs alone, agrees to a quarter of a point.
    changes = strong.to_numpy(dtype=float) - weak.to_numpy(dtype=float)
    half = 1.96 * changes.std(ddof=1) / np.sqrt(len(changes))
    assert difference.low == pytest.approx(difference.value - half, abs=0.0025)
    assert difference.high == pytest.approx(difference.value + half, abs=0.0025)
