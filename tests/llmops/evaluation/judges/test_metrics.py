import numpy as np
import pytest

from llmops.errors import InputError
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.metrics import judge_metric, value_rows
from llmops.evaluation.metrics.metric import Answers


@pytest.mark.parametrize(
    ("kind", "consensus", "scale"),
    [("pass_fail", "majority", "share"), ("pass_fail", "mean", "fraction"), ("pairwise", "majority", "fraction")],
)
def test_only_whole_verdicts_are_a_share(kind: str, consensus: str, scale: str) -> None:
    config = JudgeConfig(kind=kind, models=("a", "b"), instructions="Good?", consensus=consensus)  # type: ignore[arg-type]
    assert judge_metric("good", config).scale == scale


def test_the_metric_is_the_mean_of_the_verdicts_there_are() -> None:
    config = JudgeConfig(kind="rubric", models=("a",), instructions="Good?", scale={0: "no", 10: "yes"})
    metric = judge_metric("good", config)
    rows = value_rows(config, np.array([5.0, np.nan, 10.0]))
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False]
    assert metric.aggregate(np.nansum(rows, axis=0)) == 0.75
    with pytest.raises(InputError, match="good: a judge's values come from asking it"):
        metric.rows(Answers(["x"], [[]]))
