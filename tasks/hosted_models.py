"""Models that a provider keeps: a version in the registry is a reference to one, and its tags say who answers."""

from pydantic import BaseModel

from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.finetuning.backends import FineTuningBackend, JobSettings, TunedModel, connect_backend
from llmops.settings import settings
from tasks.version_names import DELETED, DIGEST_TAG

BACKEND_TAG = "llmops.backend"
MODEL_TAG = "llmops.hosted_model"
BASE_TAG = "llmops.base_model"
JOB_TAG = "llmops.job_id"
REGION_TAG = "llmops.region"
ENDPOINT_TAG = "llmops.endpoint"
ASKED_AS_TAG = "llmops.asked_as"
DEPLOYMENT_TAG = "llmops.deployment"
SETTINGS_TAG = "llmops.job_settings"

NOTHING_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What the registry says of a model, a version or an alias that it has not."""


class HostedModel(BaseModel):
    """A registered version whose weights are elsewhere.

    Attributes:
        uri: ``models:/NAME/VERSION``.
        name, version: the same in parts.
        model: what the tags say of it; `asked_as` is None while nothing serves it.
        settings: of the job that made it: how it is deployed.
        digest: names its content.
        deleted: whether the model itself was deleted at its provider.
    """

    uri: str
    name: str
    version: str
    model: TunedModel
    settings: JobSettings
    digest: str
    deleted: bool = False

    def require_answer(self) -> str:
        """The ``provider/model`` that answers.

        Raises:
            InputError: it was deleted, its deployment was taken down, or is not where the environment leads.
        """
        if self.deleted:
            raise InputError(
                f"{self.uri} was {self.model.model} at {self.model.backend}, which was deleted with llmops delete job: "
                "name another version, or run the same fine-tuning again"
            )
        if self.model.asked_as is None:
            raise InputError(
                f"{self.uri} is {self.model.model} at {self.model.backend}, and nothing serves it: its deployment was "
                f"taken down. Fine-tune with the same settings and --job.keep-deployment to have it deployed again"
            )
        if self.model.endpoint is not None:
            try:
                backend = back_end(self.model.backend, self.settings)
            except LlmopsError:
                return self.model.asked_as  # asking may need less of the environment than training
            require_endpoint(self.model, backend)
        return self.model.asked_as


def find_hosted_model(spec: str) -> HostedModel | None:
    """The hosted model that ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` refers to.

    None where the name is of another form, or stands for a model with weights, or for nothing at all.

    Raises:
        ServiceError: the registry cannot tell, which is not the same as None.
    """
    if not spec.startswith("models:/"):
        return None
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    name, at, alias = spec.removeprefix("models:/").partition("@")
    number = ""
    if not at:
        name, _, number = name.rpartition("/")
    try:
        found = client.get_model_version_by_alias(name, alias) if at else client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code in NOTHING_THERE:
            return None
        raise ServiceError(f"the model registry does not tell what {spec} is: {error.message}") from error
    return hosted_model(found)


def hosted_model(version: object) -> HostedModel | None:
    """What the tags of a registered version refer to; None where it holds weights."""
    tags: dict[str, str] = version.tags  # type: ignore[attr-defined]
    if MODEL_TAG not in tags:
        return None
    name, number = version.name, str(version.version)  # type: ignore[attr-defined]
    return HostedModel(
        uri=f"models:/{name}/{number}",
        name=name,
        version=number,
        model=TunedModel(
            backend=tags[BACKEND_TAG],
            model=tags[MODEL_TAG],
            base_model=tags.get(BASE_TAG, ""),
            job_id=tags.get(JOB_TAG, ""),
            region=tags.get(REGION_TAG) or None,
            endpoint=tags.get(ENDPOINT_TAG) or None,
            asked_as=tags.get(ASKED_AS_TAG) or None,
            deployment=tags.get(DEPLOYMENT_TAG) or None,
        ),
        settings=JobSettings.model_validate_json(tags.get(SETTINGS_TAG) or "{}"),
        digest=tags.get(DIGEST_TAG, ""),
        deleted=tags.get(DELETED) == "yes",
    )


def reference_tags(model: TunedModel, job: JobSettings) -> dict[str, str]:
    """The tags of a version that refers to a hosted model, from which `hosted_model` reads it again."""
    return {
        BACKEND_TAG: model.backend,
        MODEL_TAG: model.model,
        BASE_TAG: model.base_model,
        JOB_TAG: model.job_id,
        SETTINGS_TAG: job.model_dump_json(exclude_defaults=True),
        **serving_tags(model),
    }


def serving_tags(model: TunedModel) -> dict[str, str]:
    """The tags that say what serves a hosted model."""
    return {
        ASKED_AS_TAG: model.asked_as or "",
        DEPLOYMENT_TAG: model.deployment or "",
        REGION_TAG: model.region or "",
        ENDPOINT_TAG: model.endpoint or "",
    }


def require_weights(spec: str) -> None:
    """Refuse a model that has no weights to be read here.

    Raises:
        InputError: it is a reference to a hosted model.
    """
    hosted = find_hosted_model(spec)
    if hosted is not None:
        raise InputError(
            f"{spec} is a reference to {hosted.model.model} at {hosted.model.backend}: its weights are not on this "
            f"machine: ask it as {hosted.model.asked_as}, fine-tune it there (--backend {hosted.model.backend}), or "
            "name a model with weights"
        )


def back_end(name: str, job: JobSettings) -> FineTuningBackend:
    """The back end of that name: this machine, or a provider.

    Raises:
        InputError: its SDK is not installed, or the environment lacks what it needs.
    """
    from llmops.finetuning.backends.local import LocalBackend

    folder = settings().home / "training"
    if name == "local":
        return LocalBackend(folder)
    if name == "ollama":
        from llmops.finetuning.backends.ollama_import import OllamaBackend

        return OllamaBackend(folder, job.ollama)
    return connect_backend(name, job)


def require_endpoint(model: TunedModel, backend: FineTuningBackend) -> FineTuningBackend:
    """The back end, once it is known to be where the model is.

    Raises:
        InputError: the environment leads to another endpoint.
    """
    if model.endpoint not in (None, backend.endpoint):
        raise InputError(
            f"{model.model} is at {model.endpoint}, and the environment here leads to {backend.endpoint}: "
            f"set it as it was when backend {model.backend} made that model"
        )
    return backend
