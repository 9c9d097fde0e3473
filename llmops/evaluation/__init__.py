"""Measure a model's answers, say how sure the figures are, compare two models, and gate one.

==========================  ====================================================================
``metrics``                 what a metric is: statistics for each sample, a score from their sum
``text_metrics``            exact match, BLEU, chrF, ROUGE against one or more references
``token_metrics``           loss, perplexity, token accuracy under teacher forcing
``held_out``                the inputs to ask, each with all its right answers
``measurement``             `measure`: answers in, metrics out; the table of known metrics
``bootstrap``               the cluster bootstrap
``bounded_scores``          intervals that stay honest at 0 and 100 %, alone and paired
``intervals``               a value with its interval; differences of two models
``gates``                   better, not worse, worse or inconclusive, over several metrics
``wording``                 the same in words
``nearest_neighbour``       the baseline that copies the nearest training completion
==========================  ====================================================================

>>> references = [["yes"]] * 40
>>> candidate = measure(["yes"] * 38 + ["no"] * 2, references, names=["exact_match"])
>>> baseline = measure(["yes"] * 10 + ["no"] * 30, references, names=["exact_match"])
>>> found = estimate(candidate["exact_match"])
>>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
(0.95, 0.835, 0.986)
>>> compare(candidate, baseline, GateConfig(margins={"exact_match": 0.02})).verdict
'better'
"""

from llmops.evaluation.gates import Comparison, GateConfig, MetricVerdict, Verdict, compare
from llmops.evaluation.intervals import Estimate, differences, estimate, estimates
from llmops.evaluation.measurement import METRICS, measure
from llmops.evaluation.metrics import Measured, Metric
from llmops.evaluation.nearest_neighbour import copy_nearest
from llmops.evaluation.wording import say_value

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
