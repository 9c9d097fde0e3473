"""A job at a provider from the data to a champion, through its real SDK over HTTP, and killed at every step of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from flows.evaluate import evaluate
from flows.fine_tune import fine_tune
from flows.rollback import rollback
from llmops.errors import InputError
from llmops.evaluation import GateConfig
from llmops.finetuning import TrainingConfig
from llmops.finetuning.jobs import job_ledger
from tasks.base_models import find_model
from tasks.evaluation_result import EvaluationResult
from tests.emulators.tuning_provider import TuningProvider
from tests.flows.tuning_there import BASE, tune_there

pytestmark = [pytest.mark.service, pytest.mark.slow]

# Twenty-odd inputs cannot tell a few points apart; with these margins a model that answers as well passes.
WIDE = GateConfig(margins={"exact_match": 0.9, "chrf": 90.0})


def training_run() -> Any:
    record = job_ledger().all()[0]
    return MlflowClient().get_run(str(record.mlflow_run_id))


def versions() -> list[Any]:
    return list(MlflowClient().search_model_versions("name = 'hosted'"))


def test_from_the_data_to_a_champion_and_back(toy: Path, provider: TuningProvider) -> None:
    first = tune_there()
    assert (first.metrics["exact_match"].value, first.baseline["exact_match"].value) == (1.0, 0.0)
    assert first.promotion is not None
    assert (first.promotion.status, first.exit_status) == ("promoted", 0)
    assert [job["status"] for job in provider.jobs.values()] == ["succeeded"]
    assert provider.jobs["ftjob-0"]["method"]["supervised"]["hyperparameters"] == {"n_epochs": 2}
    leaves_a_record(first)

    again = tune_there()
    assert again.promotion is not None
    assert again.promotion.status == "already champion"
    assert (len(provider.jobs), len(versions())) == (1, 1)

    answers_by_its_name_in_the_registry(first)
    other = tune_there(training=TrainingConfig(epochs=3), gate=WIDE)
    assert other.promotion is not None
    assert (other.promotion.status, other.promotion.version) == ("promoted", "2")
    assert len(other.comparisons) == 2, "its base, and the hosted champion"
    back = rollback("hosted")
    assert (back.rollback.former, back.rollback.champion) == ("2", "1")


def leaves_a_record(first: EvaluationResult) -> None:
    """What a person finds afterwards: ledger, curves, log, and a version that says where the model is."""
    [record] = job_ledger().all()
    assert (record.state, record.job_id, record.version) == ("succeeded", "ftjob-0", "models:/hosted/1")
    assert (record.trained_tokens, record.cost) == (4000, pytest.approx(0.02))  # $5 a million
    run = training_run()
    history = MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0)]
    assert run.data.tags["job.id"] == "ftjob-0"
    assert run.data.params["hyperparameters.n_epochs"] == "2"
    assert "learning_rate" not in run.data.params, "the provider's own default holds, not ours"
    events = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/events.jsonl").splitlines()
    assert json.loads(events[-1])["message"] == "The job has successfully completed"
    version = MlflowClient().get_model_version("hosted", "1")
    model = "ft:gpt-4.1-mini:hosted:ftjob-0"
    assert {name: version.tags[f"llmops.{name}"] for name in ("backend", "hosted_model", "asked_as", "job_id")} == {
        "backend": "openai",
        "hosted_model": model,
        "asked_as": f"openai/{model}",
        "job_id": "ftjob-0",
    }
    reference = mlflow.artifacts.load_dict(f"{version.source}/hosted_model.json")
    assert reference["model"] == model
    assert version.tags["evaluation_run_id"]


def answers_by_its_name_in_the_registry(first: EvaluationResult) -> None:
    asked = evaluate("toy", "models:/hosted@champion")
    assert asked.metrics["exact_match"] == first.metrics["exact_match"]
    with pytest.raises(InputError, match=r"models:/hosted@champion is a reference to ft:.* at openai"):
        find_model("models:/hosted@champion")
    with pytest.raises(InputError, match="reference to"):
        fine_tune("toy", base_model="models:/hosted@champion")


# --- kill -9 and Ctrl-C, of the real command -------------------------------------------------------------------------


@pytest.fixture
def start(toy: Path, prefect_server: str) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the command."""

    def command(*options: str) -> "subprocess.Popen[str]":
        wanted = ["--dataset", "toy", "--name", "hosted", "--backend", "openai", "--base-model", BASE]
        wanted += ["--training.epochs", "2", "--job.waiting.first-poll-s", "0.1", "--json", *options]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        kept.pop("_MLFLOW_SERVER_ARTIFACT_ROOT", None)
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run", "fine-tune", *wanted],
            env=kept | {"LLMOPS_HOME": str(toy), "LLMOPS_PREFECT_API_URL": prefect_server},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return command


def wait_until(happened: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.005)


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_at_every_step_there_is_one_job_and_one_version(
    toy: Path, provider: TuningProvider, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    provider.states = ["running"] * 500

    for step in (("POST", "/files"), ("POST", "/fine_tuning/jobs")):
        provider.stand_still_at(*step)  # it has done its work, and nobody learns of that
        process = start()
        wait_until(provider.stands_still.is_set, process)
        kill(process)
        provider.go_on.set()
    assert [record.job_id for record in job_ledger().all()] == [None]

    process = start()
    wait_until(lambda: "loss" in job_ledger().all()[0].metrics, process)
    kill(process)
    for job in provider.jobs.values():
        job["left"] = ["succeeded"]

    provider.stand_still_at("POST", "/chat/completions")
    process = start()
    wait_until(provider.stands_still.is_set, process)
    kill(process)
    provider.go_on.set()
    assert job_ledger().all()[0].state == "succeeded"

    process = start()
    wait_until(lambda: list(toy.glob("mlartifacts/**/hosted_model.json")), process)
    kill(process)

    output, said = start().communicate(timeout=120)
    result = json.loads(output.splitlines()[-1])
    assert result["promotion"]["status"] in ("promoted", "already champion"), said
    assert "kept from before" in said
    assert len(provider.jobs) == 1
    assert sorted(file["filename"] for file in provider.files.values()) == sorted(
        {file["filename"] for file in provider.files.values()}
    ), "no file was uploaded twice"
    assert [version.version for version in versions()] in ([1], ["1"])
    runs = MlflowClient().search_runs([one.experiment_id for one in MlflowClient().search_experiments()])
    assert [run.info.run_name for run in runs].count("fine-tune") == 1, "the same run goes on"
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


def test_ctrl_c_leaves_the_job_or_cancels_it(
    toy: Path, provider: TuningProvider, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    provider.states = ["running"] * 500

    def interrupted(*options: str) -> str:
        looked = provider.count("GET", "/ftjob-0")
        process = start(*options)
        wait_until(lambda: provider.count("GET", "/ftjob-0") > looked + 2, process)
        process.send_signal(signal.SIGINT)
        said: str = process.communicate(timeout=60)[1]
        assert process.returncode == 130, said
        return said

    said = interrupted("--job.on-cancel", "leave")
    assert "job ftjob-0 at openai goes on, and the same command finds it again" in said
    assert provider.jobs["ftjob-0"]["status"] == "running"
    said = interrupted()
    assert "job ftjob-0 at openai is cancelled" in said
    assert [job["status"] for job in provider.jobs.values()] == ["cancelled"]
    [record] = job_ledger().all()
    assert record.state == "cancelled"
    assert training_run().info.status == "KILLED"
