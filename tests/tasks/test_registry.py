"""Registration: a model that reloads to the same answers gets a version, another gets none."""

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import TrainingConfig, merge_adapter, train
from llmops.llm import LocalModel
from llmops.llm.completions import Message
from tasks.registry import ReloadError, find_version, register_model
from tasks.tracking import tracked_run
from tasks.training import Job, Trained

ASKED = EvaluationConfig(max_new_tokens=12)


@pytest.fixture
def trained(home: Path, half_trained: Path, pairs: list[tuple[str, str]]) -> Trained:
    """A LoRA training of a few steps on the half-trained toy model, in an MLflow run."""
    config = TrainingConfig(method="lora", max_steps=6, learning_rate=5e-3, batch_size=16)
    job = Job("d" * 64, home / "training" / "toy")
    with tracked_run("training", experiment="toy") as run:
        result = train(half_trained, pairs[:60], [], config, job.folder)
    merge_adapter(half_trained, result.model_path, job.weights)
    return Trained(job, result, run.run_id, reused=False)


Probe = tuple[list[Message], str]


def answers(trained: Trained, pairs: list[tuple[str, str]]) -> list[Probe]:
    inputs = [text for text, _ in pairs[:4]]
    outputs = LocalModel.load(trained.job.weights).generate(inputs, max_new_tokens=12)
    return [([{"role": "user", "content": text}], output) for text, output in zip(inputs, outputs, strict=True)]


def test_a_version_answers_as_the_model_did_and_keeps_its_evidence(
    trained: Trained, pairs: list[tuple[str, str]]
) -> None:
    probes = answers(trained, pairs)
    version = register_model.fn("toy", trained, trained.job.weights, probes, ASKED, {"dataset": "toy@1"})
    assert version is not None
    found = find_version("toy", trained.job.digest)
    assert found is not None
    assert found.tags["dataset"] == "toy@1"
    info = mlflow.models.get_model_info(f"models:/toy/{found.version}")
    assert info.signature is not None
    assert info.saved_input_example_info is not None
    logged = [file.path for file in MlflowClient().list_artifacts(trained.run_id, "adapter")]
    assert "adapter/adapter_model.safetensors" in logged

    # What a user of the registry does: the chat interface of MLflow, which applies the model's own format.
    messages, answer = probes[0]
    served = mlflow.pyfunc.load_model(f"models:/toy/{found.version}")
    [reply] = served.predict({"messages": messages})
    assert reply["choices"][0]["message"]["content"].strip() == answer

    again = register_model.fn("toy", trained, trained.job.weights, probes, ASKED, {"dataset": "toy@2"})
    assert again.version == found.version


def test_a_model_that_reloads_to_other_answers_is_not_registered(
    trained: Trained, pairs: list[tuple[str, str]]
) -> None:
    probes = [(messages, f"not {answer}") for messages, answer in answers(trained, pairs)]
    with pytest.raises(ReloadError, match="it was not registered"):
        register_model.fn("toy", trained, trained.job.weights, probes, ASKED, {})
    assert MlflowClient().search_registered_models() == []
