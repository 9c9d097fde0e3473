"""The Pareto front against its definition, and the best of several objectives."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.tuning import Trial, TrialOutcome
from llmops.tuning.objectives import best_of, objective_values, pareto_front

BOTH = ("validation_loss", "seconds")


def trials(rows: Sequence[tuple[float, float]]) -> list[Trial]:
    return [Trial(n, {}, "finished", outcome=TrialOutcome(loss, seconds)) for n, (loss, seconds) in enumerate(rows)]


def test_a_front_drawn_by_hand() -> None:
    rows = trials([(1.0, 9.0), (2.0, 5.0), (2.0, 6.0), (3.0, 5.0), (4.0, 1.0), (4.0, 1.0)])
    rows.append(Trial(6, {}, "pruned", outcome=TrialOutcome(0.1, 0.1)))
    rows.append(Trial(7, {}, "diverged", outcome=TrialOutcome(float("inf"), 0.1)))
    assert [one.number for one in pareto_front(rows, BOTH)] == [0, 1, 4, 5]
    assert best_of(rows, BOTH).number == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_optuna_draws_the_same_front(rows: list[tuple[int, int]]) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trials([optuna.create_trial(values=row) for row in rows])
    ours = pareto_front(trials([(float(a), float(b)) for a, b in rows]), BOTH)
    assert {one.number for one in ours} == {one.number for one in study.best_trials}


def test_values_come_in_the_order_of_the_objectives() -> None:
    outcome = TrialOutcome(0.5, seconds=2.0, tokens=7, cost=0.1)
    assert objective_values(outcome, ["cost", "tokens", "validation_loss", "seconds"]) == [0.1, 7.0, 0.5, 2.0]


def test_nothing_finished_has_no_best() -> None:
    with pytest.raises(ValueError, match="no trial has finished"):
        best_of([Trial(0, {})], BOTH)
