"""Two models paired on the questions that both have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.errors import InputError
from llmops.evaluation import METRICS, Measured, differences
from llmops.evaluation.statistics.pairing import pair


def measured(scores: dict[str, float], groups: dict[str, str] | None = None, name: str = "rougeL") -> Measured:
    ids = np.array(list(scores))
    rows = np.column_stack([list(scores.values()), np.ones(len(scores))])
    return Measured(METRICS[name], rows, np.array([(groups or {}).get(one, one) for one in ids]), ids)


@given(st.data())
def test_only_common_questions_count_whatever_their_order(data: st.DataObject) -> None:
    names = [f"q{place}" for place in range(12)]
    sides = [data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)) for _ in range(2)]
    scores = [{name: float(data.draw(st.integers(0, 100))) for name in side} for side in sides]
    common = set(sides[0]) & set(sides[1])
    if not common:
        with pytest.raises(InputError, match="rougeL: candidate and baseline have no question in common"):
            pair({"rougeL": measured(scores[0])}, {"rougeL": measured(scores[1])})
        return
    one = pair({"rougeL": measured(scores[0])}, {"rougeL": measured(scores[1])})["rougeL"]
    assert dict(zip(one.ids.tolist(), one.changes.tolist(), strict=True)) == {
        name: scores[0][name] - scores[1][name] for name in common
    }
    assert (one.n, one.candidate_only, one.baseline_only) == (
        len(common),
        len(set(sides[0]) - common),
        len(set(sides[1]) - common),
    )
    assert (one.candidate_missing, one.baseline_missing, one.missing_share) == (0, 0, 0.0)
    assert one.candidate_value == pytest.approx(np.mean([scores[0][name] for name in common]))


def test_the_order_of_questions_does_not_change_a_difference() -> None:
    random = np.random.default_rng(0)
    scores = {f"q{place:02d}": float(random.normal(50, 5)) for place in range(40)}
    other = {name: score + float(random.normal()) for name, score in scores.items()}
    groups = {name: name[:2] for name in scores}
    shuffled = dict(sorted(other.items(), key=lambda item: item[0][::-1]))
    one = differences({"rougeL": measured(scores, groups)}, {"rougeL": measured(other, groups)})["rougeL"]
    two = differences({"rougeL": measured(scores, groups)}, {"rougeL": measured(shuffled, groups)})["rougeL"]
    assert one.value == pytest.approx(two.value)
    assert one.limits(0.05) == pytest.approx(two.limits(0.05))


def test_groups_must_agree() -> None:
    scores = {"a": 1.0, "b": 2.0, "c": 3.0}
    with pytest.raises(InputError, match="question b is in group x for the candidate and b for the baseline"):
        pair({"rougeL": measured(scores, {"b": "x"})}, {"rougeL": measured(scores)})


def test_numbers_as_ids_meet_their_strings() -> None:
    """Ids that were read back from a table are strings."""
    rows = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    numbers = Measured(METRICS["exact_match"], rows, np.arange(3), np.arange(3))
    strings = Measured(METRICS["exact_match"], rows, np.arange(3).astype(str), np.arange(3).astype(str))
    assert pair({"exact_match": numbers}, {"exact_match": strings})["exact_match"].n == 3


def test_statistics_of_another_width_are_refused() -> None:
    one = measured({"a": 1.0, "b": 2.0})
    wide = Measured(one.metric, np.ones((2, 3)), one.groups, one.ids)
    with pytest.raises(InputError, match="measured by 2 statistics and the baseline by 3; score the older run again"):
        pair({"rougeL": one}, {"rougeL": wide})
