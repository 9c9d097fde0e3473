"""Fine-tuning back ends behind one protocol.

========================  =====================================================================================
``backend``               the protocol, and the words of all: request, status, estimate, tuned model
``settings``              what a person sets beside the hyperparameters
``polling``               waiting for a job: back-off, patience, deadline
``unbroken_requests``     a request that an interruption does not cut short
``local``                 this machine, with ``training_folder`` (what a training's folder tells)
``ollama_import``         trained on this machine, served by Ollama; ``ollama_template``: its chat template there
``openai_backend``        what OpenAI and Azure share, with ``openai_service`` (client and failures),
                          ``openai_submission`` (files and job, once), ``openai_progress`` (states, losses)
``openai_jobs``           OpenAI
``azure_jobs``            Azure OpenAI; ``azure_deployments``: what answers there, through Azure's management
``vertex_jobs``           Vertex AI, with ``vertex_hyperparameters``, ``vertex_status``, ``vertex_endpoints``,
                          ``cloud_storage`` (the data), ``google_failures``
``bedrock_jobs``          Amazon Bedrock, Claude included, with ``bedrock_families`` (hyperparameters by family),
                          ``bedrock_files`` (S3), ``bedrock_status``, ``bedrock_deployments``, ``aws_failures``
========================  =====================================================================================
"""

from importlib import import_module

from llmops.errors import InputError
from llmops.finetuning.backends.backend import (
    ENDED,
    BackendError,
    Estimate,
    FineTuningBackend,
    JobState,
    JobStatus,
    TrainingFiles,
    TunedModel,
    TuningRequest,
    Waiting,
)
from llmops.finetuning.backends.settings import JobSettings

_HOSTED = {
    # The name of a back end: (module, function that connects, the SDK, the extra that installs it).
    "openai": ("openai_jobs", "connect_openai", "openai", "openai"),
    "azure": ("azure_jobs", "connect_azure", "openai", "openai"),
    "vertex": ("vertex_jobs", "connect_vertex", "google.genai", "google"),
    "bedrock": ("bedrock_jobs", "connect_bedrock", "boto3", "bedrock"),
    "anthropic": ("bedrock_jobs", "connect_anthropic", "boto3", "bedrock"),
}
HOSTED = tuple(_HOSTED)
"""The back ends that train elsewhere, for money."""


def connect_backend(name: str, settings: JobSettings = JobSettings()) -> FineTuningBackend:
    """The hosted back end of that name.

    Raises:
        InputError: there is none, its SDK is not installed, or the environment lacks what it needs.
    """
    if name not in _HOSTED:
        raise InputError(f"backend {name!r} trains nothing elsewhere: choose one of {', '.join(_HOSTED)}")
    module, function, sdk, extra = _HOSTED[name]
    try:
        import_module(sdk)
    except ImportError as error:
        raise InputError(f"backend {name} needs the {sdk} SDK: pip install 'llmops[{extra}]'") from error
    connected: FineTuningBackend = getattr(import_module(f"{__name__}.{module}"), function)(settings)
    return connected


__all__ = [
    "ENDED",
    "HOSTED",
    "BackendError",
    "Estimate",
    "FineTuningBackend",
    "JobSettings",
    "JobState",
    "JobStatus",
    "TrainingFiles",
    "TunedModel",
    "TuningRequest",
    "Waiting",
    "connect_backend",
]
