"""Importances that find what matters, and nothing where nothing does."""

import math
import random
from pathlib import Path
from typing import Any

import optuna

from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, TrialOutcome
from llmops.tuning.evidence import importances

SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}, "warmup_ratio": {"low": 0.0, "high": 0.5}}


def searched(folder: Path, trials: int, **settings: Any) -> Search:
    config = {"trials": trials, "sampler": "random", "space": SPACE, **settings}
    search = Search(folder, SearchConfig.model_validate(config), TrainingConfig())
    while (trial := search.claim()) is not None:
        loss = math.log10(trial.values["learning_rate"]) ** 2 + 0.01 * trial.values["warmup_ratio"]
        search.finish(trial, TrialOutcome(math.inf if trial.number == 3 else loss, seconds=1.0))
    return search


def test_what_the_loss_depends_on_is_important(tmp_path: Path) -> None:
    found = searched(tmp_path, 14, objectives=["seconds", "validation_loss"]).importances()
    assert found is not None
    assert list(found) == ["learning_rate"]
    assert found["learning_rate"] > 0.8


def test_where_nothing_matters_nothing_is_important() -> None:
    """Losses drawn without a look at the trial; of 6 dimensions, 6 / 21 are expected to pass by chance.

    The shares of each forest add up to 1 all the same. More than 2 pass with a probability of 0.002.
    """
    distributions = {f"field {n}": optuna.distributions.FloatDistribution(0, 1) for n in range(3)}
    passed = 0
    for seed in range(2):
        draw = random.Random(seed)
        study = optuna.create_study()
        for _ in range(12):
            params = {name: draw.random() for name in distributions}
            study.add_trial(optuna.create_trial(value=draw.gauss(0, 1), params=params, distributions=distributions))
        found = importances(study)
        assert found is not None
        passed += len(found)
    assert passed <= 2


def test_few_trials_say_nothing_about_importance(tmp_path: Path) -> None:
    assert searched(tmp_path, 5).importances() is None
