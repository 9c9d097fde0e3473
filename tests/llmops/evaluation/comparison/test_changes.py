"""Regressions and fixes, question by question."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.errors import InputError
from llmops.evaluation import METRICS, Measured
from llmops.evaluation.comparison.changes import find_changes


def measured(name: str, totals: list[float], count: float = 1.0) -> Measured:
    ids = np.array([f"q{place}" for place in range(len(totals))])
    return Measured(METRICS[name], np.column_stack([totals, np.full(len(totals), count)]), ids, ids)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_right_that_became_wrong_and_wrong_that_became_right(pairs: list[tuple[bool, bool]]) -> None:
    ours, theirs = (measured("exact_match", [float(pair[side]) for pair in pairs]) for side in (0, 1))
    found = find_changes(ours, theirs)
    assert {one.id for one in found.regressions} == {f"q{n}" for n, (now, was) in enumerate(pairs) if was and not now}
    assert {one.id for one in found.fixes} == {f"q{n}" for n, (now, was) in enumerate(pairs) if now and not was}
    assert (found.regressed, found.fixed) == (len(found.regressions), len(found.fixes))


def test_with_repeats_at_least_half_of_the_answers_must_turn() -> None:
    found = find_changes(measured("exact_match", [5, 4, 2, 0], 5), measured("exact_match", [2, 3, 5, 5], 5))
    assert [(one.id, one.change) for one in found.regressions] == [("q3", -1.0), ("q2", pytest.approx(-0.6))]
    assert [(one.id, one.baseline, one.candidate) for one in found.fixes] == [("q0", 0.4, 1.0)]


def test_other_scores_by_size_and_threshold() -> None:
    ours, theirs = measured("loss", [1.0, 2.0, 3.0, 1.0]), measured("loss", [1.5, 1.9, 1.0, 1.0])
    found = find_changes(ours, theirs)  # a higher loss is worse
    assert [one.id for one in found.regressions] == ["q2", "q1"]
    assert [one.id for one in found.fixes] == ["q0"]
    assert [one.id for one in find_changes(ours, theirs, threshold=0.1).regressions] == ["q2", "q1"]
    assert [one.id for one in find_changes(ours, theirs, threshold=0.2).regressions] == ["q2"]
    cut = find_changes(ours, theirs, most=1)
    assert ([one.id for one in cut.regressions], cut.regressed) == (["q2"], 2)


def test_a_negative_threshold_is_refused() -> None:
    with pytest.raises(InputError, match=r"at least -0.1 was asked for; give 0 or more"):
        find_changes(measured("loss", [1.0]), measured("loss", [1.0]), threshold=-0.1)
