import numpy as np
import pytest
from pydantic import ValidationError

from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.panel import consensus

NONE = np.nan
PANEL = {"kind": "rubric", "models": ("a", "b", "c"), "instructions": "Good?", "scale": {1: "no", 5: "yes"}}


def test_majority_needs_one_value_with_the_most_votes() -> None:
    votes = np.array([[4, 4, 1], [1, 3, 5], [2, 2, NONE], [2, 4, NONE]])
    by_ties = {
        ties: consensus(votes, JudgeConfig(**PANEL, ties=ties)).tolist() for ties in ("no_verdict", "lowest", "mean")
    }
    assert by_ties["lowest"] == [4, 1, 2, 2]
    assert by_ties["mean"] == [4, 3, 2, 3]
    assert by_ties["no_verdict"] == pytest.approx([4, NONE, 2, NONE], nan_ok=True)


def test_mean_and_weighted_mean_are_of_the_votes_there_are() -> None:
    votes = np.array([[1, 4, 4], [1, 5, NONE]])
    weights = {"a": 1.0, "b": 3.0, "c": 0.0}
    assert consensus(votes, JudgeConfig(**PANEL, consensus="mean")).tolist() == [3, 3]
    weighted = JudgeConfig(**PANEL, consensus="weighted", weights=weights)
    assert consensus(votes, weighted).tolist() == [3.25, 4]
    only_weightless = np.array([[NONE, NONE, 5]])
    assert np.isnan(consensus(only_weightless, weighted.model_copy(update={"quorum": 1}))).all()


def test_too_few_votes_make_no_verdict() -> None:
    votes = np.array([[4, NONE, NONE], [4, 4, NONE], [NONE, NONE, NONE]])
    assert np.isnan(consensus(votes, JudgeConfig(**PANEL))).tolist() == [True, False, True]
    assert np.isnan(consensus(votes, JudgeConfig(**PANEL, quorum=1))).tolist() == [False, False, True]
    assert np.isnan(consensus(votes, JudgeConfig(**PANEL, quorum=3))).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": ()}, "at least 1 item"),
        ({"models": ("a", "a")}, "named twice"),
        ({"scale": None}, "a rubric needs one"),
        ({"scale": {1: "only"}}, "at least two points"),
        ({"kind": "pass_fail"}, "the other kinds have none"),
        ({"quorum": 4}, "4 votes from 3 judges"),
        ({"consensus": "weighted"}, "needs them"),
        ({"weights": {"a": 1.0}}, "the others have none"),
        ({"consensus": "weighted", "weights": {"a": 1.0}}, "exactly one for each"),
        ({"consensus": "weighted", "weights": {"a": 0.0, "b": 0.0, "c": 0.0}}, "at least one above 0"),
        ({"consensus": "weighted", "weights": {"a": 1.0, "b": -1.0, "c": 1.0}}, "0 or more"),
        ({"kind": "pass_fail", "scale": None, "ties": "mean"}, "half a pass is none"),
    ],
)
def test_a_panel_that_makes_no_sense_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        JudgeConfig(**(PANEL | changes))
