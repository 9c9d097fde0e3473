"""How often the gate is wrong, and how often the intervals hold the truth, by simulation.

    python -m benchmarks.gate_error_rates [--runs 10000] [--quick]

Each cell simulates pairs of models on n questions and asks the project's own functions for limits and verdicts. Both
models find the same questions hard (correlation 0.5 between their scores); the metrics of a model are correlated (0.5).
Asked are, at alpha = 5 %:

- false better, false worse: the models are equally good in every metric, and some metric is said to be better (worse)
- false not worse: the candidate is worse by exactly the margin in every metric, and some metric is said to pass
- coverage: the share of 95 % intervals of one model's value, and of the difference, that hold the truth

All figures are percentages of the runs; one near 5 or 95 % has a Monte Carlo standard error of 0.2 points with 10,000
runs.
A star marks a rate above 5 % plus three standard errors, and a coverage more than three standard errors from 95 %.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from llmops.evaluation.comparison.verdicts import decide, samples_needed
from llmops.evaluation.metrics.metric import FloatArray, Metric, ratio
from llmops.evaluation.statistics.intervals import (
    ArrayLimits,
    Estimate,
    Limits,
    difference_limits,
    replicates,
    value_limits,
)

ALPHA = 0.05
CORRELATION = 0.5  # between two models on a question, and between two metrics on an answer
REPEAT_NOISE = 0.3  # of the variance of an answer's latent score, the part that a repeat draws anew
ICC = 0.3
NUMBERS = 16_000_000  # replicates held at a time


@dataclass(frozen=True)
class Kind:
    """A metric's distribution: from standard normal latent scores and a loss of quality to scores, and their mean."""

    metric: Metric
    margin: float
    scores: Callable[[FloatArray, float], FloatArray]
    truth: Callable[[float], float]


def _kind(name: str, scale: str, margin: float, scores: Callable[..., FloatArray], truth: Callable[..., float]) -> Kind:
    higher = scale != "number"
    metric = Metric(name, name, scale, lambda answers: np.empty((0, 2)), ratio, higher_is_better=higher)  # type: ignore[arg-type]
    return Kind(metric, margin, scores, truth)


def _share(right: float, margin: float) -> Kind:
    return _kind(
        f"share of {100 * right:.0f} %",
        "share",
        margin,
        lambda latent, lost: (latent < ndtri(right - lost)).astype(np.float64),
        lambda lost: right - lost,
    )


KINDS = {
    "share 70": _share(0.7, 0.1),
    "share 90": _share(0.9, 0.05),
    # A rubric or an F1: many near 1, a tail of failures. The mean of u^a over uniform u is 1 / (1 + a).
    "fraction": _kind(
        "bounded, mean 0.8",
        "fraction",
        0.05,
        lambda latent, lost: ndtr(latent) ** (1 / (0.8 - lost) - 1),
        lambda lost: 0.8 - lost,
    ),
    # A loss or a latency: log-normal, skewness 2.3 (of a difference, none).
    "number": _kind(
        "log-normal",
        "number",
        0.1,
        lambda latent, lost: np.exp(0.6 * latent) * (1 + lost / np.exp(0.18)),
        lambda lost: float(np.exp(0.18)) + lost,
    ),
    "real": _kind("normal", "real", 0.2, lambda latent, lost: latent - lost, lambda lost: -lost),
}


@dataclass(frozen=True)
class Cell:
    """n questions in groups of `size`, each asked `repeats` times, measured by these kinds of metric."""

    kinds: tuple[str, ...]
    n: int
    size: int = 1
    repeats: int = 1

    @property
    def label(self) -> str:
        kinds = KINDS[self.kinds[0]].metric.name if len(self.kinds) == 1 else f"{len(self.kinds)} metrics, mixed"
        shape = f"groups of {self.size}" if self.size > 1 else "plain"
        shape = f"{self.repeats} repeats" if self.repeats > 1 else shape
        return f"{kinds} | {shape} | {self.n} | {self.n // self.size}"


def simulate(random: np.random.Generator, cell: Cell, runs: int, lost: bool) -> list[tuple[FloatArray, FloatArray]]:
    """For each metric the group totals of candidate and baseline, (runs, G, 2) each.

    lost: whether the candidate is worse by the margin in every metric.
    """
    groups = cell.n // cell.size
    shape = (runs, groups, cell.size)

    def normal() -> FloatArray:
        """Standard normal; within a group correlated by `ICC`."""
        own = random.standard_normal(shape)
        if cell.size == 1:
            return own
        return sqrt(ICC) * random.standard_normal((runs, groups, 1)) + sqrt(1 - ICC) * own

    # A metric's latent score is part difficulty, part the model's own: with d = sqrt(a) d + sqrt(1 - a) own.
    difficulty = normal()
    skills = [sqrt(CORRELATION) * difficulty + sqrt(1 - CORRELATION) * normal() for _ in range(2)]
    found = []
    for kind in (KINDS[name] for name in cell.kinds):
        alone = len(cell.kinds) == 1
        difficulty_of_it = normal()  # two models agree on what a metric finds hard, too
        totals = []
        for skill, loss in zip(skills, (kind.margin if lost else 0.0, 0.0), strict=True):
            latent = skill
            if not alone:
                own = sqrt(CORRELATION) * difficulty_of_it + sqrt(1 - CORRELATION) * normal()
                latent = sqrt(CORRELATION) * skill + sqrt(1 - CORRELATION) * own
            summed = np.zeros(shape)
            for _ in range(cell.repeats):
                drawn = latent
                if cell.repeats > 1:
                    drawn = sqrt(1 - REPEAT_NOISE) * latent + sqrt(REPEAT_NOISE) * random.standard_normal(shape)
                summed += kind.scores(drawn, loss)
            count = np.full((runs, groups), float(cell.size * cell.repeats))
            totals.append(np.stack([summed.sum(axis=-1), count], axis=-1))
        found.append((totals[0], totals[1]))
    return found


def limits_of(
    cell: Cell, data: list[tuple[FloatArray, FloatArray]]
) -> tuple[list[ArrayLimits], Callable[[], ArrayLimits]]:
    """The limits of each metric's difference, and (when called for) those of the baseline's value in the first."""
    metrics = [KINDS[name].metric for name in cell.kinds]
    # Draws of single precision take half the time, and differ from those of double in the seventh digit.
    tables = [(metric, one.astype(np.float32)) for metric, pair in zip(metrics, data, strict=True) for one in pair]
    drawn = replicates(tables)  # type: ignore[arg-type]
    found = []
    for place, (metric, (ours, theirs)) in enumerate(zip(metrics, data, strict=True)):
        one, two = drawn[2 * place : 2 * place + 2]
        found.append(difference_limits(metric, ours, theirs, None if one is None or two is None else (one, two)))
    return found, lambda: value_limits(metrics[0], data[0][1], drawn[1])


def verdicts_of(limits: list[ArrayLimits], margins: list[float], runs: int) -> Iterator[dict[int, str]]:
    """The verdicts of each run, by `decide` itself."""
    cached = [cache(one) for one in limits]

    def of_run(one: ArrayLimits, run: int) -> Limits:
        def at(level: float) -> tuple[float, float]:
            low, high = one(level)
            return low[run], high[run]

        return at

    numbered = dict(enumerate(margins))
    for run in range(runs):
        yield dict(decide({place: of_run(one, run) for place, one in enumerate(cached)}, numbered, ALPHA))


@dataclass
class Counts:
    """Of the runs of a cell, how many …"""

    better: int = 0
    worse: int = 0
    not_worse: int = 0
    value_covered: int = 0
    difference_covered: int = 0


def run_cell(cell: Cell, runs: int, seed: int = 20261121) -> Counts:
    """Simulate a cell in batches that fit in memory."""
    counts = Counts()
    random = np.random.default_rng([seed, cell.n, cell.size, cell.repeats, len(cell.kinds), *map(ord, cell.kinds[0])])
    batch = max(10, NUMBERS // (4000 * 4 * len(cell.kinds)))
    kinds = [KINDS[name] for name in cell.kinds]
    for start in range(0, runs, batch):
        size = min(batch, runs - start)
        differences, value = limits_of(cell, simulate(random, cell, size, lost=False))
        low, high = value()(ALPHA)
        counts.value_covered += int(((low <= kinds[0].truth(0)) & (kinds[0].truth(0) <= high)).sum())
        low, high = differences[0](ALPHA)
        counts.difference_covered += int(((low <= 0) & (high >= 0)).sum())
        for verdicts in verdicts_of(differences, [0.0] * len(kinds), size):
            counts.better += "better" in verdicts.values()
            counts.worse += "worse" in verdicts.values()
        differences, _ = limits_of(cell, simulate(random, cell, size, lost=True))
        for verdicts in verdicts_of(differences, [kind.margin for kind in kinds], size):
            counts.not_worse += "better" in verdicts.values() or "not worse" in verdicts.values()
    return counts


def planned_power(cell: Cell, margin: float, runs: int) -> tuple[int, float]:
    """`samples_needed` of equally good models from the true spread, and how often that many questions settle it."""
    random = np.random.default_rng([3, cell.n, cell.size, cell.repeats])
    pilot = simulate(random, Cell(cell.kinds, 100_000, cell.size, cell.repeats), 1, lost=False)
    low, high = limits_of(cell, pilot)[0][0](ALPHA)
    half = float(high[0] - low[0]) / 2 * sqrt(100_000 / 20)
    needed = samples_needed(Estimate(value=0.0, low=-half, high=half, n=20), margin, ALPHA)
    assert needed is not None  # a margin is a gap
    n = -(-needed // cell.size) * cell.size
    settled, batch = 0, 500
    for _ in range(0, runs, batch):
        data = simulate(random, Cell(cell.kinds, n, cell.size, cell.repeats), batch, lost=False)
        found = verdicts_of(limits_of(cell, data)[0], [margin], batch)
        settled += sum(one[0] in ("better", "not worse") for one in found)
    return n, settled / (batch * -(-runs // batch))


SHAPES = ({}, {"repeats": 5}, {"size": 5})
MIXED = ("share 70", "fraction", "number", "share 90", "real")


def cells() -> Iterator[Cell]:
    """Those of the full table. Only shares need no bootstrap, so the others have fewer of the large cells."""
    for name in ("share 70", "share 90", "fraction", "number"):
        for shape in SHAPES:
            large = name.startswith("share") or "repeats" not in shape
            for n in (20, 50, 200, 1000) if large else (20, 50, 200):
                yield Cell((name,), n, **shape)
    for shape in SHAPES:
        for n in (50, 200):
            yield Cell(MIXED, n, **shape)
    for n, size in ((50, 1), (200, 1), (200, 5)):
        yield Cell(MIXED * 4, n, size)


QUICK = (Cell(("share 90",), 50, size=5), Cell(("number",), 50), Cell(MIXED, 50))
PLANS = (
    (Cell(("share 70",), 0), 0.1),
    (Cell(("share 70",), 0, repeats=5), 0.1),
    (Cell(("share 70",), 0, size=5), 0.1),
    (Cell(("share 90",), 0), 0.05),
    (Cell(("fraction",), 0), 0.05),
    (Cell(("number",), 0), 0.2),
    (Cell(("real",), 0, size=5), 0.2),
)


def percent(count: int, runs: int, marked: bool) -> str:
    return f"{100 * count / runs:.2f}{' *' if marked else ''}"


def row(cell: Cell, counts: Counts, runs: int) -> str:
    """A line of the table."""
    most = ALPHA + 3 * sqrt(ALPHA * (1 - ALPHA) / runs)
    rates = (counts.better, counts.worse, counts.not_worse)
    covered = (counts.value_covered, counts.difference_covered)
    off = 3 * sqrt(ALPHA * (1 - ALPHA) / runs)
    figures = [percent(one, runs, one / runs > most) for one in rates]
    figures += [percent(one, runs, abs(one / runs - 1 + ALPHA) > off) for one in covered]
    return f"| {cell.label} | {' | '.join(figures)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="three cells only")
    arguments = parser.parse_args()
    started = time.monotonic()
    print("| metric | questions are | n | groups | false better | false worse | false not worse | value | difference |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for cell in QUICK if arguments.quick else cells():
        print(row(cell, run_cell(cell, arguments.runs), arguments.runs), flush=True)
    print(f"\n{arguments.runs:,} runs a cell, {time.monotonic() - started:.0f} s\n")
    print("| metric | questions are | margin | n said | settled |\n|---|---|---:|---:|---:|")
    for cell, margin in () if arguments.quick else PLANS:
        n, power = planned_power(cell, margin, arguments.runs)
        label = cell.label.rpartition(" | ")[0].rpartition(" | ")[0]
        print(f"| {label} | {margin} | {n} | {100 * power:.1f} |", flush=True)
    print(f"\n{time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
