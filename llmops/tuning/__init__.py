"""Hyperparameter search.

=============  =====================================================================
``spaces``     what may be varied: the ranges and choices a person writes in YAML
``search``     a resumable search over such a space, one trial at a time
=============  =====================================================================
"""

from llmops.tuning.search import Search, SearchConfig, Trial
from llmops.tuning.spaces import SearchSpace

__all__ = ["Search", "SearchConfig", "SearchSpace", "Trial"]
