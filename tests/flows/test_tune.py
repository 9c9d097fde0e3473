"""The search as people run it, on real trainings of toy size: in this process, and as commands that are killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from flows.prepare_dataset import prepare_dataset
from flows.tune import tune
from llmops.errors import InputError
from llmops.finetuning import ScratchRecipe, TrainingConfig, TrainingDivergedError
from llmops.tuning import SearchBudget, SearchConfig, Trial
from tasks.search_result import SearchResult
from tests.emulators.postgresql_server import PostgresqlServer, running_postgresql

pytestmark = pytest.mark.service

SCRATCH = ScratchRecipe(vocabulary=300, hidden=16, intermediate=32, layers=1, heads=2, positions=64)
TRAINING = TrainingConfig(method="full", max_steps=10, batch_size=16, max_length=64, learning_rate=5e-3)
SPACE: dict[str, Any] = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path, pairs_file: Path, prefect_server: str
) -> Path:
    """A home with the dataset `toy` and the base model that a search starts from."""
    from llmops.settings import settings
    from tasks.datasets import dataset_store, training_pairs

    folder = tmp_path_factory.mktemp("published") / "home"
    folder.mkdir()
    shutil.copy(mlflow_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        prepare_dataset(str(pairs_file), "toy")
        from llmops.finetuning import resolve_base_model

        texts = training_pairs(dataset_store().resolve("toy")).texts
        resolve_base_model("scratch", models_dir=folder / "models", scratch=SCRATCH, texts=texts)
    settings.cache_clear()
    return folder


def use(folder: Path, patch: pytest.MonkeyPatch) -> None:
    import mlflow

    from llmops.settings import settings

    patch.setenv("LLMOPS_HOME", str(folder))
    patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder / "mlartifacts"))
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    settings.cache_clear()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def toy_home(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of that home, which this process uses."""
    from llmops.settings import settings

    folder = tmp_path / "home"
    shutil.copytree(published, folder)
    use(folder, monkeypatch)
    yield folder
    settings.cache_clear()


def search(**given: Any) -> SearchConfig:
    return SearchConfig.model_validate({"trials": 3, "sampler": "random", "space": SPACE, **given})


def run_search(config: SearchConfig, training: TrainingConfig = TRAINING, **short: Any) -> SearchResult:
    return tune("toy", "scratch", search=config, training=training, scratch=SCRATCH, **short)


def runs(home: Path, name: str = "") -> list[Run]:
    """MLflow runs of the search and its trials, the first begun first."""
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name("toy")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [run for run in found if run.info.run_name.startswith(name) and run.info.run_name != "prepare-dataset"]


def test_a_search_leaves_its_best_its_trials_and_pictures_and_goes_on_with_more_trials(toy_home: Path) -> None:
    result = run_search(search(sampler="tpe"), sampler="random", trials=3)
    assert [one.number for one in result.trials] == [1, 2, 3]
    assert all(one.state == "finished" and one.steps == 10 and one.tokens for one in result.trials)
    best = min(result.trials, key=lambda one: one.loss or 9.0)
    assert (result.best, result.best_trial, result.pareto) == (best.values, best.number, [best.number])
    assert f"--training.learning-rate {best.values['learning_rate']}" in result.next_command
    assert "--scratch.hidden 16" in result.next_command
    leaves_a_record(toy_home, result)

    again = run_search(search())
    assert (again.reused, again.run_id, again.best, again.trials) == (True, result.run_id, result.best, result.trials)
    assert len(runs(toy_home, "trial")) == 3

    more = run_search(search(trials=4))
    assert [one.values for one in more.trials[:3]] == [one.values for one in result.trials]
    assert (more.run_id, len(runs(toy_home, "trial")), len(runs(toy_home, "tune"))) == (result.run_id, 4, 1)


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
        found = {artifact.key: artifact.data for artifact in prefect.read_artifacts(artifact_filter=wanted)}
    assert "data:image/png" in str(found["search-toy"])
    assert len(json.loads(str(found["search-toy-trials"]))) == 3


def test_a_pruned_trial_ends_its_training_and_is_no_failure(toy_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Trial.report

    def second_is_pruned(trial: Trial, step: int, loss: float, total_steps: int) -> bool:
        report(trial, step, loss, total_steps)
        return trial.number == 1 and step >= 4

    monkeypatch.setattr(Trial, "report", second_is_pruned)
    result = run_search(search(pruner="median"))
    assert [one.state for one in result.trials] == ["finished", "pruned", "finished"]
    pruned = runs(toy_home, "trial 2")[0]
    assert (pruned.info.status, pruned.data.tags["trial.state"]) == ("FINISHED", "pruned")
    steps = [one.step for one in MlflowClient().get_metric_history(pruned.info.run_id, "validation_loss")]
    assert max(steps) == 4
    assert result.trials[1].steps == 4
    assert len(list((toy_home / "training").iterdir())) == 2, "the checkpoints of a pruned trial are of no use"


def test_a_diverged_trial_counts_and_never_wins(toy_home: Path) -> None:
    result = run_search(search(sampler="grid", space={"learning_rate": [5e-3, 1e30]}))
    assert sorted((one.values["learning_rate"], one.state) for one in result.trials) == [
        (5e-3, "finished"),
        (1e30, "diverged"),
    ]
    assert result.best == {"learning_rate": 5e-3}
    json.loads(result.model_dump_json())
    with pytest.raises(InputError, match="every trial became infinite"):
        run_search(search(sampler="grid", space={"learning_rate": [1e30]}))
    assert {run.info.status for run in runs(toy_home)} <= {"FINISHED", "FAILED"}


def test_a_trial_whose_training_raises_is_given_up_and_the_search_goes_on(
    toy_home: Path, monkeypatch: pytest.MonkeyPatch
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
    assert "Trial 2 was given up: RuntimeError: out of memory" in result.notes
    failed = runs(toy_home, "trial 2")
    assert {run.info.status for run in failed} == {"FAILED"}
    assert {run.data.tags["trial.reason"] for run in failed} == {"RuntimeError: out of memory"}
    assert len(list((toy_home / "training").iterdir())) == 2
    assert run_search(search()).reused
    monkeypatch.setattr(Trial, "report", lambda *_: 1 / 0)
    with pytest.raises(InputError, match="every trial failed and was given up: ZeroDivisionError") as caught:
        run_search(search(trials=2, seed=1))
    assert "\n" not in str(caught.value)


def test_a_finalist_that_diverged_is_known_to_have(toy_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_spent_budget_ends_the_finale_and_its_trainings_count(toy_home: Path) -> None:
    config = search(trials=2, finalists=2, finalist_seeds=2)
    tokens = run_search(search(trials=2)).spent.tokens
    # Room for the trials and two trainings more: those of the first seed.
    budget = {"max_tokens": 2 * tokens}
    result = run_search(config.model_copy(update={"budget": SearchBudget.model_validate(budget)}))
    assert result.finale is not None
    assert [one.seeds for one in result.finale.finalists] == [[1], [1]]
    assert len(runs(toy_home, "finalist")) == 2
    assert result.spent.tokens >= 2 * tokens
    assert any("1 of 2 new seeds: the budget" in note for note in result.notes)
    again = run_search(config.model_copy(update={"budget": SearchBudget.model_validate(budget)}))
    assert (again.reused, again.spent) == (True, result.spent)


def test_finalists_are_trained_again_with_new_seeds_and_judged(toy_home: Path) -> None:
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
    assert len(runs(toy_home, "finalist")) == 4
    again = run_search(search(finalists=2, finalist_seeds=2))
    assert (again.reused, again.finale) == (True, result.finale)


def test_several_objectives_keep_the_pareto_front(toy_home: Path) -> None:
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


def test_trainings_of_another_search_cost_nothing_and_those_of_this_one_count_once(toy_home: Path) -> None:
    first = run_search(search())
    again = run_search(search(pruner="median"))
    assert [one.values for one in again.trials] == [one.values for one in first.trials]
    assert (again.reused, again.spent.trials, again.spent.tokens, again.spent.seconds) == (False, 3, 0, 0)
    assert [one.tokens for one in again.trials] == [one.tokens for one in first.trials]
    assert first.spent.tokens == sum(one.tokens or 0 for one in first.trials) > 0


def test_a_finished_search_stays_finished_when_more_finalists_are_interrupted(
    toy_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_search(search(trials=2))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.search_finale.train_model", interrupted)
        run_search(search(trials=2, finalists=2, finalist_seeds=2))
    assert [run.info.status for run in runs(toy_home, "tune")] == ["FINISHED"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trial, "report", interrupted)
        run_search(search())
    assert [run.info.status for run in runs(toy_home, "tune")] == ["KILLED"], "a trial of it is missing"
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
    toy_home: Path, given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.tune.prepare_base_model", lambda *_: pytest.fail("the base model was made"))
    config = search(**given.pop("config", {}))
    with pytest.raises(InputError, match=message) as caught:
        run_search(config, **given)
    assert "\n" not in str(caught.value)
    assert runs(toy_home) == []


# As commands in processes of their own.

COMMAND_TRAINING = {"method": "full", "max_steps": 40, "batch_size": 8, "max_length": 64, "checkpoint_steps": 20}


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a search of 4 trials; keywords go into `search`."""

    def line(**given: Any) -> list[str]:
        config = tmp_path / f"tune-{len(list(tmp_path.glob('tune-*')))}.yaml"
        settings = {
            "base_model": "scratch",
            "scratch": SCRATCH.model_dump(),
            "training": COMMAND_TRAINING,
            "search": {"trials": 4, "sampler": "random", "space": SPACE, **given},
        }
        config.write_text(yaml.safe_dump({"tune": settings}))
        options = ["--dataset", "toy", "--config", str(config), "--json"]
        return [sys.executable, "-m", "flows.cli", "run", "tune", *options]

    return line


def start(command: list[str], home: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    environment.pop("_MLFLOW_SERVER_ARTIFACT_ROOT", None)
    environment |= {"LLMOPS_HOME": str(home), **settings}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def wait_for(home: Path, process: subprocess.Popen[str], finished: int) -> None:
    """Until so many trials have ended and one more has begun to train."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        states = [run.data.tags.get("trial.state") for run in runs(home, "trial")]
        if states.count("finished") >= finished and None in states:
            return
        time.sleep(0.1)
    raise AssertionError(f"not {finished} trials in 300 s")


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def every_trial_ran_once(home: Path, result: dict[str, Any], count: int = 4) -> None:
    """No trial lost, none twice, all of them children of one run, and nothing left running."""
    numbers = list(range(1, count + 1))
    assert [one["number"] for one in result["trials"]] == numbers
    assert {one["state"] for one in result["trials"]} == {"finished"}
    assert [run.info.run_id for run in runs(home, "tune")] == [result["run_id"]]
    trials = runs(home, "trial")
    assert sorted(int(run.data.tags["trial"]) for run in trials) == numbers
    for run in trials:
        assert run.data.tags["mlflow.parentRunId"] == result["run_id"]
        history = MlflowClient(f"sqlite:///{home}/mlflow.db").get_metric_history(run.info.run_id, "validation_loss")
        steps = [point.step for point in history]
        assert len(steps) == len(set(steps)) == 10
    assert {run.info.status for run in runs(home)} == {"FINISHED"}


def prefect_states(home: Path) -> set[str]:
    import sqlite3

    with sqlite3.connect(home / "prefect" / "prefect.db") as database:
        tables = ("flow_run", "task_run")
        return {row[0] for table in tables for row in database.execute(f"select distinct state_type from {table}")}


@pytest.mark.slow
def test_killed_workers_and_killed_commands_lose_no_trial_and_repeat_none(
    toy_home: Path, command: Callable[..., list[str]]
) -> None:
    first = start(command(workers=2), toy_home)
    wait_for(toy_home, first, 1)
    workers_of(first)[0].kill()
    wait_for(toy_home, first, 2)
    first.kill()
    first.communicate()
    result = finish(start(command(workers=1), toy_home))
    every_trial_ran_once(toy_home, result)
    assert prefect_states(toy_home) <= {"COMPLETED", "CRASHED"}


@pytest.mark.slow
def test_ctrl_c_gives_the_trials_back_and_leaves_nothing_running(
    toy_home: Path, command: Callable[..., list[str]]
) -> None:
    first = start(command(workers=2), toy_home)
    wait_for(toy_home, first, 1)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: every process of the command
    _, said = first.communicate(timeout=100)
    assert first.returncode == 130, said
    assert "Traceback" not in said
    assert "the same command goes on" in said
    assert "RUNNING" not in {run.info.status for run in runs(toy_home)}
    assert "RUNNING" not in prefect_states(toy_home)
    result = run_search(search(trials=4), TrainingConfig.model_validate(COMMAND_TRAINING))
    assert [one.number for one in result.trials] == [1, 2, 3, 4]
    assert len(runs(toy_home, "tune")) == 1


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server; skips where there is none to start."""
    with running_postgresql() as server:
        yield server


@pytest.mark.slow
def test_two_homes_share_the_trials_on_one_postgresql(
    toy_home: Path, published: Path, tmp_path: Path, command: Callable[..., list[str]], postgresql: PostgresqlServer
) -> None:
    other_home = tmp_path / "other"
    shutil.copytree(published, other_home)
    line = command(storage=postgresql.url(), trials=6)
    store = f"sqlite:///{toy_home}/mlflow.db"
    commands = [start(line, home, LLMOPS_MLFLOW_TRACKING_URI=store) for home in (toy_home, other_home)]
    results = [finish(process) for process in commands]
    every_trial_ran_once(toy_home, results[0], count=6)
    assert results[0]["best"] == results[1]["best"]
    assert results[0]["run_id"] == results[1]["run_id"]
    hosts = [len(list((home / "training").iterdir())) for home in (toy_home, other_home)]
    assert sum(hosts) == 6
    assert min(hosts) >= 1, "both worked"
