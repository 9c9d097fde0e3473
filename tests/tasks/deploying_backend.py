"""A provider whose models answer while they are deployed, and jobs of it that have ended well."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pytest

from llmops.data import DatasetVersion
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import JobSettings, TrainingFiles, TunedModel, TuningRequest
from llmops.finetuning.jobs import job_ledger
from tasks.fine_tuning_jobs import TunedByJob
from tasks.planned_jobs import PlannedJob, TuningBase
from tasks.registry import register_model
from tasks.tracking import tracked_run

SOMEWHERE = "https://somewhere"
DEFAULTS = JobSettings()


@dataclass
class DeployingBackend:
    """What it serves now.

    Attributes:
        deployed, undeployed: called after a deployment is made, and before one is taken down; may raise.
    """

    name: str = "azure"
    endpoint: str = SOMEWHERE
    deployments: set[str] = field(default_factory=set)
    deployed: Callable[[], object] = lambda: None
    undeployed: Callable[[], object] = lambda: None

    def deployment_of(self, model: TunedModel, name: str) -> str:
        return name

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        self.deployments.add(name)
        self.deployed()
        served = {"asked_as": f"azure/{name}", "deployment": name, "endpoint": self.endpoint}
        return model.model_copy(update=served)

    def undeploy(self, model: TunedModel) -> TunedModel:
        self.undeployed()
        self.deployments.discard(str(model.deployment))
        return model.model_copy(update={"asked_as": None, "deployment": None})


def ended_job(home: Path, backend: Any, number: int = 1, settings: JobSettings = DEFAULTS) -> PlannedJob:
    """A job for the model `support` that has succeeded."""
    ledger = job_ledger()
    begun = ledger.begin(
        f"{number:x}" * 64,
        backend="azure",
        endpoint=backend.endpoint,
        base_model="gpt-x",
        name="support",
        dataset="support@1",
        dataset_digest="d",
        hyperparameters={},
        settings=settings,
    )
    record = ledger.update(begun.id, job_id=f"ftjob-{number}", state="succeeded")
    files = TrainingFiles(home / "train.jsonl", None, 10, 0, 100, tokens_estimated=True)
    version: Any = DatasetVersion.model_construct(name="support", number=1)
    return PlannedJob(
        backend=backend,
        base=TuningBase("gpt-x", "gpt-x", "azure/gpt-x"),
        request=TuningRequest("gpt-x", "support", record.token, TrainingConfig(), files),
        version=version,
        settings=settings,
        record=record,
    )


def made_by(plan: PlannedJob) -> TunedByJob:
    """What a job has made."""
    job = str(plan.record.job_id)
    with tracked_run("training", experiment="support") as run:
        pass
    model = TunedModel(backend="azure", model=f"gpt-x.{job}", base_model="gpt-x", job_id=job, endpoint=SOMEWHERE)
    return TunedByJob(plan.digest, model, run.run_id, plan.record)


def another_registry(home: Path, database: Path, patched: pytest.MonkeyPatch) -> None:
    """The MLflow of a shell that lacks the variable which names the server: another one, with nothing in it."""
    other = f"sqlite:///{shutil.copy(database, home / 'other.db')}"
    patched.setenv("MLFLOW_TRACKING_URI", other)
    mlflow.set_tracking_uri(other)


def registered(plan: PlannedJob, tuned: TunedByJob, model: TunedModel) -> str:
    """Its version."""
    found = register_model.fn("support", model, tuned.digest, tuned.run_id, [], EvaluationConfig(), {}, plan.settings)
    return str(found.version)
