"""A quality score for each sample out of what the rules found in it."""

from collections.abc import Sequence

import numpy as np

from llmops.data.findings import Hits
from llmops.data.validation.rules import RULES


def quality_scores(rows: int, hits: Sequence[Hits]) -> np.ndarray:
    """Scores of `rows` samples, float32 from 0 to 1: the product of 1 - weight over the rules that hit the row.

    A rule counts once a row however often it hit it. The weights stand in `RULES`; a row that no rule hit has 1.

    >>> hits = [Hits("boilerplate", np.array([1]), ["…"]), Hits("personal-data", np.array([1, 2]), ["…", "…"])]
    >>> quality_scores(3, hits).round(2).tolist()
    [1.0, 0.2800000011920929, 0.699999988079071]
    """
    scores = np.ones(rows, dtype=np.float32)
    by_rule: dict[str, list[np.ndarray]] = {}
    for one in hits:
        by_rule.setdefault(one.rule, []).append(one.rows)
    for rule, found in by_rule.items():
        if rule in RULES:
            scores[np.unique(np.concatenate(found))] *= 1 - RULES[rule].weight
    return scores
