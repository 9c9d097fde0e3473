"""The whole spine at toy size, on real parts: Prefect, MLflow, transformers, Delta."""

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from flows.evaluate import evaluate
from flows.fine_tune import fine_tune
from flows.lifecycle import lifecycle
from flows.rollback import rollback
from llmops.errors import InputError
from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.tuning import SearchConfig, SearchSpace
from tasks.datasets import dataset_store
from tasks.evaluation_result import EvaluationResult

pytestmark = pytest.mark.service

# Learns the task whatever the seed: from eight epochs and over all of the space every held-out answer is right.
SCRATCH = ScratchRecipe(vocabulary=300, hidden=128, intermediate=128, layers=2, heads=4, positions=64)
TRAINING = TrainingConfig(method="full", epochs=10, batch_size=16, max_length=64, learning_rate=2.5e-3)
SEARCH = SearchConfig(trials=2, space=SearchSpace.model_validate({"learning_rate": {"low": 2e-3, "high": 3.5e-3}}))
ASKED = EvaluationConfig(max_new_tokens=16)
GATE = GateConfig(margins={"exact_match": 0.05, "chrf": 2.0})
# Twenty-odd inputs cannot tell a few points apart; with these margins a model that answers as well passes.
WIDE = GateConfig(margins={"exact_match": 0.9, "chrf": 90.0})


def run_lifecycle(pairs_file: Path) -> EvaluationResult:
    return lifecycle(
        source=str(pairs_file),
        name="toy",
        base_model="scratch",
        search=SEARCH,
        training=TRAINING,
        scratch=SCRATCH,
        evaluation=ASKED,
        gate=GATE,
    )


def tuned(
    training: TrainingConfig, scratch: ScratchRecipe, evaluation: EvaluationConfig, gate: GateConfig
) -> EvaluationResult:
    settings = {"training": training, "scratch": scratch, "evaluation": evaluation, "gate": gate}
    return fine_tune("toy", "toy", "scratch", **settings)  # type: ignore[arg-type]


def runs(status: str | None = None) -> list[str]:
    """Names of the MLflow runs, all or those of a status."""
    client = MlflowClient()
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = client.search_runs(experiments, f"attributes.status = '{status}'" if status else "")
    return sorted(run.info.run_name for run in found)


def alias(name: str) -> str:
    return str(MlflowClient().get_model_version_by_alias("toy", name).version)


def test_from_a_file_to_a_champion_and_back(home: Path, prefect_server: None, pairs_file: Path) -> None:
    first = run_lifecycle(pairs_file)
    assert first.verdict == "better", first.comparisons[0].comparison.sentence
    assert first.metrics["exact_match"].value > 0.5
    assert first.baseline["exact_match"].value == 0.0
    assert first.promotion is not None
    assert (first.promotion.status, first.exit_status, alias("champion")) == ("promoted", 0, "1")
    assert set(runs()) == {"lifecycle", "prepare-dataset", "tune", "trial 1", "trial 2", "fine-tune"} | {
        name for name in runs() if name.startswith(("evaluate ", "baseline "))
    }
    leaves_a_record(first)

    again_is_already_champion(pairs_file, first)
    evaluate_takes_a_registered_model_and_several_baselines(first)
    answers_too_long_for_a_model_are_refused_before_anything_runs()
    one_step_is_not_promoted()
    a_second_champion_can_be_rolled_back()
    assert runs("RUNNING") == []


def leaves_a_record(first: EvaluationResult) -> None:
    """What a person finds afterwards: the version with its evaluation, the report, figures with intervals."""
    client = MlflowClient()
    version = client.get_model_version("toy", "1")
    assert version.tags["dataset"] == "toy@1"
    assert client.get_run(version.tags["search_run_id"]).info.run_name == "tune"
    assert any(note.startswith("Search: ") for note in first.notes), first.notes
    evaluation = client.get_run(version.tags["evaluation_run_id"])
    assert evaluation.data.metrics["exact_match.low"] == first.metrics["exact_match"].low
    assert evaluation.inputs.dataset_inputs[0].dataset.name == "toy@1"
    assert {"predictions.json", "report.html"} <= {file.path for file in client.list_artifacts(evaluation.info.run_id)}
    info = mlflow.models.get_model_info("models:/toy@champion")
    assert info.signature is not None
    assert info.saved_input_example_info is not None


def again_is_already_champion(pairs_file: Path, first: EvaluationResult) -> None:
    trained_before = [name for name in runs() if name.startswith("trial")]
    second = run_lifecycle(pairs_file)
    assert second.promotion is not None
    assert (second.promotion.status, second.exit_status) == ("already champion", 0)
    assert second.metrics == first.metrics
    assert dataset_store().resolve("toy").number == 1
    assert [name for name in runs() if name.startswith("trial")] == trained_before
    assert len(MlflowClient().search_model_versions("name = 'toy'")) == 1


def evaluate_takes_a_registered_model_and_several_baselines(first: EvaluationResult) -> None:
    result = evaluate("toy@1", "models:/toy/1", baseline=["models:/toy/1"], evaluation=ASKED, gate=WIDE)
    assert result.metrics == first.metrics
    assert result.verdict == "not worse"
    assert result.exit_status == 0


def answers_too_long_for_a_model_are_refused_before_anything_runs() -> None:
    before = runs()
    longer = SCRATCH.model_copy(update={"positions": 128})
    with pytest.raises(InputError, match="64 positions of model models:/toy@champion"):
        tuned(TRAINING, longer, EvaluationConfig(max_new_tokens=100), GATE)
    with pytest.raises(InputError, match="64 positions of model models:/toy/1"):
        evaluate("toy@1", "models:/toy/1", evaluation=EvaluationConfig(max_new_tokens=64))
    assert runs() == before


def one_step_is_not_promoted() -> None:
    one_step = TRAINING.model_copy(update={"max_steps": 1})
    result = tuned(one_step, SCRATCH, ASKED, GATE)
    assert result.promotion is not None
    assert (result.promotion.status, result.exit_status) == ("not promoted", 1)
    assert len(result.comparisons) == 2  # its base, and the champion
    assert alias("champion") == "1"


def a_second_champion_can_be_rolled_back() -> None:
    # Another training that is as good: its own seed, a margin that a few answers do not exceed.
    other = TRAINING.model_copy(update={"seed": 1})
    result = tuned(other, SCRATCH, ASKED, WIDE)
    assert result.promotion is not None
    assert result.promotion.status == "promoted"
    assert (alias("champion"), alias("previous")) == (result.promotion.version, "1")
    back = rollback("toy")
    assert (back.rollback.champion, alias("champion")) == ("1", "1")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": "missing.jsonl"}, "missing.jsonl"),
        ({"base_model": "no/such-folder"}, "no/such-folder"),
        ({"base_model": "models:/nothing@champion"}, "models:/nothing@champion"),
        ({"training": TrainingConfig(method="lora")}, "scratch has random weights"),
        ({"test_source": "missing.csv"}, "missing.csv"),
        ({"evaluation": EvaluationConfig(max_new_tokens=512)}, r"evaluation\.max_new_tokens 512 .* of model scratch"),
    ],
)
def test_bad_input_publishes_nothing_and_leaves_nothing_running(
    home: Path, prefect_server: None, pairs_file: Path, changed: dict[str, object], message: str
) -> None:
    arguments = {"source": str(pairs_file), "name": "toy", "base_model": "scratch", "training": TRAINING} | changed
    with pytest.raises(InputError, match=message):
        lifecycle(**arguments)  # type: ignore[arg-type]
    assert dataset_store().names() == []
    assert runs("RUNNING") == []
