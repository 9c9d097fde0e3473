"""Hyperparameter search.

==============  =========================================================================
``spaces``      what may be varied, with conditions; the points of a grid
``dimensions``  one field of it: choices or a range
``config``      how a search is set up: trials, sampler, pruner, objectives, budget
``search``      claims, outcomes and results, shared by processes and machines
``attempts``    one process's go at a trial, as it stands in the storage
``trials``      a trial and its outcome
``samplers``    who proposes the next trial
``objectives``  what is to be low; the Pareto front and the best
``budgets``     what was spent, and whether that is all
``pruners``     which trials end early, and on what scale they are compared
``storage``     SQLite or PostgreSQL, with its lock, its clock and the heartbeats
``addresses``   addresses of databases as people write them, and as they may be shown
``evidence``    which dimensions the loss depends on, where that is more than chance
``finalists``   the best trained again with new seeds: does the winner win by more than noise?
==============  =========================================================================
"""

from llmops.tuning.budgets import Spent
from llmops.tuning.config import SearchBudget, SearchConfig
from llmops.tuning.finalists import Finale, Finalist, finalists, judge_finalists
from llmops.tuning.search import Search
from llmops.tuning.spaces import SearchSpace
from llmops.tuning.trials import Trial, TrialOutcome, TrialTakenError

__all__ = [
    "Finale",
    "Finalist",
    "Search",
    "SearchBudget",
    "SearchConfig",
    "SearchSpace",
    "Spent",
    "Trial",
    "TrialOutcome",
    "TrialTakenError",
    "finalists",
    "judge_finalists",
]
