"""Judgements as metrics, so that they get the same intervals, comparisons and gates as every other metric."""

import numpy as np

from llmops.errors import InputError
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, Scale, ratio

_MEANING = {"rubric": "score", "pass_fail": "pass rate", "pairwise": "win rate"}


def judge_metric(name: str, config: JudgeConfig) -> Metric:
    """The metric of a panel: a share for pass/fail by majority, else the mean of values from 0 to 1.

    Its rows come from judgements (`value_rows`); it asks no model, so its own `rows` raises InputError.

    >>> judge_metric("polite", JudgeConfig(kind="pass_fail", models=("a",), instructions="Is it polite?")).scale
    'share'
    """

    def rows(_answers: Answers) -> FloatArray:
        raise InputError(f"{name}: a judge's values come from asking it; call judge_answers and then value_rows")

    whole = config.kind == "pass_fail" and config.consensus == "majority"
    scale: Scale = "share" if whole else "fraction"
    return Metric(name, f"{name} ({_MEANING[config.kind]} by judges)", scale, rows, ratio)


def value_rows(config: JudgeConfig, values: FloatArray) -> FloatArray:
    """Sufficient statistics of judged values: (m, 2), the value from 0 to 1 and the count 1; NaN where none is.

    Args:
        config: the panel; a rubric's scale is moved to 0 to 1.
        values: (m,) `Judged.scores` or `JudgedPairs.values`.

    >>> panel = JudgeConfig(kind="rubric", models=("a",), instructions="Good?", scale={1: "no", 5: "yes"})
    >>> value_rows(panel, np.array([1.0, 4.0, np.nan])).tolist()
    [[0.0, 1.0], [0.75, 1.0], [nan, nan]]
    """
    low, high = config.bounds
    unit = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    return np.stack([unit, np.where(np.isnan(unit), np.nan, 1.0)], axis=1)
