import numpy as np
import pytest

from llmops.data.findings import Hits
from llmops.data.validation.quality import quality_scores


def hits(rule: str, *rows: int) -> Hits:
    return Hits(rule, np.array(rows, dtype=np.int64), ["…"] * len(rows))


def test_scores_are_products_over_rules() -> None:
    # Weights: encoding-damage 0.5, personal-data 0.3, empty-input 1, too-few-examples 0.
    found = [
        hits("encoding-damage", 1, 3),
        hits("personal-data", 1, 2),
        hits("empty-input", 4),
        hits("too-few-examples", 0),
    ]
    scores = quality_scores(5, found)
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([1.0, 0.5 * 0.7, 0.7, 0.5, 0.0])


def test_a_rule_counts_once_a_row() -> None:
    twice = [hits("truncated-text", 0, 1), hits("truncated-text", 1)]
    assert quality_scores(2, twice).tolist() == [0.5, 0.5]
    assert quality_scores(2, []).tolist() == [1.0, 1.0]
    assert quality_scores(0, []).tolist() == []
