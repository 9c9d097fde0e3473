"""Fine-tuning at Azure OpenAI, whose fine-tuned models answer once they are deployed, which costs by the hour."""

import os
import re
from types import NoneType

from llmops.errors import InputError
from llmops.finetuning.backends.azure_deployments import AzureDeployments, find_deployments
from llmops.finetuning.backends.backend import BackendError, FineTuningBackend, TunedModel
from llmops.finetuning.backends.openai_backend import OpenAIFineTuning
from llmops.finetuning.backends.openai_jobs import RETRIES, TIMEOUT_S
from llmops.finetuning.backends.openai_service import OpenAIService, asking
from llmops.finetuning.backends.settings import JobSettings
from llmops.finetuning.config import TrainingConfig
from llmops.llm.providers.addresses import without_login
from llmops.llm.providers.openai_models import AZURE_UNDATED

_SUFFIX_LIMIT = 18
_LONGEST_NAME = 64


class AzureBackend(OpenAIFineTuning):
    """A resource of Azure OpenAI."""

    def check(self, base_model: str, training: TrainingConfig) -> None:
        """As everywhere, and whether the model could be deployed afterwards.

        Raises:
            InputError: a setting that Azure does not offer, or what lacks for a deployment.
            BackendError: the key or the token is refused, or there is no answer.
        """
        deployments = self._deployments()
        super().check(base_model, training)
        deployments.check()

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        """Deploy it under that name, of which letters, digits, ``-``, ``_`` and ``.`` are taken, and wait for it.

        Raises:
            InputError: the settings or the environment lack something.
            BackendError: the name serves another model, or Azure refuses or fails.
        """
        deployment = _deployment_name(name)
        azure = self._settings.azure
        deployments = self._deployments()
        where = {"endpoint": self.endpoint, "region": deployments.region()}
        deployments.serve(deployment, model.model, azure.sku, azure.capacity)
        return model.model_copy(update={"asked_as": f"azure/{deployment}", "deployment": deployment, **where})

    def deployment_of(self, model: TunedModel, name: str) -> str | None:
        """The name as Azure takes it."""
        return _deployment_name(name)

    def undeploy(self, model: TunedModel) -> TunedModel:
        """Delete its deployment; one of that name that serves another model is left."""
        if model.deployment is not None:
            self._deployments().remove(model.deployment, model.model)
        return model.model_copy(update={"asked_as": None, "deployment": None})

    def delete(self, model: TunedModel) -> None:
        """Delete the job, and with it the model, which Azure cannot delete by itself; its deployment goes first."""
        self.undeploy(model)
        client = self._service.client
        try:
            with asking(self._service, f"deleting the job {model.job_id}"):
                client.delete(f"/fine_tuning/jobs/{model.job_id}", cast_to=NoneType)
        except BackendError as error:
            if error.kind != "missing":
                raise

    def _deployments(self) -> AzureDeployments:
        return find_deployments(self._settings.azure, self.endpoint, self._settings.waiting)


def connect_azure(settings: JobSettings) -> FineTuningBackend:
    """Azure OpenAI by the SDK's variables.

    They are ``AZURE_OPENAI_ENDPOINT``, ``AZURE_OPENAI_API_KEY`` or ``AZURE_OPENAI_AD_TOKEN``, and
    ``OPENAI_API_VERSION``: a date, or ``v1`` or ``preview`` of the newer API.

    Raises:
        InputError: one of them is missing.
    """
    from openai import AzureOpenAI, OpenAIError

    address = os.environ.get("AZURE_OPENAI_ENDPOINT", "").rstrip("/")
    if not address:
        raise InputError("backend azure has no address: set AZURE_OPENAI_ENDPOINT")
    version = os.environ.get("OPENAI_API_VERSION")
    if not version:
        raise InputError("backend azure: set OPENAI_API_VERSION to the version of Azure's API, e.g. 2025-04-01-preview")
    base = f"{address}/openai/v1" if version in AZURE_UNDATED else f"{address}/openai"
    try:
        client = AzureOpenAI(base_url=base, api_version=version, max_retries=RETRIES, timeout=TIMEOUT_S)
    except OpenAIError as error:
        raise InputError("backend azure has no key: set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN") from error
    by_token = bool(os.environ.get("AZURE_OPENAI_AD_TOKEN"))
    service = OpenAIService(
        name="azure",
        client=client,
        endpoint=without_login(address),
        key_name="AZURE_OPENAI_AD_TOKEN" if by_token else "AZURE_OPENAI_API_KEY",
        suffix_limit=_SUFFIX_LIMIT,
        keeps_metadata=False,
    )
    return AzureBackend(service, settings)


def _deployment_name(name: str) -> str:
    """A name as Azure takes it.

    >>> _deployment_name("Support answers/v2")
    'Support-answers-v2'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:_LONGEST_NAME].strip("-_.")
