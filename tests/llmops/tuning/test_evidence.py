"""Importances that find what matters, and nothing where nothing does."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, TrialOutcome, evidence
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
    """Losses drawn without a look at the trial; each search tells something with a probability of at most 1/21."""
    distributions = {f"field {n}": optuna.distributions.FloatDistribution(0, 1) for n in range(3)}
    told = []
    for seed in range(2):
        draw = random.Random(seed)
        study = optuna.create_study()
        for _ in range(12):
            params = {name: draw.random() for name in distributions}
            study.add_trial(optuna.create_trial(value=draw.gauss(0, 1), params=params, distributions=distributions))
        found = importances(study)
        assert found is not None
        told.append(found)
    assert told == [{}, {}]


class Trials:
    """A study of trials whose losses were drawn without a look at their 6 fields."""

    def __init__(self, draw: random.Random) -> None:
        distributions = {f"field {n}": optuna.distributions.FloatDistribution(0, 1) for n in range(6)}
        self._trials = [
            optuna.create_trial(
                value=draw.gauss(0, 1),
                params={name: draw.random() for name in distributions},
                distributions=distributions,
            )
            for _ in range(12)
        ]

    def get_trials(self, **_: Any) -> list[Any]:
        return self._trials


def test_of_many_fields_that_do_not_matter_none_is_told_in_20_of_21_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """By simulation, within three Monte Carlo standard errors; a quarter of the searches if each field had its own try.

    With squared correlations for shares: they take less time than forests, and what counts is what is done with them.
    """

    def correlations(trials: list[Any], names: list[str], losses: list[float]) -> dict[str, float]:
        values = np.array([[one.params[name] for one in trials] for name in names])
        return {name: float(np.corrcoef(row, losses)[0, 1] ** 2) for name, row in zip(names, values, strict=True)}

    monkeypatch.setattr(evidence, "_shares", correlations)
    draw, runs = random.Random(0), 500
    told = sum(bool(importances(Trials(draw))) for _ in range(runs))
    chance = 1 / 21
    assert abs(told / runs - chance) <= 3 * math.sqrt(chance * (1 - chance) / runs)


def test_few_trials_say_nothing_about_importance(tmp_path: Path) -> None:
    assert searched(tmp_path, 5).importances() is None
