"""How often a gate is wrong: the simulation asks what users ask, and in a few cells finds the rates it should.

The full table is in docs/statistics.md. Rates: at most 5 % plus three Monte Carlo standard errors.
"""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gate_error_rates import KINDS, MIXED, Cell, limits_of, planned_power, run_cell, simulate, verdicts_of
from llmops.evaluation import GateConfig, Measured, compare

RUNS = 600
LIMIT = 0.05 + 3 * np.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("cell", [Cell(MIXED, 60, size=5), Cell(MIXED, 30, repeats=5)])
def test_the_simulation_decides_as_compare_does(cell: Cell) -> None:
    data = simulate(np.random.default_rng(0), cell, 4, lost=False)
    margins = [KINDS[name].margin for name in cell.kinds]
    simulated = list(verdicts_of(limits_of(cell, data)[0], margins, 4))
    groups = np.arange(cell.n // cell.size)
    gate = GateConfig(margins=dict(zip(cell.kinds, margins, strict=True)))
    for run in range(4):
        candidate, baseline = (
            {
                name: Measured(replace(KINDS[name].metric, name=name), of_metric[side][run], groups, groups)
                for name, of_metric in zip(cell.kinds, data, strict=True)
            }
            for side in (0, 1)
        )
        verdicts = compare(candidate, baseline, gate).verdicts
        assert [verdicts[name].verdict for name in cell.kinds] == list(simulated[run].values())


@pytest.mark.parametrize(
    "cell", [Cell(("share 90",), 100, size=5), Cell(("fraction",), 30, repeats=5), Cell(MIXED, 30)]
)
def test_false_verdicts_are_rare(cell: Cell) -> None:
    counts = run_cell(cell, RUNS)
    assert counts.better / RUNS < LIMIT
    assert counts.worse / RUNS < LIMIT
    assert counts.not_worse / RUNS < LIMIT
    assert counts.difference_covered / RUNS > 1 - LIMIT


@pytest.mark.parametrize(("cell", "margin"), [(Cell(("share 70",), 0), 0.1), (Cell(("share 70",), 0, repeats=5), 0.1)])
def test_as_many_questions_as_said_settle_it_with_the_chance_said(cell: Cell, margin: float) -> None:
    """80 %, and up to three points less or more that the approximation of the normal costs."""
    _, power = planned_power(cell, margin, RUNS)
    assert abs(power - 0.8) < 0.03 + 3 * np.sqrt(0.8 * 0.2 / RUNS)
