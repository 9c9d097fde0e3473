"""What has a hosted model answer, and may cost by the hour.

What is about to be deployed is noted before it is made, in the ledger and on the model's version. The champion's
deployment stays. That of a version that is champion no longer is noted on it (`retire`) before the alias moves, and
taken down after that; what a killed run has left is taken down by the next run of that name.
"""

import logging
from collections.abc import Callable

from llmops.errors import LlmopsError
from llmops.finetuning.backends import FineTuningBackend, JobSettings, TunedModel
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
from tasks.progress import stage
from tasks.version_names import CHAMPION

RETIRED_TAG = "llmops.take_deployment_down"

# For what an earlier run has left no run is held up for long: the next one tries again.
_PATIENCE_S = 10.0
_DEADLINE_HOURS = 0.1

_log = logging.getLogger(__name__)


def deploy(
    model: TunedModel, called: str, backend: FineTuningBackend, note: Callable[[TunedModel], object]
) -> TunedModel:
    """Have a model answer; what serves it is noted before it is made, so that whoever looks for it finds it."""
    deployment = backend.deployment_of(model, called)
    if deployment is not None:
        note(model.model_copy(update={"deployment": deployment}))
    served = backend.deploy(model, called)
    note(served)
    return served


def deploy_again(hosted: HostedModel) -> TunedModel:
    """Have a version answer, whatever became of its deployment; the same again changes nothing.

    Until it is champion it is noted on it that what serves it is to be taken down.

    Raises:
        InputError: the environment leads to another endpoint.
        ServiceError: the provider cannot deploy it.
    """

    def note(model: TunedModel) -> None:
        _note_in_ledger(hosted.name, model)
        note_on_version(hosted.name, hosted.version, model)
        retire(hosted.name, hosted.version)

    try:
        backend = require_endpoint(hosted.model, back_end(hosted.model.backend, hosted.settings))
        return deploy(hosted.model, deployment_name(hosted.name, hosted.digest), backend, note)
    except BackendError as error:
        raise BackendError(f"{hosted.uri} could not be deployed again: {error}", error.kind) from error


def take_down(record: JobRecord, backend: FineTuningBackend | None = None, by_hand: bool = False) -> str | None:
    """Take down what serves, or was about to serve, the model of a job that has ended, unless that is champion.

    Args:
        record: the job as the ledger has it now.
        backend: where it ran; connected by the record when left out.
        by_hand: whether a person asks for it, even where the MLflow here does not know the model.

    Returns:
        What was done, or why it was left, in a sentence; None where there is nothing to take down.

    Raises:
        InputError: the environment leads to another endpoint.
        ServiceError: the provider, or the registry, does not heed it: the deployment may go on.
    """
    model = _left_running(record)
    if model is None or serves_as_champion(record.name, model):
        return None
    if not by_hand and (why := _left_alone(record)):
        return why
    undeploy(record.name, model, backend or back_end(record.backend, record.settings))
    return f"Its deployment {model.deployment} was taken down."


def retire(name: str, version: str) -> None:
    """Note on a version that what serves it is to be taken down, should it not be champion any more."""
    from mlflow import MlflowClient

    hosted = find_hosted_model(f"models:/{name}/{version}")
    if hosted is not None and hosted.model.deployment is not None and not hosted.settings.keep_deployment:
        MlflowClient().set_model_version_tag(name, version, RETIRED_TAG, "yes")


def take_retired_down(name: str, but: JobRecord | None = None, asked: str | None = None) -> list[str]:
    """Take down what nobody needs: it serves a retired version, or a killed run has left it; never fails.

    To be called by who has the name's lock: what another run is about to evaluate would be among it.

    Args:
        name: registered model.
        but: the job that goes on.
        asked: a model that is still to be asked: ``provider/model``, or ``models:/NAME/VERSION``.

    Returns:
        What still runs, and what to do about it: a sentence each.
    """
    try:
        base = find_hosted_model(asked) if asked is not None else None
        needed = base.model.asked_as if base is not None else asked
        unneeded = [one for one in _unneeded(name) if needed is None or one[1].asked_as != needed]
        if but is not None:
            unneeded = [one for one in unneeded if (one[1].backend, one[1].job_id) != (but.backend, but.job_id)]
    except Exception as error:  # noqa: BLE001  whatever it is, the alias has moved and the run has succeeded
        unneeded = []
        running = [f"{name}: what serves a model that is not champion may still run and cost ({said_of_error(error)})"]
    else:
        running = []
    if unneeded or running:
        with stage("Take deployments down") as line:
            for number, (what, model, job) in enumerate(unneeded):
                line.update(number, len(unneeded), f"{model.deployment} at {model.backend}", unit="deployments")
                try:
                    # Once more: a rollback of another home may have made it champion in the meantime.
                    if not serves_as_champion(name, model):
                        undeploy(name, model, back_end(model.backend, _hurried(job)))
                except Exception as error:  # noqa: BLE001
                    running.append(f"{still_running(what, model, error)}; the next run of {name} tries again")
            line.finish("; ".join(running) or "done")
    for said in running:
        _log.warning("%s", said)
    return running


def _hurried(job: JobSettings) -> JobSettings:
    """The settings with which a provider is waited for no longer than `_PATIENCE_S` and `_DEADLINE_HOURS`."""
    own = job.waiting
    changes = {
        "longest_poll_s": min(own.longest_poll_s, _PATIENCE_S),
        "patience_s": min(own.patience_s, _PATIENCE_S),
        "deadline_hours": min(own.deadline_hours or _DEADLINE_HOURS, _DEADLINE_HOURS),
    }
    return job.model_copy(update={"waiting": own.model_copy(update=changes)})


def _unneeded(name: str) -> list[tuple[str, TunedModel, JobSettings]]:
    """What runs and serves neither the champion nor is to be kept: whose it is, the model, and its job's settings."""
    from mlflow import MlflowClient

    found: dict[tuple[str, str], tuple[str, TunedModel, JobSettings]] = {}
    for record in job_ledger().all():
        model = _left_running(record) if record.name == name and not record.settings.keep_deployment else None
        if model is None or serves_as_champion(name, model):
            continue
        if said := _left_alone(record):
            _log.warning("job %s: %s", record.id, said)
        else:
            found[model.backend, model.job_id] = (f"Job {record.id}", model, record.settings)
    client = MlflowClient()
    for version in client.search_model_versions(f"name = '{name}' and tags.`{RETIRED_TAG}` = 'yes'"):
        hosted = hosted_model(version)
        if (
            hosted is None
            or hosted.model.deployment is None
            or hosted.settings.keep_deployment
            or serves_as_champion(name, hosted.model)
        ):
            client.delete_model_version_tag(name, str(version.version), RETIRED_TAG)
        else:
            found[hosted.model.backend, hosted.model.job_id] = (hosted.uri, hosted.model, hosted.settings)
    return list(found.values())


def _left_running(record: JobRecord) -> TunedModel | None:
    """The model of a job that has ended, where something may serve it that costs."""
    model = record.model
    if not record.ended or model is None or model.deployment is None:
        return None
    return model.model_copy(update={"endpoint": model.endpoint or record.endpoint})


def _left_alone(record: JobRecord) -> str | None:
    """Why only a person takes a deployment down: the MLflow here is not the one that knows who is champion.

    Raises:
        ServiceError: the registry cannot tell.
    """
    if record.version is None or record.model is None or record.model.deployment is None:
        return None
    hosted = find_hosted_model(record.version)
    if hosted is not None and (hosted.model.backend, hosted.model.job_id) == (record.backend, record.job_id):
        return None
    known = f"its model, {record.version}, is not known to this MLflow"
    return f"{record.model.deployment} stays: {known}; llmops cancel job {record.id} takes it down"


def still_running(what: str, model: TunedModel, error: Exception) -> str:
    """A deployment that could not be taken down, and the command that does it."""
    may = f"may still run and cost ({said_of_error(error)})"
    how = f"llmops cancel job {model.job_id} takes it down"
    return f"{what}: its deployment {model.deployment} at {model.backend} {may}: {how}"


def said_of_error(error: Exception) -> str:
    """One of ours says all in its message; of any other the kind is needed, too."""
    return str(error) if isinstance(error, LlmopsError) else f"{type(error).__name__}: {error}"


def undeploy(name: str, model: TunedModel, backend: FineTuningBackend) -> None:
    """Take a deployment down, and note that in the ledger and on the version, where there is one.

    Raises:
        InputError: the environment leads to another endpoint.
        ServiceError: the provider does not heed it: the deployment may go on.
    """
    from mlflow import MlflowClient

    down = require_endpoint(model, backend).undeploy(model)
    _note_in_ledger(name, down)
    client = MlflowClient()
    made = f"name = '{name}' and tags.`{JOB_TAG}` = '{model.job_id}' and tags.`{BACKEND_TAG}` = '{model.backend}'"
    for version in client.search_model_versions(made):
        note_on_version(name, str(version.version), down)
        if RETIRED_TAG in version.tags:
            client.delete_model_version_tag(name, str(version.version), RETIRED_TAG)


def _note_in_ledger(name: str, model: TunedModel) -> None:
    ledger = job_ledger()
    for record in ledger.all():
        if (record.name, record.backend, record.job_id) == (name, model.backend, model.job_id):
            ledger.update(record.id, model=model)


def note_on_version(name: str, version: str, model: TunedModel) -> None:
    """Note on a version that refers to a hosted model what serves that."""
    from mlflow import MlflowClient

    for tag, value in serving_tags(model).items():
        MlflowClient().set_model_version_tag(name, version, tag, value)


def serves_as_champion(name: str, model: TunedModel) -> bool:
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
