"""Registration: a model that reloads to the same answers gets a version, another gets none."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import TrainingConfig, merge_adapter, train
from llmops.finetuning.backends import JobSettings, TunedModel
from llmops.llm import LocalModel
from llmops.llm.completions import Message
from tasks.hosted_models import find_hosted_model
from tasks.registry import DIGEST_TAG, ReloadError, find_version, register_model
from tasks.tracking import tracked_run
from tasks.version_names import DELETED

ASKED = EvaluationConfig(max_new_tokens=12)


DIGEST = "d" * 64


@dataclass(frozen=True)
class Trained:
    """A LoRA training of a few steps: its full weights, and the MLflow run that it is logged under."""

    weights: Path
    run_id: str

    @property
    def model(self) -> TunedModel:
        """The same as what answers."""
        return TunedModel(backend="local", model="m", base_model="b", job_id="j", asked_as=str(self.weights))

    def register(self, probes: "list[Probe]", tags: dict[str, str]) -> ModelVersion:
        """Register it as `toy`."""
        version = register_model.fn("toy", self.model, DIGEST, self.run_id, probes, ASKED, tags)
        assert isinstance(version, ModelVersion)
        return version


@pytest.fixture
def trained(home: Path, half_trained: Path, pairs: list[tuple[str, str]]) -> Trained:
    """A LoRA training of a few steps on the half-trained toy model, in an MLflow run."""
    config = TrainingConfig(method="lora", max_steps=6, learning_rate=5e-3, batch_size=16)
    with tracked_run("training", experiment="toy") as run:
        result = train(half_trained, pairs[:60], [], config, home / "training" / "toy")
    merge_adapter(half_trained, result.model_path, home / "weights")
    return Trained(home / "weights", run.run_id)


Probe = tuple[list[Message], str]


def answers(trained: Trained, pairs: list[tuple[str, str]]) -> list[Probe]:
    inputs = [text for text, _ in pairs[:4]]
    outputs = LocalModel.load(trained.weights).generate(inputs, max_new_tokens=12)
    return [([{"role": "user", "content": text}], output) for text, output in zip(inputs, outputs, strict=True)]


def test_a_version_answers_as_the_model_did_and_keeps_its_evidence(
    trained: Trained, pairs: list[tuple[str, str]]
) -> None:
    probes = answers(trained, pairs)
    version = trained.register(probes, {"dataset": "toy@1"})
    found = find_version("toy", DIGEST)
    assert found is not None
    assert (found.version, found.tags["dataset"]) == (version.version, "toy@1")
    info = mlflow.models.get_model_info(f"models:/toy/{found.version}")
    assert info.signature is not None
    assert info.saved_input_example_info is not None
    assert find_hosted_model("models:/toy/1") is None

    # What a user of the registry does: the chat interface of MLflow, which applies the model's own format.
    messages, answer = probes[0]
    served = mlflow.pyfunc.load_model(f"models:/toy/{found.version}")
    [reply] = served.predict({"messages": messages})
    assert reply["choices"][0]["message"]["content"].strip() == answer

    again = trained.register(probes, {"dataset": "toy@2"})
    assert again.version == found.version


def test_a_model_that_reloads_to_other_answers_is_not_registered(
    trained: Trained, pairs: list[tuple[str, str]]
) -> None:
    probes = [(messages, f"not {answer}") for messages, answer in answers(trained, pairs)]
    with pytest.raises(ReloadError, match="it was not registered"):
        trained.register(probes, {})
    assert MlflowClient().search_registered_models() == []


def test_a_hosted_model_becomes_a_reference_that_is_read_again_as_it_was(home: Path) -> None:
    model = TunedModel(
        backend="azure",
        model="gpt-x.ft-1",
        base_model="gpt-x",
        job_id="ftjob-1",
        region="westeurope",
        endpoint="https://ours.openai.azure.com",
        asked_as="azure/support",
        deployment="support",
    )
    job = JobSettings.model_validate({"azure": {"resource_group": "ours"}, "approve_above": 5})
    with tracked_run("training", experiment="toy") as run:
        pass
    register = partial(register_model.fn, "toy", model, DIGEST, run.run_id, [], ASKED)
    versions = [register({"verdict": "better"}, job)]
    MlflowClient().set_model_version_tag("toy", "1", DELETED, "yes")  # and trained again since
    versions.append(register({"verdict": "worse"}, job))
    assert [str(version.version) for version in versions] == ["1", "1"]
    found = MlflowClient().get_model_version("toy", "1")
    assert (found.tags["verdict"], found.tags[DIGEST_TAG]) == ("worse", DIGEST)
    assert mlflow.artifacts.load_dict(f"{found.source}/hosted_model.json") == model.model_dump(mode="json")
    MlflowClient().set_registered_model_alias("toy", "champion", "1")
    for spec in ("models:/toy/1", "models:/toy@champion"):
        hosted = find_hosted_model(spec)
        assert hosted is not None
        assert (hosted.uri, hosted.model, hosted.settings) == ("models:/toy/1", model, job)
        assert not hosted.deleted
