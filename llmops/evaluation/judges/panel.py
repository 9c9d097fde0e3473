"""The consensus of a panel: one value a sample from the votes of several judges.

A vote that is missing is missing: it counts neither for nor against, and too few votes make no verdict.
"""

import numpy as np

from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.metrics.metric import FloatArray


def consensus(votes: FloatArray, config: JudgeConfig) -> FloatArray:
    """One value a sample, (m,), NaN where there is no verdict.

    majority: the vote that most judges gave (for three judges and pass/fail: two of them). mean: of the votes there
    are. weighted: the same with each judge's weight.

    Args:
        votes: (m, judges), in the order of `config.models`, NaN where a judge gave no verdict.
        config: consensus, ties, weights, quorum.

    >>> panel = JudgeConfig(kind="pass_fail", models=("a", "b", "c"), instructions="Is it right?")
    >>> votes = np.array([[1, 1, 0], [1, 0, np.nan], [1, np.nan, np.nan]])
    >>> consensus(votes, panel).tolist()
    [1.0, nan, nan]
    """
    given = np.isfinite(votes)
    if config.consensus == "majority":
        values = most_votes(votes, config.ties)
    else:
        weights = np.array([config.weights[model] for model in config.models]) if config.weights else 1.0
        present = given * weights
        total = present.sum(axis=1)
        sums = (np.where(given, votes, 0.0) * present).sum(axis=1)
        values = np.divide(sums, total, out=np.full(len(votes), np.nan), where=total > 0)
    scores: FloatArray = np.where(given.sum(axis=1) >= config.needed_votes, values, np.nan)
    return scores


def most_votes(votes: FloatArray, ties: str = "no_verdict") -> FloatArray:
    """The value with the most votes of each row, (m,); NaN for a row without votes.

    ties: what counts where several values have the most votes: no_verdict (NaN), the lowest of them, their mean.
    """
    values = np.unique(votes[np.isfinite(votes)])
    if not values.size:
        return np.full(len(votes), np.nan)
    counts = np.stack([(votes == value).sum(axis=1) for value in values], axis=1)
    top = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    leaders = top.sum(axis=1)
    if ties == "mean":
        sums = (top * values).sum(axis=1)
        means: FloatArray = np.divide(sums, leaders, out=np.full(len(votes), np.nan), where=leaders > 0)
        return means
    chosen: FloatArray = np.where(leaders > 0, values[top.argmax(axis=1)], np.nan)
    return chosen if ties == "lowest" else np.where(leaders == 1, chosen, np.nan)
