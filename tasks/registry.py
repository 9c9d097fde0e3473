"""The MLflow model registry: a candidate becomes a version that reloads to the same answers, or a reference."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmops.errors import LlmopsError, ServiceError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning.backends import TunedModel
from llmops.finetuning.backends.settings import JobSettings
from llmops.llm import LocalModel
from llmops.llm.completions import Message
from llmops.llm.providers import is_endpoint
from tasks.crash_recovery import mlflow_run_tag
from tasks.hosted_models import NOTHING_THERE, reference_tags
from tasks.progress import Stage, stage
from tasks.tracking import set_tags
from tasks.version_names import DELETED, DIGEST_TAG

REFERENCE_FOLDER = "hosted_model"


class ReloadError(LlmopsError):
    """A logged model does not answer as the model in memory did."""


@task(name="register model", cache_policy=NO_CACHE)
def register_model(
    name: str,
    model: TunedModel,
    digest: str,
    run_id: str,
    probes: Sequence[tuple[Sequence[Message], str]],
    evaluation: EvaluationConfig,
    tags: Mapping[str, str],
    job: JobSettings = JobSettings(),
) -> ModelVersion:
    """Register a fine-tuned model: its weights, once a reload has proved to answer the same, or a reference to it.

    The same content is registered once: a version that is there is returned, with its tags brought up to date.

    Args:
        name: registered model.
        model: what answers: a folder with full weights and tokenizer, or a provider's model.
        digest: names its content.
        run_id: MLflow run of the training, under which the model is logged.
        probes: conversations, and what the model answered to each before it was logged.
        evaluation: how it was asked.
        tags: what to keep on the version: dataset, evaluation run, verdict.
        job: how a hosted model is deployed, should that be needed again.

    Raises:
        ReloadError: the reloaded model answers differently; nothing is registered.
    """
    client = MlflowClient()
    hosted = is_endpoint(model.asked_as or "")
    reference = reference_tags(model, job) if hosted else {}
    with stage("Register") as line:
        found = find_version(name, digest)
        if found is not None:
            line.finish(f"{name} version {found.version}, registered before")
        elif hosted:
            found = _register_reference(name, model, run_id, {DIGEST_TAG: digest, **reference, **tags})
            line.finish(f"{name} version {found.version}, a reference to {model.asked_as}")
        else:
            found = _register_weights(name, Path(str(model.asked_as)), digest, run_id, probes, evaluation, line)
            line.finish(f"{name} version {found.version}, a reload answers the same")
        for key, value in {**reference, **tags}.items():
            client.set_model_version_tag(name, found.version, key, value)
        if DELETED in found.tags:  # and trained again since
            client.delete_model_version_tag(name, found.version, DELETED)
    return found


def _register_reference(name: str, model: TunedModel, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
    """A version whose artifact is a small file that says where the model is, as its tags do."""
    client = MlflowClient()
    client.log_dict(run_id, model.model_dump(mode="json"), f"{REFERENCE_FOLDER}/hosted_model.json")
    with suppress(MlflowException):  # it is there already
        client.create_registered_model(name)
    source = RunsArtifactRepository.get_underlying_uri(f"runs:/{run_id}/{REFERENCE_FOLDER}")
    about = f"{model.model} at {model.backend}, tuned from {model.base_model}; its weights stay there."
    return client.create_model_version(name, source, run_id, tags=dict(tags), description=about)


def _register_weights(
    name: str,
    weights: Path,
    digest: str,
    run_id: str,
    probes: Sequence[tuple[Sequence[Message], str]],
    evaluation: EvaluationConfig,
    line: Stage,
) -> ModelVersion:
    line.update(0, 3, "logging")
    model_uri = _log(weights, run_id, probes[0][0], evaluation)
    line.update(1, 3, "reloading")
    _check_reload(model_uri, probes, evaluation)
    line.update(2, 3, "registering")
    return mlflow.register_model(model_uri, name, tags={DIGEST_TAG: digest})


def find_version(name: str, digest: str) -> ModelVersion | None:
    """The newest version of a registered model with this content, if there is one."""
    versions = MlflowClient().search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{digest}'")
    return max(versions, key=lambda version: int(version.version), default=None)


def version_at(name: str, alias: str) -> ModelVersion | None:
    """The version an alias points at, or None.

    Raises:
        ServiceError: the registry cannot tell, which is not the same as None.
    """
    try:
        return MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in NOTHING_THERE:
            return None
        raise ServiceError(f"the model registry does not tell the {alias} of {name}: {error.message}") from error


def _log(weights: Path, run_id: str, example: Sequence[Message], evaluation: EvaluationConfig) -> str:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(weights)
    # Whoever serves the model gets, unless they ask for something else, the answers that were evaluated.
    model.generation_config.update(
        do_sample=False, num_beams=evaluation.num_beams, max_new_tokens=evaluation.local_max_new_tokens
    )
    components = {"model": model, "tokenizer": AutoTokenizer.from_pretrained(weights)}
    set_tags(run_id, mlflow_run_tag())
    with mlflow.start_run(run_id=run_id):
        info = mlflow.transformers.log_model(
            components,
            name="model",
            task="llm/v1/chat",
            input_example={"messages": list(example)},
            # Named, because MLflow would otherwise run the model in a subprocess to find them out.
            pip_requirements=["mlflow", "torch", "transformers"],
        )
    return str(info.model_uri)


def _check_reload(
    model_uri: str, probes: Sequence[tuple[Sequence[Message], str]], evaluation: EvaluationConfig
) -> None:
    loaded = mlflow.transformers.load_model(model_uri, return_type="components")
    answers = LocalModel(loaded["model"], loaded["tokenizer"]).generate(
        [messages for messages, _ in probes],
        max_new_tokens=evaluation.local_max_new_tokens,
        batch_size=evaluation.batch_size,
        num_beams=evaluation.num_beams,
    )
    for (probe, before), answer in zip(probes, answers, strict=True):
        if answer != before:
            asked = probe[-1]["content"]
            raise ReloadError(
                f"the logged model {model_uri} answers {answer!r} to {asked!r} where it answered {before!r} before it "
                "was logged; it was not registered"
            )
