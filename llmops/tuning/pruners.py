"""Which trials end early, and on what scale trials of different lengths are compared.

Losses are compared at the same share of the run, at every tenth of it, and not after the same number of steps. The
learning rate's schedule is stretched over the run: after 100 steps a run of 100 steps has cooled down and one of
1000 is still hot, so that steps would end long runs for being long. At the same share both are at the same point
of their schedule, and the loss says what this configuration comes to. (The price: a tenth of a long run costs more
than a tenth of a short one.)

Trials are evaluated at different steps, so the loss at a tenth is interpolated between the evaluations around it.
"""

import math
from collections.abc import Mapping
from typing import Any

from llmops.tuning.config import SearchConfig

TENTHS = range(10, 101, 10)


def make_pruner(config: SearchConfig) -> Any:
    """The pruner of a search, over shares of the run in percent.

    median
        ends a trial whose best loss so far is above the median of the finished trials at the same share; the
        first trials (a fifth of all, 2 to 5) run to their end.
    hyperband
        successive halving (factor 3) from 10, 30 or 90 % on: three brackets, which spread the risk that an early
        loss says little (Li et al., JMLR 18, 2018).
    """
    import optuna

    if config.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=min(5, max(2, config.trials // 5)), n_warmup_steps=10)
    if config.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=10, max_resource=100, reduction_factor=3)
    return optuna.pruners.NopPruner()


def losses_at_tenths(before: tuple[float, float] | None, after: tuple[float, float]) -> Mapping[int, float]:
    """The losses at the tenths of a run that lie between two evaluations.

    Args:
        before: (share of the run in percent, loss) of the evaluation before; None for the first, which has
            nothing to be interpolated with and counts for the tenth it is on only.
        after: the same of this evaluation.

    >>> losses_at_tenths((8, 2.0), (16, 1.0))
    {10: 1.75}
    >>> losses_at_tenths(None, (25, 1.0)), losses_at_tenths((25, 1.0), (50, 0.5))
    ({}, {30: 0.9, 40: 0.7, 50: 0.5})
    """
    share, loss = after
    if before is None:
        return {int(share): loss} if share in TENTHS else {}
    start, first = before
    return {
        tenth: loss if tenth == share else _between(first, loss, (tenth - start) / (share - start))
        for tenth in TENTHS
        if start < tenth <= share
    }


def _between(first: float, last: float, part: float) -> float:
    value = first + (last - first) * part
    return value if math.isfinite(value) else math.inf
