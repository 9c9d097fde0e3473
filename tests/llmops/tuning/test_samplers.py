"""Samplers: what each proposes, the same whatever processes ask, better than chance where they learn."""

import importlib.util
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, TrialOutcome
from llmops.tuning.samplers import make_sampler

LORA = TrainingConfig(method="lora")
CONDITIONAL = {
    "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "method": ["full", "lora"],
    "rank": {"low": 4, "high": 64},
    "batch_size": [8, 16],
}


def loss_of(values: dict[str, Any]) -> float:
    """Lowest at a learning rate of 0.003 with adapters of rank 40."""
    apart = abs(math.log10(values["learning_rate"]) - math.log10(0.003))
    return apart + (abs(values["rank"] - 40) / 60 if values["method"] == "lora" else 1.0)


def searched(folder: Path, **settings: Any) -> Search:
    search = Search(folder, SearchConfig.model_validate(settings), LORA)
    while (trial := search.claim()) is not None:
        search.finish(trial, TrialOutcome(loss_of(trial.values), seconds=trial.values["batch_size"]))
    return search


@pytest.mark.parametrize(
    ("sampler", "objectives"),
    [
        ("tpe", ["validation_loss"]),
        ("tpe", ["seconds", "validation_loss"]),
        ("random", ["seconds", "validation_loss"]),
        ("gp", ["validation_loss"]),
    ],
)
def test_conditions_hold_for_every_sampler_and_number_of_objectives(
    tmp_path: Path, sampler: str, objectives: list[str]
) -> None:
    if sampler == "gp":
        pytest.importorskip("torch")
    search = searched(tmp_path, trials=5, sampler=sampler, space=CONDITIONAL, objectives=objectives)
    assert len(search.finished()) == 5
    for trial in search.finished():
        assert ("rank" in trial.values) == (trial.values["method"] == "lora")
        TrainingConfig.model_validate(trial.values)
    assert search.best().loss == min(one.loss or 0.0 for one in search.finished())
    assert search.best() in search.pareto_front()


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_sampler_takes_infinite_losses(tmp_path: Path, sampler: str) -> None:
    if sampler == "gp":
        pytest.importorskip("torch")
    objectives = ["validation_loss", "seconds"]
    settings = {"trials": 4, "sampler": sampler, "objectives": objectives, "space": CONDITIONAL}
    search = Search(tmp_path, SearchConfig.model_validate(settings), LORA)
    while (trial := search.claim()) is not None:
        search.finish(trial, TrialOutcome(math.inf if trial.number % 2 else 1.0, seconds=1.0))
    assert len(search.finished()) == 4
    assert [one.number for one in search.pareto_front()] == [0, 2]


def test_a_search_proposes_the_same_whatever_process_asks(tmp_path: Path) -> None:
    """One opened anew for every trial proposes what one that stays open does, and no point twice."""
    settings = {"trials": 4, "space": CONDITIONAL, "sampler": "tpe"}
    whole = searched(tmp_path / "whole", **settings)
    for trials in range(1, 5):
        pieces = searched(tmp_path / "pieces", **{**settings, "trials": trials})
    values = [one.values for one in pieces.finished()]
    assert [one["learning_rate"] for one in values[:2]] == [one.values["learning_rate"] for one in whole.finished()[:2]]
    assert len({one["learning_rate"] for one in values}) == 4


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_sampler_that_learns_beats_chance(sampler: str) -> None:
    """Median over seeds of the best loss of 14: what these samplers are used for, by a margin noise does not reach."""
    import optuna

    if sampler == "gp":
        pytest.importorskip("torch")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def best(name: str, seed: int) -> float:
        config = SearchConfig.model_validate({"sampler": name, "seed": seed})
        study = optuna.create_study()
        for number in range(14):
            study.sampler = make_sampler(config, number, planned=14, conditional=False, objectives=1)
            trial = study.ask()
            study.tell(trial, abs(math.log10(trial.suggest_float("rate", 1e-6, 1.0, log=True)) + 2.5))
        return study.best_value

    def median_best(name: str) -> float:
        return statistics.median(best(name, seed) for seed in range(3))

    assert median_best(sampler) < median_best("random")


def test_gp_without_torch_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))
    search = Search(tmp_path, SearchConfig(sampler="gp"), LORA)
    with pytest.raises(InputError, match=r"gp needs torch.*llmops\[local\]"):
        search.claim()
