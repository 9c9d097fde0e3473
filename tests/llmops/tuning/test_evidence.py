"""Tables for the pictures of a search, and importances that find what matters."""

import math
from pathlib import Path
from typing import Any

from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, Trial, TrialOutcome
from llmops.tuning.evidence import Axis, axes, history

SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}, "warmup_ratio": {"low": 0.0, "high": 0.5}}


def searched(folder: Path, trials: int, **settings: Any) -> Search:
    config = {"trials": trials, "sampler": "random", "space": SPACE, **settings}
    search = Search(folder, SearchConfig.model_validate(config), TrainingConfig())
    while (trial := search.claim()) is not None:
        loss = math.log10(trial.values["learning_rate"]) ** 2 + 0.01 * trial.values["warmup_ratio"]
        search.finish(trial, TrialOutcome(math.inf if trial.number == 3 else loss, seconds=1.0))
    return search


def test_history_keeps_the_lowest_of_the_finished() -> None:
    def trial(number: int, state: Any, loss: float) -> Trial:
        return Trial(number, {}, state, outcome=TrialOutcome(loss))

    rows = history(
        [
            trial(0, "diverged", math.inf),
            trial(1, "finished", 2.0),
            trial(2, "pruned", 1.0),
            trial(3, "finished", 3.0),
            trial(4, "finished", 1.5),
            Trial(5, {}),
        ]
    )
    assert [(one.loss, one.best) for one in rows] == [
        (None, None),
        (2.0, 2.0),
        (1.0, 2.0),
        (3.0, 2.0),
        (1.5, 1.5),
        (None, 1.5),
    ]


def test_axes_have_scales_ends_and_choices(tmp_path: Path) -> None:
    search = Search(tmp_path, SearchConfig(), TrainingConfig())
    assert axes(search.dimensions)[:2] == [
        Axis("learning_rate", "log", low=4e-3, high=1e-2),
        Axis("batch_size", "choices", choices=(16, 32)),
    ]


def test_what_the_loss_depends_on_is_important(tmp_path: Path) -> None:
    found = searched(tmp_path, 14, objectives=["seconds", "validation_loss"]).importances()
    assert found is not None
    assert list(found) == ["learning_rate", "warmup_ratio"]
    assert math.isclose(sum(found.values()), 1.0)
    assert found["learning_rate"] > 0.9


def test_few_trials_say_nothing_about_importance(tmp_path: Path) -> None:
    assert searched(tmp_path, 5).importances() is None
