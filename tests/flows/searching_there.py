"""Small real searches: their settings, and what they leave in MLflow."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from flows.tune import tune
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.tuning import SearchConfig
from tasks.search_result import SearchResult

SCRATCH = ScratchRecipe(vocabulary=300, hidden=16, intermediate=32, layers=1, heads=2, positions=64)
TRAINING = TrainingConfig(method="full", max_steps=10, batch_size=16, max_length=64, learning_rate=5e-3)
SPACE: dict[str, Any] = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


def search(**given: Any) -> SearchConfig:
    return SearchConfig.model_validate({"trials": 3, "sampler": "random", "space": SPACE, **given})


def run_search(config: SearchConfig, training: TrainingConfig = TRAINING, **short: Any) -> SearchResult:
    return tune("toy", "scratch", search=config, training=training, scratch=SCRATCH, **short)


def runs(home: Path, name: str = "") -> list[Run]:
    """MLflow runs of the search and its trials, the first begun first."""
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name("toy")
    if experiment is None:
        return []
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [run for run in found if run.info.run_name.startswith(name) and run.info.run_name != "prepare-dataset"]
