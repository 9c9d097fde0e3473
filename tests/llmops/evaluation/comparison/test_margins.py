"""What is gated where the configuration names no margins."""

import numpy as np
import pytest
import yaml

from llmops.errors import InputError
from llmops.evaluation import GateConfig, Measured, Metric, compare
from llmops.evaluation.metrics.metric import Scale, ratio


def measured(name: str, scale: Scale, value: float, higher_is_better: bool = True) -> Measured:
    metric = Metric(name, name, scale, lambda answers: np.empty((0, 2)), ratio, higher_is_better=higher_is_better)
    scores = np.full(50, value) if scale != "share" else np.arange(50) < 50 * value
    ids = np.arange(50)
    return Measured(metric, np.column_stack([scores, np.ones(50)]).astype(float), ids, ids)


def test_defaults_go_by_name_then_by_scale_and_leave_out_what_is_not_quality() -> None:
    sides = {
        "own_share": measured("own_share", "share", 0.5),
        "rubric": measured("rubric", "fraction", 0.5),
        "bleu": measured("bleu", "hundred", 40.0),
        "loss": measured("loss", "number", 2.0, higher_is_better=False),
        "effort": measured("effort", "number", 30.0, higher_is_better=False),
        "warmth": measured("warmth", "real", -4.0),
    } | {
        name: measured(name, "number", 1.0, higher_is_better=False)
        for name in ("latency", "input_tokens", "output_tokens", "cost", "perplexity")
    }
    found = compare(sides, sides)
    assert {name: one.margin for name, one in found.verdicts.items()} == pytest.approx(
        {"own_share": 0.02, "rubric": 0.02, "bleu": 1.0, "loss": 0.02, "effort": 1.5, "warmth": 0.2}
    )
    assert found.primary == "own_share"
    assert set(found.differences) == set(sides)
    assert compare(sides, sides, GateConfig(primary="latency")).verdicts["latency"].margin == pytest.approx(0.05)
    assert list(compare(sides, sides, GateConfig(margins={"cost": 0.1})).verdicts) == ["cost"]


def test_only_metrics_that_both_were_measured_by_are_gated() -> None:
    ours = {"bleu": measured("bleu", "hundred", 40.0), "rubric": measured("rubric", "fraction", 0.5)}
    found = compare(ours, {"bleu": ours["bleu"]})
    assert (list(found.verdicts), found.primary) == (["bleu"], "bleu")
    with pytest.raises(InputError, match="the gate needs rubric, and the baseline was not measured by it"):
        compare(ours, {"bleu": ours["bleu"]}, GateConfig(primary="rubric"))
    latency = {"latency": measured("latency", "number", 1.0)}
    with pytest.raises(InputError, match="nothing to gate: candidate and baseline share latency"):
        compare(latency, latency)


def test_a_gate_for_some_metrics() -> None:
    gate = GateConfig(primary="bleu", margins={"bleu": 1.0, "loss": 0.02}, alpha=0.1)
    assert gate.for_metrics(["bleu", "chrf"]) == GateConfig(primary="bleu", margins={"bleu": 1.0}, alpha=0.1)
    assert GateConfig().for_metrics(["bleu"]) == GateConfig()
    with pytest.raises(InputError, match="the primary metric bleu does not compare here"):
        gate.for_metrics(["loss"])
    with pytest.raises(InputError, match=r"none of the gated metrics \(loss\) compares here"):
        GateConfig(margins={"loss": 0.02}).for_metrics(["bleu"])


def test_the_gates_written_in_yaml_so_far_are_read_as_before() -> None:
    text = "{primary: exact_match, alpha: 0.05, margins: {exact_match: 0.02, my_own: 1.0}, inconclusive_passes: false}"
    gate = GateConfig.model_validate(yaml.safe_load(text))
    assert (gate.primary, gate.margins) == ("exact_match", {"exact_match": 0.02, "my_own": 1.0})


def test_real_numbers_have_no_floor() -> None:
    """A metric below zero: its interval is not cut at 0."""
    random = np.random.default_rng(0)
    metric = measured("warmth", "real", 0.0).metric
    ids = np.arange(60)
    sides = [
        {"warmth": Measured(metric, np.column_stack([random.normal(mean, 1, 60), np.ones(60)]), ids, ids)}
        for mean in (-3.0, -5.0)
    ]
    found = compare(*sides)
    assert found.verdict == "better"
    assert found.sentence.startswith("Better: warmth −")
