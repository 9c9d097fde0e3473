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
EARLIEST = 30  # percent of the run


def make_pruner(config: SearchConfig) -> Any:
    """The pruner of a search, over shares of the run in percent.

    median
        ends a trial whose best loss so far is above the median of the trials before at the same share, once five
        of them have run to their end and five have a loss there.
    hyperband
        successive halving (factor 3) at 30 and 90 %, or at 90 % alone: two brackets, which spread the risk that an
        early loss says little (Li et al., JMLR 18, 2018). It prunes from the second trial of a bracket on.

    Nothing is pruned in the first 30 % of a run (`EARLIEST`): the warm-up is over then for most settings, and
    before that a high learning rate looks worse than it is.
    """
    import optuna

    if config.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=EARLIEST, n_min_trials=5)
    if config.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=EARLIEST, max_resource=100, reduction_factor=3)
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
