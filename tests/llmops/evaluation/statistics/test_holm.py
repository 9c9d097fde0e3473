"""Holm's correction against statsmodels, as levels and as adjusted p-values."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from llmops.evaluation.statistics.holm import holm, holm_adjusted


# statsmodels takes a tenth of a second a call.
@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=9), st.sampled_from([0.01, 0.05, 0.1]))
def test_holm_equals_statsmodels(p_values: list[float], alpha: float) -> None:
    rejected, adjusted = multipletests(p_values, alpha=alpha, method="holm")[:2]
    p = dict(enumerate(p_values))
    assert holm(p, lambda name, level: p[name] <= level, alpha) == set(np.flatnonzero(rejected).tolist())
    found = holm_adjusted(p)
    assert np.allclose([found[place] for place in p], adjusted)
