"""What has a hosted model answer, and may cost by the hour.

The champion's deployment stays; that of a version that is champion no longer is noted on it (`retire`) before the alias
moves, and taken down after that, or by the next run that gets through.
"""

import logging

from llmops.errors import LlmopsError
from llmops.finetuning.backends import FineTuningBackend, TunedModel
from llmops.finetuning.backends.backend import BackendError
from llmops.finetuning.jobs import JobRecord, job_ledger
from tasks.hosted_models import (
    BACKEND_TAG,
    JOB_TAG,
    HostedModel,
    back_end,
    find_hosted_model,
    hosted_model,
    require_endpoint,
    serving_tags,
)
from tasks.version_names import CHAMPION

RETIRED_TAG = "llmops.take_deployment_down"

_log = logging.getLogger(__name__)


def deploy_again(hosted: HostedModel) -> TunedModel:
    """Have a version answer, whatever became of its deployment, and note that on it; the same again changes nothing.

    Raises:
        InputError: the environment leads to another endpoint.
        ServiceError: the provider cannot deploy it.
    """
    try:
        backend = require_endpoint(hosted.model, back_end(hosted.model.backend, hosted.settings))
        model = backend.deploy(hosted.model, deployment_name(hosted.name, hosted.digest))
    except BackendError as error:
        raise BackendError(f"{hosted.uri} could not be deployed again: {error}", error.kind) from error
    _note_in_ledger(hosted.name, model)
    _note_on_version(hosted.name, hosted.version, model)
    return model


def take_down(record: JobRecord, backend: FineTuningBackend | None = None) -> str | None:
    """Take down what serves, or was about to serve, the model of a job that has ended, unless that is champion.

    Args:
        record: the job as the ledger has it now.
        backend: where it ran; connected by the record when left out.

    Returns:
        What was done, in a sentence; None where there is nothing to take down.

    Raises:
        InputError: the environment leads to another endpoint.
        ServiceError: the provider, or the registry, does not heed it: the deployment may go on.
    """
    model = record.model
    if not record.ended or model is None or model.deployment is None or _serves_as_champion(record.name, model):
        return None
    model = model.model_copy(update={"endpoint": model.endpoint or record.endpoint})
    _undeploy(record.name, model, backend or back_end(record.backend, record.settings))
    return f"Its deployment {model.deployment} was taken down."


def retire(name: str, version: str) -> None:
    """Note on a version that what serves it is to be taken down, should it not be champion any more."""
    from mlflow import MlflowClient

    hosted = find_hosted_model(f"models:/{name}/{version}")
    if hosted is not None and hosted.model.deployment is not None and not hosted.settings.keep_deployment:
        MlflowClient().set_model_version_tag(name, version, RETIRED_TAG, "yes")


def take_retired_down(name: str) -> list[str]:
    """Take down what serves the versions of which that is noted; never fails.

    Returns:
        What still runs, and what to do about it: a sentence each.
    """
    from mlflow import MlflowClient

    client = MlflowClient()
    running = []
    for version in client.search_model_versions(f"name = '{name}' and tags.`{RETIRED_TAG}` = 'yes'"):
        hosted = hosted_model(version)
        if hosted is None or hosted.model.deployment is None or _serves_as_champion(name, hosted.model):
            client.delete_model_version_tag(name, str(version.version), RETIRED_TAG)
            continue
        try:
            _undeploy(name, hosted.model, back_end(hosted.model.backend, hosted.settings))
        except Exception as error:  # noqa: BLE001  whatever it is, the alias has moved and the run has succeeded
            said = still_running(hosted.uri, hosted.model, error)
            running.append(f"{said}; the next run of {name} tries again")
            _log.warning("%s", running[-1])
    return running


def still_running(what: str, model: TunedModel, error: Exception) -> str:
    """A deployment that could not be taken down, and the command that does it."""
    why = str(error) if isinstance(error, LlmopsError) else f"{type(error).__name__}: {error}"
    return (
        f"{what}: its deployment {model.deployment} at {model.backend} may still run and cost ({why}): "
        f"llmops cancel job {model.job_id} takes it down"
    )


def _undeploy(name: str, model: TunedModel, backend: FineTuningBackend) -> None:
    """Take a deployment down, and note that in the ledger and on the version, where there is one."""
    from mlflow import MlflowClient

    down = require_endpoint(model, backend).undeploy(model)
    _note_in_ledger(name, down)
    client = MlflowClient()
    made = f"name = '{name}' and tags.`{JOB_TAG}` = '{model.job_id}' and tags.`{BACKEND_TAG}` = '{model.backend}'"
    for version in client.search_model_versions(made):
        _note_on_version(name, str(version.version), down)
        if RETIRED_TAG in version.tags:
            client.delete_model_version_tag(name, str(version.version), RETIRED_TAG)


def _note_in_ledger(name: str, model: TunedModel) -> None:
    ledger = job_ledger()
    for record in ledger.all():
        if (record.name, record.backend, record.job_id) == (name, model.backend, model.job_id):
            ledger.update(record.id, model=model)


def _note_on_version(name: str, version: str, model: TunedModel) -> None:
    from mlflow import MlflowClient

    for tag, value in serving_tags(model).items():
        MlflowClient().set_model_version_tag(name, version, tag, value)


def _serves_as_champion(name: str, model: TunedModel) -> bool:
    """Whether the champion is what this job has made; a registry that does not answer is no answer."""
    from tasks.registry import version_at

    champion = version_at(name, CHAMPION)
    hosted = hosted_model(champion) if champion is not None else None
    return hosted is not None and (hosted.model.backend, hosted.model.job_id) == (model.backend, model.job_id)


def deployment_name(name: str, digest: str) -> str:
    """What a model's deployment is called at a provider that lets one choose: the same for the same content.

    >>> deployment_name("Support", "47b44532" + 56 * "0")
    'support-47b44532'
    """
    return f"{name.lower()[:40]}-{digest[:8]}"
