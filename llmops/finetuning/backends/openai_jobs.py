"""Fine-tuning at OpenAI, whose fine-tuned models answer as soon as their job has succeeded."""

import os

from llmops.errors import InputError
from llmops.finetuning.backends.backend import BackendError, FineTuningBackend, TunedModel
from llmops.finetuning.backends.openai_backend import OpenAIFineTuning
from llmops.finetuning.backends.openai_service import OpenAIService, asking
from llmops.finetuning.backends.settings import JobSettings
from llmops.llm.providers.addresses import without_login

RETRIES = 3
"""Of a single request, by the SDK, which heeds Retry-After; an outage is waited out by `polling.poll`."""
TIMEOUT_S = 120.0
_SUFFIX_LIMIT = 64
# Sent where a compatible server asks for no key, as the SDK wants one.
_NO_KEY = "none"


class OpenAIBackend(OpenAIFineTuning):
    """OpenAI, or the compatible server at ``OPENAI_BASE_URL``."""

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        """Nothing has to be deployed: the model is asked by its name."""
        return model.model_copy(update={"asked_as": f"openai/{model.model}", "endpoint": self.endpoint})

    def deployment_of(self, model: TunedModel, name: str) -> str | None:
        """None: nothing is deployed."""
        return None

    def undeploy(self, model: TunedModel) -> TunedModel:
        """Nothing is deployed that could be taken down."""
        return model

    def delete(self, model: TunedModel) -> None:
        """Delete the model; one that is gone already is no error."""
        try:
            with asking(self._service, f"deleting the model {model.model}"):
                self._service.client.models.delete(model.model)
        except BackendError as error:
            if error.kind != "missing":
                raise


def connect_openai(settings: JobSettings) -> FineTuningBackend:
    """OpenAI by the SDK's variables: ``OPENAI_API_KEY``, ``OPENAI_BASE_URL``, ``OPENAI_ORG_ID``, ``OPENAI_PROJECT_ID``.

    Raises:
        InputError: no key for OpenAI's own address.
    """
    from openai import OpenAI, OpenAIError

    key = os.environ.get("OPENAI_API_KEY")
    if not key and not os.environ.get("OPENAI_BASE_URL"):
        raise InputError("backend openai has no key: set OPENAI_API_KEY, or OPENAI_BASE_URL")
    try:
        client = OpenAI(api_key=key or _NO_KEY, max_retries=RETRIES, timeout=TIMEOUT_S)
    except OpenAIError as error:
        raise InputError(f"backend openai: {str(error).partition(chr(10))[0]}") from error
    account = "/".join(part for part in (client.organization, client.project) if part)
    address = without_login(str(client.base_url).rstrip("/"))
    service = OpenAIService(
        name="openai",
        client=client,
        endpoint=f"{address}#{account}" if account else address,
        key_name="OPENAI_API_KEY",
        suffix_limit=_SUFFIX_LIMIT,
        keeps_metadata=True,
    )
    return OpenAIBackend(service, settings)
