"""Measure a model's answers, say how sure the figures are, compare two models, and gate one.

=====================  ====================================================================
``questions``          what is asked, each question with all its right answers
``answers``            what models answered: never asked twice, never lost
``metrics``            what is measured of an answer
``judges``             what other models think of an answer
``statistics``         how sure a figure is
``comparison``         two models on the same questions: verdicts, gates, slices, regressions
``nearest_neighbour``  the baseline that copies the nearest training completion
=====================  ====================================================================

>>> references = [["yes"]] * 40
>>> candidate = measure(["yes"] * 38 + ["no"] * 2, references, names=["exact_match"])
>>> baseline = measure(["yes"] * 10 + ["no"] * 30, references, names=["exact_match"])
>>> found = estimate(candidate["exact_match"])
>>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
(0.95, 0.835, 0.986)
>>> compare(candidate, baseline, GateConfig(margins={"exact_match": 0.02})).verdict
'better'
"""

from llmops.evaluation.comparison.gates import Comparison, GateConfig, MetricVerdict, compare
from llmops.evaluation.comparison.verdicts import Verdict
from llmops.evaluation.comparison.wording import say_value
from llmops.evaluation.metrics.measurement import METRICS, measure
from llmops.evaluation.metrics.metric import Measured, Metric
from llmops.evaluation.nearest_neighbour import copy_nearest
from llmops.evaluation.statistics.intervals import Estimate, differences, estimate, estimates

__all__ = [
    "METRICS",
    "Comparison",
    "Estimate",
    "GateConfig",
    "Measured",
    "Metric",
    "MetricVerdict",
    "Verdict",
    "compare",
    "copy_nearest",
    "differences",
    "estimate",
    "estimates",
    "measure",
    "say_value",
]
