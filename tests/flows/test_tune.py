"""The search as people run it, on real trainings of toy size, in this process."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llmops.errors import InputError, ServiceError
from llmops.finetuning import TrainingDivergedError
from llmops.tuning import Search, SearchBudget, Trial, TrialOutcome
from tasks.search_failures import TrialsFailAlikeError
from tasks.search_result import SearchResult
from tests.flows.searching_there import SPACE, run_search, runs, search

pytestmark = pytest.mark.service


def test_a_search_leaves_its_best_its_trials_and_pictures_and_goes_on_with_more_trials(toy: Path) -> None:
    result = run_search(search(sampler="tpe"), sampler="random", trials=3)
    assert [one.number for one in result.trials] == [1, 2, 3]
    assert all(one.state == "finished" and one.steps == 10 and one.tokens for one in result.trials)
    best = min(result.trials, key=lambda one: one.loss or 9.0)
    assert (result.best, result.best_trial, result.pareto) == (best.values, best.number, [best.number])
    assert f"--training.learning-rate {best.values['learning_rate']}" in result.next_command
    assert "--scratch.hidden 16" in result.next_command
    leaves_a_record(toy, result)

    again = run_search(search())
    assert (again.reused, again.run_id, again.best, again.trials) == (True, result.run_id, result.best, result.trials)
    assert len(runs(toy, "trial")) == 3

    more = run_search(search(trials=4))
    assert [one.values for one in more.trials[:3]] == [one.values for one in result.trials]
    assert (more.run_id, len(runs(toy, "trial")), len(runs(toy, "tune"))) == (result.run_id, 4, 1)


def leaves_a_record(home: Path, result: SearchResult) -> None:
    client = MlflowClient()
    assert result.run_id is not None
    children = {run.info.run_id: run for run in runs(home, "trial")}
    assert {one.run_id for one in result.trials} == set(children)
    for one in result.trials:
        child = children[str(one.run_id)]
        assert child.data.tags["mlflow.parentRunId"] == result.run_id
        assert (child.data.tags["trial"], child.data.tags["trial.state"]) == (str(one.number), "finished")
        assert float(child.data.params["learning_rate"]) == one.values["learning_rate"]
        curve = client.get_metric_history(child.info.run_id, "validation_loss")
        assert max(curve, key=lambda point: point.step).value == pytest.approx(one.loss)
    pictures = {file.path for file in client.list_artifacts(result.run_id, "pictures")}
    assert pictures == {"pictures/history.png", "pictures/parallel_coordinates.png"}
    table = (Path(str(result.pictures)).parent / "trials.csv").read_text().splitlines()
    assert table[0].startswith("trial,state,learning_rate,loss")
    assert len(table) == 4
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as prefect:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["search-toy", "search-toy-trials"]))
        # Other tests have left theirs on the same server: the newest of each.
        left = sorted(prefect.read_artifacts(artifact_filter=wanted), key=lambda artifact: str(artifact.created))
        found = {artifact.key: artifact.data for artifact in left}
    assert "data:image/png" in str(found["search-toy"])
    assert len(json.loads(str(found["search-toy-trials"]))) == 3


def test_a_pruned_trial_ends_its_training_and_is_no_failure(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Trial.report

    def second_is_pruned(trial: Trial, step: int, loss: float, total_steps: int) -> bool:
        report(trial, step, loss, total_steps)
        return trial.number == 1 and step >= 4

    monkeypatch.setattr(Trial, "report", second_is_pruned)
    result = run_search(search(pruner="median"))
    assert [one.state for one in result.trials] == ["finished", "pruned", "finished"]
    pruned = runs(toy, "trial 2")[0]
    assert (pruned.info.status, pruned.data.tags["trial.state"]) == ("FINISHED", "pruned")
    steps = [one.step for one in MlflowClient().get_metric_history(pruned.info.run_id, "validation_loss")]
    assert max(steps) == 4
    assert result.trials[1].steps == 4
    assert len(list((toy / "training").iterdir())) == 2, "the checkpoints of a pruned trial are of no use"


def test_a_diverged_trial_counts_and_never_wins(toy: Path) -> None:
    result = run_search(search(sampler="grid", space={"learning_rate": [5e-3, 1e30]}))
    assert sorted((one.values["learning_rate"], one.state) for one in result.trials) == [
        (5e-3, "finished"),
        (1e30, "diverged"),
    ]
    assert result.best == {"learning_rate": 5e-3}
    json.loads(result.model_dump_json())
    with pytest.raises(InputError, match="every trial became infinite"):
        run_search(search(sampler="grid", space={"learning_rate": [1e30]}))
    assert {run.info.status for run in runs(toy)} <= {"FINISHED", "FAILED"}


def test_a_trial_whose_training_raises_is_given_up_and_the_search_goes_on(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that runs out of memory: an exception in the middle of its training, each time."""
    report, raised = Trial.report, []

    def second_raises(trial: Trial, step: int, loss: float, total_steps: int) -> bool:
        if trial.number == 1:
            raised.append(step)
            raise RuntimeError("out of memory\nand more of it")
        return report(trial, step, loss, total_steps)

    monkeypatch.setattr(Trial, "report", second_raises)
    result = run_search(search())
    assert [one.state for one in result.trials] == ["finished", "given up", "finished"]
    assert len(raised) == 2
    assert result.trials[1].reason == "RuntimeError: out of memory"
    assert "Trial 2 was given up: RuntimeError: out of memory; the same command tries it once more" in result.notes
    failed = runs(toy, "trial 2")
    assert {run.info.status for run in failed} == {"FAILED"}
    assert {run.data.tags["trial.reason"] for run in failed} == {"RuntimeError: out of memory"}
    assert len(list((toy / "training").iterdir())) == 2, "the checkpoints of one that is given up are of no use"

    again = run_search(search())
    assert (again.trials[1].state, again.reused, len(raised)) == ("given up", False, 3)
    assert "Trial 2 was given up: RuntimeError: out of memory" in again.notes
    for_good = run_search(search())
    assert (for_good.trials, for_good.reused, len(raised)) == (again.trials, True, 3)


def test_where_every_trial_was_given_up_a_line_says_how_to_go_on(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Trial, "report", lambda *_: 1 / 0)
        for how in ("the same command tries each of them once more", "search anew with another search.seed"):
            with pytest.raises(InputError, match="every trial failed and was given up: ZeroDivisionError") as caught:
                run_search(search(trials=1))
            assert str(caught.value).endswith(f"; mend that, and {how}")
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="every trial failed"):
        run_search(search(trials=1))


def test_what_a_trial_that_raises_has_trained_is_kept_for_the_next_attempt(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, resumed = Trial.report, []

    def raises_once(trial: Trial, step: int, loss: float, total_steps: int) -> bool:
        if (trial.number, trial.attempt, step) == (1, 1, 8):
            raise RuntimeError("out of memory")
        return report(trial, step, loss, total_steps)

    def finish(search: Search, trial: Trial, outcome: TrialOutcome) -> bool:
        resumed.append(outcome.resumed_from)
        return finish_it(search, trial, outcome)

    finish_it = Search.finish
    monkeypatch.setattr(Trial, "report", raises_once)
    monkeypatch.setattr(Search, "finish", finish)
    result = run_search(search(trials=2))
    assert resumed == [0, 7]
    first, second = result.trials
    assert (second.state, second.steps) == ("finished", 10)
    assert first.tokens
    assert second.tokens
    # Eight steps of the first attempt, whose tokens are taken to be those of the other trial, and three of the second.
    assert result.spent.tokens == pytest.approx(first.tokens + 0.8 * first.tokens + 0.3 * second.tokens, abs=3)


@pytest.mark.parametrize(
    "error", [MlflowException("the database is locked"), OSError(errno.ENOSPC, "No space left on device")]
)
def test_what_breaks_around_a_trial_ends_the_command_and_not_the_trial(
    toy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def breaks(trial: Trial, step: int, loss: float, total_steps: int) -> bool:
        if trial.number == 1:
            raise error
        return report(trial, step, loss, total_steps)

    report = Trial.report
    with monkeypatch.context() as broken:
        broken.setattr(Trial, "report", breaks)
        for _ in range(3):
            with pytest.raises(ServiceError, match="mend that, and the same command goes on") as caught:
                run_search(search())
            assert type(error).__name__ in str(caught.value)
            assert "\n" not in str(caught.value)
            assert len(list((toy / "training").iterdir())) == 2
    result = run_search(search())
    assert [one.state for one in result.trials] == ["finished"] * 3


def test_trials_that_all_fail_alike_end_the_command_before_they_are_given_up(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the GPU of a process is lost: each training raises at once, whatever it is of."""
    began = []

    def broken(trial: Trial, step: int, loss: float, total_steps: int) -> bool:
        began.append(trial.number)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with monkeypatch.context() as patch, pytest.raises(TrialsFailAlikeError, match="trials 1, 2, 3 failed") as caught:
        patch.setattr(Trial, "report", broken)
        run_search(search(trials=5))
    assert "CUDA error" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert began == [0, 1, 2]
    result = run_search(search(trials=5))
    assert [one.state for one in result.trials] == ["finished"] * 5


def test_a_finalist_that_diverged_is_known_to_have(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import search_finale

    train, trained = search_finale.train_model, []

    def first_diverges(title: str, *arguments: Any) -> Any:
        trained.append(title)
        if len(trained) == 1:
            raise TrainingDivergedError("the loss is infinite")
        return train(title, *arguments)

    monkeypatch.setattr(search_finale, "train_model", first_diverges)
    config = search(trials=2, finalists=2, finalist_seeds=2)
    result = run_search(config)
    assert result.finale is not None
    assert [one.mean is None for one in result.finale.finalists] == [False, True]
    assert len(trained) == 4
    again = run_search(config)
    assert (again.reused, again.finale, len(trained)) == (True, result.finale, 4)


def test_a_finalist_whose_training_raises_is_left_out_and_tried_once_more(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import search_finale

    train, trained = search_finale.train_model, []
    fails: set[str] = set()

    def train_or_raise(title: str, *arguments: Any) -> Any:
        trained.append(title)
        if title in fails:
            raise RuntimeError("out of memory\nand more of it")
        return train(title, *arguments)

    monkeypatch.setattr(search_finale, "train_model", train_or_raise)
    numbers = [one.number for one in sorted(run_search(search(trials=2)).trials, key=lambda one: one.loss or 9.0)]
    config = search(trials=2, finalists=2, finalist_seeds=2)
    fails = {f"Finalist {numbers[0]}, seed 2"}
    note = f"Trial {numbers[0]} is left out of the finale: with seed 2, RuntimeError: out of memory"

    result = run_search(config)
    assert result.finale is not None
    assert ([one.trial for one in result.finale.finalists], result.best_trial) == ([numbers[1]], numbers[1])
    assert f"{note}; the same command tries it once more" in result.notes
    assert len(trained) == 4
    again = run_search(config)
    assert (len(trained), again.reused, note in again.notes) == (5, False, True)
    assert again.spent.seconds > result.spent.seconds, "what was spent on the first attempt is not forgotten"
    assert (run_search(config).reused, len(trained)) == (True, 5)

    # Another search with the same trainings.
    fails = {f"Finalist {number}, seed 2" for number in numbers}
    other = search(trials=2, pruner="median", finalists=2, finalist_seeds=2)
    nobody = run_search(other)
    assert nobody.finale is None
    assert "There was no finale: every finalist failed." in nobody.notes
    fails = set()
    mended = run_search(other)
    assert mended.finale is not None
    assert len(mended.finale.finalists) == 2


def test_what_breaks_around_the_finale_ends_the_command_and_not_the_finalist(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> None:
        raise MlflowException("the database is locked\nand more of it")

    config = search(trials=2, finalists=2, finalist_seeds=2)
    with monkeypatch.context() as broken, pytest.raises(ServiceError, match="MlflowException: the database is locked;"):
        broken.setattr("tasks.search_finale.train_model", breaks)
        run_search(config)
    result = run_search(config)
    assert result.finale is not None
    assert result.notes == [note for note in result.notes if "finale" not in note]


def test_a_spent_budget_ends_the_finale_and_its_trainings_count(toy: Path) -> None:
    config = search(trials=2, finalists=2, finalist_seeds=2)
    tokens = run_search(search(trials=2)).spent.tokens
    # Room for the trials and two trainings more: those of the first seed.
    budget = {"max_tokens": 2 * tokens}
    result = run_search(config.model_copy(update={"budget": SearchBudget.model_validate(budget)}))
    assert result.finale is not None
    assert [one.seeds for one in result.finale.finalists] == [[1], [1]]
    assert len(runs(toy, "finalist")) == 2
    assert result.spent.tokens >= 2 * tokens
    assert any("1 of 2 new seeds: the budget" in note for note in result.notes)
    again = run_search(config.model_copy(update={"budget": SearchBudget.model_validate(budget)}))
    assert (again.reused, again.spent) == (True, result.spent)


def test_finalists_are_trained_again_with_new_seeds_and_judged(toy: Path) -> None:
    result = run_search(search(finalists=2, finalist_seeds=2))
    assert result.finale is not None
    first, second = result.finale.finalists
    assert first.seeds == second.seeds == [1, 2]
    assert None not in (first.mean, second.mean)
    assert (first.mean or 0) <= (second.mean or 0)
    assert (result.best, result.best_trial) == (first.values, result.finale.winner)
    best_two = sorted(result.trials, key=lambda one: one.loss or 9.0)[:2]
    assert {first.trial, second.trial} == {one.number for one in best_two}
    assert result.finale.difference == pytest.approx((second.mean or 0) - (first.mean or 0))
    assert len(runs(toy, "finalist")) == 4
    again = run_search(search(finalists=2, finalist_seeds=2))
    assert (again.reused, again.finale) == (True, result.finale)


def test_several_objectives_keep_the_pareto_front(toy: Path) -> None:
    space = {"batch_size": [4, 16], "learning_rate": [5e-3]}
    result = run_search(search(sampler="grid", space=space, objectives=["validation_loss", "tokens"]))
    small, large = sorted(result.trials, key=lambda one: one.tokens or 0)
    # The larger batch sees four times as much in as many steps: better, and dearer.
    assert (small.values["batch_size"], large.values["batch_size"]) == (4, 16)
    assert large.objectives["validation_loss"] < small.objectives["validation_loss"]
    assert set(result.pareto) == {small.number, large.number}
    assert result.best_trial == large.number
    assert "pictures/pareto_front.png" in {
        file.path for file in MlflowClient().list_artifacts(str(result.run_id), "pictures")
    }


def test_trainings_of_another_search_cost_nothing_and_those_of_this_one_count_once(toy: Path) -> None:
    finale = {"finalists": 2, "finalist_seeds": 2}
    first = run_search(search(**finale))
    again = run_search(search(pruner="median", **finale))
    assert again.finale == first.finale
    assert [one.values for one in again.trials] == [one.values for one in first.trials]
    assert (again.reused, again.spent.trials, again.spent.tokens, again.spent.seconds) == (False, 3, 0, 0)
    assert [one.tokens for one in again.trials] == [one.tokens for one in first.trials]
    assert first.spent.tokens > sum(one.tokens or 0 for one in first.trials) > 0


def test_a_finished_search_stays_finished_when_more_finalists_are_interrupted(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_search(search(trials=2))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.search_finale.train_model", interrupted)
        run_search(search(trials=2, finalists=2, finalist_seeds=2))
    assert [run.info.status for run in runs(toy, "tune")] == ["FINISHED"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trial, "report", interrupted)
        run_search(search())
    assert [run.info.status for run in runs(toy, "tune")] == ["KILLED"], "a trial of it is missing"
    assert len(run_search(search()).trials) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 0}, "nothing to search"),
        ({"method": "lora"}, "set the method to full"),
        ({"config": {"space": {"method": ["full"]}}, "method": "full"}, "--method"),
        ({"config": {"space": {**SPACE, "rank": {"low": 4, "high": 8}}, "sampler": "grid"}}, "needs a step"),
        ({"config": {"storage": "mysql://here"}}, "postgresql://"),
        ({"config": {"space": {}}}, "search.space is empty"),
        ({"config": {"space": {"epochs": [1, 2]}}}, "epochs has no effect with training.max_steps"),
    ],
)
def test_what_cannot_be_searched_is_said_in_a_line_before_anything_is_made(
    toy: Path, given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.tune.prepare_base_model", lambda *_: pytest.fail("the base model was made"))
    config = search(**given.pop("config", {}))
    with pytest.raises(InputError, match=message) as caught:
        run_search(config, **given)
    assert "\n" not in str(caught.value)
    assert runs(toy) == []
