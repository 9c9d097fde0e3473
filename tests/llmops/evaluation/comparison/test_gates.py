"""Verdicts, their correction for many metrics, and how often they are wrong when nothing has changed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm

from llmops.errors import InputError
from llmops.evaluation import METRICS, Comparison, Estimate, GateConfig, Measured, compare
from llmops.evaluation.comparison.verdicts import decide, samples_needed
from llmops.evaluation.metrics.metric import FloatArray
from llmops.evaluation.statistics.holm import holm_adjusted

REAL_DATA = Path(__file__).parents[4] / "../shared/data/routing_gsm8k.parquet"


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


def holm_rejects(p_values: FloatArray, alpha: float) -> list[bool]:
    adjusted = holm_adjusted(dict(enumerate(p_values)))
    return [adjusted[place] <= alpha for place in range(len(p_values))]


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


def test_a_missing_gated_metric_is_named() -> None:
    one = means({"exact_match": np.ones(5)})
    two = means({"exact_match": np.ones(5), "bleu": np.ones(5)})
    gate = GateConfig(margins={"exact_match": 0.02, "bleu": 1.0})
    for sides, who in (
        ((one, two), "the candidate was not measured by it"),
        ((two, one), "the baseline was not measured by it"),
        ((one, one), "neither the candidate nor the baseline was measured by it"),
    ):
        with pytest.raises(InputError, match=f"needs bleu, and {who}"):
            compare(*sides, gate)
    with pytest.raises(InputError, match=r"\(measured: the baseline by exact_match\)"):
        compare(two, one, gate)


@pytest.mark.parametrize(
    "given_settings",
    [
        {"primary": "bleu", "margins": {"exact_match": 0.02}},
        {"margins": {"exact_match": -0.1}},
        {"margins": {"exact_match": float("nan")}},
        {"margins": {}},
        {"max_missing": 1.0},
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
