"""Who proposes the next trial: Optuna's samplers, each seeded for one trial."""

import hashlib
import importlib.util
import warnings
from typing import Any

from llmops.errors import InputError
from llmops.tuning.config import SearchConfig


def make_sampler(config: SearchConfig, number: int, *, planned: int, conditional: bool, objectives: int) -> Any:
    """A sampler for the trial of this number.

    A sampler of its own for each trial: workers that all begin with the same seed would all propose the same
    points, and so would a search that goes on after a crash. The state is in the storage, not in the sampler.

    Args:
        planned: trials of the whole search; a third of them, at most 10 and at least 2, are random before tpe or
            gp propose, or few trials would be nothing but the start-up.
        conditional: some dimensions do not always count; tpe then learns the groups of those that go together,
            gp proposes those that always count and leaves the others to chance.

    Raises:
        InputError: gp without torch.
    """
    import optuna
    from optuna.exceptions import ExperimentalWarning

    seed = seed_of(config.seed, number)
    startup = min(10, max(2, planned // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if config.sampler == "tpe":
            # Proposals keep away from the trials under way (constant liar), which workers would otherwise repeat.
            return optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=startup,
                multivariate=objectives == 1 or conditional,
                group=conditional,
                constant_liar=True,
            )
        if config.sampler == "gp":
            if importlib.util.find_spec("torch") is None:
                raise InputError("search.sampler gp needs torch, which is not installed; pip install 'llmops[local]'")
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
    return optuna.samplers.RandomSampler(seed=seed)


def seed_of(seed: int, number: int) -> int:
    """A seed for one trial; neighbouring trials and searches have nothing in common."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")
