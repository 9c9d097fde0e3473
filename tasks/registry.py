"""The MLflow model registry: a candidate becomes a version that reloads to the same answers, or nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmops.errors import LlmopsError
from llmops.evaluation.config import EvaluationConfig
from llmops.llm import LocalModel
from llmops.llm.completions import Message
from tasks.crash_recovery import mlflow_run_tag
from tasks.progress import stage
from tasks.tracking import set_tags
from tasks.training import Trained

DIGEST_TAG = "llmops.model_digest"


class ReloadError(LlmopsError):
    """A logged model does not answer as the model in memory did."""


@task(name="register model", cache_policy=NO_CACHE)
def register_model(
    name: str,
    trained: Trained,
    weights: Path,
    probes: Sequence[tuple[Sequence[Message], str]],
    evaluation: EvaluationConfig,
    tags: Mapping[str, str],
) -> ModelVersion:
    """Log a fine-tuned model, prove that a reload answers the same, and register it.

    The same content is registered once: a version that is there is returned, with its tags brought up to date.

    Args:
        name: registered model.
        trained: the training; its MLflow run is what the model is logged under.
        weights: transformers folder with full weights and tokenizer.
        probes: conversations, and what the model answered to each before it was logged.
        evaluation: how it was asked.
        tags: what to keep on the version: dataset, evaluation run, verdict.

    Raises:
        ReloadError: the reloaded model answers differently; nothing is registered.
    """
    client = MlflowClient()
    with stage("Register") as line:
        found = find_version(name, trained.job.digest)
        if found is None:
            line.update(0, 3, "logging")
            model_uri = _log(weights, trained, probes[0][0], evaluation)
            line.update(1, 3, "reloading")
            _check_reload(model_uri, probes, evaluation)
            line.update(2, 3, "registering")
            found = mlflow.register_model(model_uri, name, tags={DIGEST_TAG: trained.job.digest})
            line.finish(f"{name} version {found.version}, a reload answers the same")
        else:
            line.finish(f"{name} version {found.version}, registered before")
        for key, value in tags.items():
            client.set_model_version_tag(name, found.version, key, value)
    return found


def find_version(name: str, digest: str) -> ModelVersion | None:
    """The newest version of a registered model with this content, if there is one."""
    versions = MlflowClient().search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{digest}'")
    return max(versions, key=lambda version: int(version.version), default=None)


def version_at(name: str, alias: str) -> ModelVersion | None:
    """The version an alias points at, or None."""
    try:
        return MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException:
        return None


def _log(weights: Path, trained: Trained, example: Sequence[Message], evaluation: EvaluationConfig) -> str:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(weights)
    # Whoever serves the model gets, unless they ask for something else, the answers that were evaluated.
    model.generation_config.update(
        do_sample=False, num_beams=evaluation.num_beams, max_new_tokens=evaluation.local_max_new_tokens
    )
    components = {"model": model, "tokenizer": AutoTokenizer.from_pretrained(weights)}
    set_tags(trained.run_id, mlflow_run_tag())
    with mlflow.start_run(run_id=trained.run_id):
        info = mlflow.transformers.log_model(
            components,
            name="model",
            task="llm/v1/chat",
            input_example={"messages": list(example)},
            # Named, because MLflow would otherwise run the model in a subprocess to find them out.
            pip_requirements=["mlflow", "torch", "transformers"],
        )
        if trained.result.method != "full":
            mlflow.log_artifacts(str(trained.result.model_path), "adapter")
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
