"""What becomes of a deployment that costs by the hour: kept for the champion, taken down for others, made again."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from llmops.data import DatasetVersion
from llmops.errors import InputError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import Estimate, JobSettings, TrainingFiles, TunedModel, TuningRequest
from llmops.finetuning.jobs import job_ledger
from tasks.fine_tuning_jobs import TunedByJob, served
from tasks.hosted_models import find_hosted_model
from tasks.model_sources import find_asked_model
from tasks.planned_jobs import PlannedJob, TuningBase, said_of, with_method
from tasks.promotion import CHAMPION, make_champion, roll_back
from tasks.registry import register_model
from tasks.tracking import tracked_run

MODEL = TunedModel(backend="azure", model="gpt-x.ft-1", base_model="gpt-x", job_id="ftjob-1")


@dataclass
class DeployingBackend:
    """A back end whose models answer while they are deployed."""

    name: str = "azure"
    endpoint: str = "https://somewhere"
    deployments: set[str] = field(default_factory=set)

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        self.deployments.add(name)
        return model.model_copy(update={"asked_as": f"azure/{name}", "deployment": name})

    def undeploy(self, model: TunedModel) -> TunedModel:
        self.deployments.discard(str(model.deployment))
        return model.model_copy(update={"asked_as": None, "deployment": None})


@pytest.fixture
def plan(home: Path, prefect_server: str) -> PlannedJob:
    """A job that has ended well."""
    record = job_ledger().begin(
        "a" * 64,
        backend="azure",
        endpoint="https://somewhere",
        base_model="gpt-x",
        name="support",
        dataset="support@1",
        dataset_digest="d",
        hyperparameters={},
    )
    files = TrainingFiles(home / "train.jsonl", None, 10, 0, 100, tokens_estimated=True)
    backend: Any = DeployingBackend()
    version: Any = DatasetVersion.model_construct(name="support", number=1)
    return PlannedJob(
        backend=backend,
        base=TuningBase("gpt-x", "gpt-x", "azure/gpt-x"),
        request=TuningRequest("gpt-x", "support", record.token, TrainingConfig(), files),
        version=version,
        settings=JobSettings(),
        record=record,
    )


@pytest.fixture
def tuned(plan: PlannedJob) -> TunedByJob:
    """What it has made."""
    with tracked_run("training", experiment="support") as run:
        pass
    return TunedByJob(plan.digest, MODEL, run.run_id, plan.record)


def register(plan: PlannedJob, tuned: TunedByJob, model: TunedModel) -> str:
    settings = (EvaluationConfig(), {}, plan.settings)
    return str(register_model.fn("support", model, tuned.digest, tuned.run_id, [], *settings).version)


def deployments(plan: PlannedJob) -> set[str]:
    assert isinstance(plan.backend, DeployingBackend)
    return plan.backend.deployments


def test_the_champion_keeps_its_deployment(plan: PlannedJob, tuned: TunedByJob) -> None:
    with served(plan, tuned) as model:
        make_champion("support", register(plan, tuned, model), "better")
    assert deployments(plan) == {model.deployment}
    assert job_ledger().get(plan.record.id).model == model


def test_that_of_a_model_that_was_not_promoted_is_taken_down(plan: PlannedJob, tuned: TunedByJob) -> None:
    with served(plan, tuned) as model:
        register(plan, tuned, model)
    assert deployments(plan) == set()
    with pytest.raises(InputError, match="nothing serves it: its deployment was taken down"):
        find_asked_model("models:/support/1", EvaluationConfig())
    with served(replace(plan, settings=JobSettings(keep_deployment=True)), tuned):
        pass
    assert len(deployments(plan)) == 1


def test_so_is_that_of_one_whose_evaluation_failed(plan: PlannedJob, tuned: TunedByJob) -> None:
    with pytest.raises(InputError, match="no such column"), served(plan, tuned):
        raise InputError("no such column")
    assert deployments(plan) == set()


def test_rolling_back_deploys_again(plan: PlannedJob, tuned: TunedByJob, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(plan, tuned) as model:
        first = register(plan, tuned, model)
    MlflowClient().create_model_version("support", "somewhere", tags={})
    make_champion("support", "2", "better")
    MlflowClient().set_registered_model_alias("support", "previous", first)
    monkeypatch.setattr("tasks.hosted_models.back_end", lambda name, job: plan.backend)
    roll_back.fn("support")
    assert deployments(plan) == {model.deployment}
    hosted = find_hosted_model(f"models:/support@{CHAMPION}")
    assert hosted is not None
    assert (hosted.version, hosted.model) == (first, model)


def test_a_method_beside_the_settings_leaves_what_nobody_set_unset() -> None:
    changed = with_method(TrainingConfig(epochs=2), "full")
    assert (changed.method, changed.model_fields_set) == ("full", {"method", "epochs"})
    with pytest.raises(InputError, match="contradict"):
        with_method(TrainingConfig(method="lora"), "full")


def test_an_estimate_is_said_with_what_is_unknown() -> None:
    assert said_of(Estimate(cost=12.5, seconds=3 * 3600)) == "$12.50, 3.0 hours"
    assert said_of(Estimate(tokens=1000, cost=0.0)) == "about 1,000 tokens, no cost"
    assert said_of(Estimate(tokens=1000)) == "about 1,000 tokens, at an unknown cost, in an unknown time"
