"""A job at a provider from the data to a champion, through its real SDK over HTTP, and killed at every step of it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from flows.evaluate import evaluate
from flows.fine_tune import fine_tune
from flows.job_commands import cancel
from flows.rollback import rollback
from llmops.errors import InputError
from llmops.evaluation import GateConfig
from llmops.finetuning import TrainingConfig
from llmops.finetuning.jobs import JobRecord, job_ledger
from tasks.base_models import find_model
from tasks.evaluation_result import EvaluationResult
from tests.emulators.tuning_provider import TuningProvider
from tests.flows.tuning_there import AZURE, BASE, tune_there
from tests.forked_commands import ForkedCommand, ForkedCommands, command_environment

pytestmark = [pytest.mark.service, pytest.mark.slow]

# Twenty-odd inputs cannot tell a few points apart; with these margins a model that answers as well passes.
WIDE = GateConfig(margins={"exact_match": 0.9, "chrf": 90.0})


def training_run() -> Any:
    record = job_ledger().all()[0]
    return MlflowClient().get_run(str(record.mlflow_run_id))


def versions() -> list[Any]:
    return list(MlflowClient().search_model_versions("name = 'hosted'"))


def test_from_the_data_to_a_champion_and_back(toy: Path, provider: TuningProvider) -> None:
    first = tune_there(**AZURE)
    assert (first.metrics["exact_match"].value, first.baseline["exact_match"].value) == (1.0, 0.0)
    assert first.promotion is not None
    assert (first.promotion.status, first.exit_status) == ("promoted", 0)
    assert [job["status"] for job in provider.jobs.values()] == ["succeeded"]
    leaves_a_record(first)
    deployed = served_by(provider)
    assert [*deployed.values()] == [FIRST]

    again = tune_there(**AZURE)
    assert again.promotion is not None
    assert again.promotion.status == "already champion"
    assert (len(provider.jobs), len(versions()), served_by(provider)) == (1, 1, deployed)

    answers_by_its_name_in_the_registry(first)
    other = tune_there(**AZURE, training=TrainingConfig(epochs=3), gate=WIDE)
    assert other.promotion is not None
    assert (other.promotion.status, other.promotion.version) == ("promoted", "2")
    assert len(other.comparisons) == 2, "its base, and the hosted champion"
    assert [*served_by(provider).values()] == [FIRST.replace("ftjob-0", "ftjob-1")], "the first is paid for no longer"
    back = rollback("hosted")
    assert (back.rollback.former, back.rollback.champion) == ("2", "1")
    assert served_by(provider) == deployed


FIRST = "ft:gpt-4.1-mini:hosted:ftjob-0"


def served_by(provider: TuningProvider) -> dict[str, str]:
    """What is deployed there: model by deployment."""
    return {name: one["properties"]["model"]["name"] for name, one in provider.deployments.items()}


def leaves_a_record(first: EvaluationResult) -> None:
    """What a person finds afterwards: ledger, curves, log, and a version that says where the model is."""
    [record] = job_ledger().all()
    assert (record.state, record.job_id, record.version) == ("succeeded", "ftjob-0", "models:/hosted/1")
    assert (record.trained_tokens, record.cost) == (4000, None), "nobody knows Azure's price"
    run = training_run()
    history = MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0)]
    assert run.data.tags["job.id"] == "ftjob-0"
    assert run.data.params["hyperparameters.n_epochs"] == "2"
    assert "learning_rate" not in run.data.params, "the provider's own default holds, not ours"
    events = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/events.jsonl").splitlines()
    assert json.loads(events[-1])["message"] == "The job has successfully completed"
    version = MlflowClient().get_model_version("hosted", "1")
    told = ("backend", "hosted_model", "asked_as", "job_id", "endpoint")
    assert record.model is not None
    assert {name: version.tags[f"llmops.{name}"] for name in told} == {
        "backend": "azure",
        "hosted_model": record.model.model,
        "asked_as": f"azure/{record.model.deployment}",
        "job_id": "ftjob-0",
        "endpoint": record.endpoint,
    }
    reference = mlflow.artifacts.load_dict(f"{version.source}/hosted_model.json")
    assert reference["model"] == record.model.model
    assert version.tags["evaluation_run_id"]


def answers_by_its_name_in_the_registry(first: EvaluationResult) -> None:
    asked = evaluate("toy", "models:/hosted@champion")
    assert asked.metrics["exact_match"] == first.metrics["exact_match"]
    with pytest.raises(InputError, match=r"models:/hosted@champion is a reference to ft:.* at azure"):
        find_model("models:/hosted@champion")
    with pytest.raises(InputError, match="reference to"):
        fine_tune("toy", base_model="models:/hosted@champion")


# --- kill -9 and Ctrl-C, of the real command -------------------------------------------------------------------------


Command = ForkedCommand | subprocess.Popen[str]


@pytest.fixture
def start(llmops: ForkedCommands, toy: Path, prefect_server: str) -> Iterator[Callable[..., Command]]:
    """Starts the command; ``anew`` in a new interpreter, as a person's does."""
    begun: list[Command] = []

    def command(*options: str, anew: bool = False) -> Command:
        wanted = ["run", "fine-tune", "--dataset", "toy", "--name", "hosted", "--backend", "azure"]
        wanted += ["--base-model", BASE, "--job.azure.account", "some-resource", "--training.epochs", "2"]
        wanted += ["--job.waiting.first-poll-s", "0.1", "--yes", "--json", *options]
        variables = command_environment(toy, prefect_server)
        if anew:
            words = [sys.executable, "-m", "flows.cli", *wanted]
            pipe = subprocess.PIPE
            begun.append(subprocess.Popen(words, env=variables, stdout=pipe, stderr=pipe, text=True))
        else:
            begun.append(llmops.start(*wanted, environment=variables))
        return begun[-1]

    yield command
    for process in begun:
        process.kill()


def wait_until(happened: Callable[[], Any], process: Command) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.005)


def stopped(process: Command, by: signal.Signals, provider: TuningProvider) -> str:
    """Stop the command while the provider stands still; returns what it has said."""
    wait_until(provider.stands_still.is_set, process)
    process.send_signal(by)
    if by == signal.SIGKILL:
        process.wait()
    provider.go_on.set()
    return process.communicate(timeout=60)[1]


def test_killed_at_every_step_there_is_one_job_one_version_and_one_deployment(
    toy: Path, provider: TuningProvider, start: Callable[..., Command]
) -> None:
    def killed_at(method: str, ending: str, **how: bool) -> JobRecord:
        # It has done its work, and nobody learns of that.
        provider.stand_still_at(method, ending)
        stopped(start(**how), signal.SIGKILL, provider)
        return job_ledger().all()[0]

    uploading = killed_at("POST", "/files", anew=True)
    assert (uploading.job_id, len(provider.files), provider.jobs) == (None, 1, {})
    submitting = killed_at("POST", "/fine_tuning/jobs")
    assert (submitting.job_id, len(provider.jobs)) == (None, 1)
    waiting = killed_at("GET", "/fine_tuning/jobs/ftjob-0")
    assert (waiting.job_id, waiting.ended, provider.jobs["ftjob-0"]["status"]) == ("ftjob-0", False, "running")

    deploying = killed_at("PUT", "")  # the deployment is the one thing that is put
    assert [*served_by(provider).values()] == [FIRST]
    assert cancel(deploying.id)[1].endswith("was taken down.")
    assert provider.deployments == {}

    asked = provider.count("POST", "/chat/completions")
    evaluating = killed_at("POST", "/chat/completions")
    assert provider.count("POST", "/chat/completions") > asked
    assert (evaluating.state, evaluating.version, versions()) == ("succeeded", None, [])

    process = start()
    wait_until(lambda: list(toy.glob("mlartifacts/**/hosted_model.json")), process)
    process.kill()
    process.communicate()

    output, said = start().communicate(timeout=120)
    result = json.loads(output.splitlines()[-1])
    assert result["promotion"]["status"] in ("promoted", "already champion"), said
    assert "kept from before" in said
    assert [*served_by(provider).values()] == [FIRST]
    names = [file["filename"] for file in provider.files.values()]
    assert (len(provider.jobs), len(set(names))) == (1, len(names)), "nothing was made or uploaded twice"
    assert [str(version.version) for version in versions()] == ["1"]
    assert [(record.attempt, record.version) for record in job_ledger().all()] == [(1, "models:/hosted/1")]
    runs = MlflowClient().search_runs([one.experiment_id for one in MlflowClient().search_experiments()])
    assert [run.info.run_name for run in runs].count("fine-tune") == 1, "the same run goes on"
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


def test_ctrl_c_cancels_the_job(provider: TuningProvider, start: Callable[..., Command]) -> None:
    provider.states = ["running"] * 500
    process = start()
    wait_until(lambda: "loss" in [name for one in job_ledger().all() for name in one.metrics], process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    *_, training, end = said.split("\n")[:-1]
    assert "interrupted; job ftjob-0 at azure is cancelled" in training
    assert (end, said.count("ftjob-0")) == ("Interrupted.", 1)
    [record] = job_ledger().all()
    assert (record.state, provider.jobs["ftjob-0"]["status"]) == ("cancelled", "cancelled")
    assert training_run().info.status == "KILLED"
    assert (len(provider.jobs), provider.deployments) == (1, {})


def test_ctrl_c_leaves_the_job_and_takes_the_deployment_down(
    provider: TuningProvider, start: Callable[..., Command]
) -> None:
    provider.states = ["running"] * 500
    process = start("--job.on-cancel", "leave")
    wait_until(lambda: "loss" in [name for one in job_ledger().all() for name in one.metrics], process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "job ftjob-0 at azure goes on, and the same command finds it again" in said
    assert provider.jobs["ftjob-0"]["status"] == "running"
    assert training_run().info.status == "KILLED"

    provider.jobs["ftjob-0"]["left"] = ["succeeded"]
    provider.stand_still_at("PUT", "")
    process = start()
    said = stopped(process, signal.SIGINT, provider)
    assert process.returncode == 130, said
    assert "was taken down" in said
    assert (len(provider.jobs), provider.deployments) == (1, {})
    [record] = job_ledger().all()
    assert record.model is not None
    assert (record.state, record.model.deployment) == ("succeeded", None)
