"""The search: enough trials, the lowest loss wins, and a search that died goes on."""

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, SearchSpace

LORA = TrainingConfig(method="lora")


def loss_of(values: dict[str, float]) -> float:
    """A bowl in the logarithm of the learning rate with its bottom at 0.003."""
    return (math.log10(values["learning_rate"]) - math.log10(0.003)) ** 2 + values["epochs"] * 0.001


def finish(search: Search) -> None:
    for trial in search.remaining():
        search.tell(trial, loss_of(trial.values))


def test_it_runs_as_many_trials_as_asked_inside_the_space(tmp_path: Path) -> None:
    config = SearchConfig(trials=5)
    search = Search(tmp_path, config, LORA)
    finish(search)
    assert len(search.finished()) == 5
    for trial in search.finished():
        assert 4e-3 <= trial.values["learning_rate"] <= 1e-2
        assert trial.values["batch_size"] in config.space.batch_size
        assert trial.values["rank"] in config.space.rank
    assert search.best().loss == min(trial.loss for trial in search.finished())


def test_a_search_that_died_repeats_only_its_open_trial(tmp_path: Path) -> None:
    config = SearchConfig(trials=4)
    first = Search(tmp_path, config, LORA)
    trials = first.remaining()
    done = next(trials)
    first.tell(done, 0.5)
    died_in = next(trials)

    second = Search(tmp_path, config, LORA)
    again = next(iter(second.remaining()))
    assert (again.number, again.values) == (died_in.number, died_in.values)
    second.tell(again, 0.4)
    finish(second)
    assert [trial.number for trial in second.finished()] == [0, 1, 2, 3]
    assert second.finished()[0].loss == 0.5


def test_a_diverged_trial_counts_and_never_wins(tmp_path: Path) -> None:
    search = Search(tmp_path, SearchConfig(trials=2), LORA)
    for trial, loss in zip(search.remaining(), (math.nan, 3.0), strict=False):
        search.tell(trial, loss)
    assert [trial.loss for trial in search.finished()] == [math.inf, 3.0]
    assert search.best().number == 1


def test_the_bayesian_sampler_beats_random_on_a_bowl(tmp_path: Path) -> None:
    """Median over seeds of the best of 20: a property TPE is used for, at a margin noise does not reach."""

    def median_best(sampler: str) -> float:
        best = []
        for seed in range(7):
            space = SearchSpace(learning_rate=[1e-6, 1.0], batch_size=[], rank=[])
            config = SearchConfig.model_validate({"trials": 20, "sampler": sampler, "seed": seed, "space": space})
            search = Search(tmp_path / f"{sampler}-{seed}", config, LORA)
            finish(search)
            best.append(search.best().loss or 0.0)
        return sorted(best)[3]

    assert median_best("tpe") < median_best("random")


def test_full_fine_tuning_has_no_rank() -> None:
    assert "rank" not in SearchSpace().distributions(TrainingConfig(method="full"))
    assert "rank" in SearchSpace().distributions(LORA)


def test_where_max_steps_sets_the_length_epochs_are_not_searched() -> None:
    fixed = LORA.model_copy(update={"max_steps": 30})
    assert set(SearchSpace().distributions(LORA)) - set(SearchSpace().distributions(fixed)) == {"epochs"}


@pytest.mark.parametrize("bounds", [[0.01], [0.01, 0.001], [0.0, 0.1]])
def test_bounds_that_make_no_sense_are_refused(bounds: list[float]) -> None:
    with pytest.raises(ValidationError):
        SearchSpace(learning_rate=bounds)
