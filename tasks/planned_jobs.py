"""A fine-tuning as it will be asked of a back end: found, checked, written to files, priced and put into the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from llmops.data import DatasetVersion
from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ResolvedBase, ScratchRecipe, TrainingConfig
from llmops.finetuning.backends import HOSTED, Estimate, FineTuningBackend, JobSettings, TuningRequest
from llmops.finetuning.backends.backend import set_fields
from llmops.finetuning.backends.bedrock_families import invoked_as
from llmops.finetuning.jobs import JobRecord, job_key, job_ledger
from llmops.finetuning.jobs.files import write_training_files
from llmops.llm.providers import connect
from llmops.settings import settings
from tasks.base_answers import require_answer
from tasks.base_models import prepare_base_model, require_base_model, require_room_for_answers
from tasks.datasets import dataset_store, training_pairs
from tasks.hosted_models import find_hosted_model
from tasks.progress import stage
from tasks.training import Job, job_for

# Whose models a back end's are, where it has another name there.
_PROVIDERS = {"anthropic": "bedrock"}


@dataclass(frozen=True)
class TuningBase:
    """The model that is tuned.

    Attributes:
        name: what a person calls it.
        model: what the back end calls it: a folder here, or the provider's name.
        asked_as: how it is asked, to be compared with what becomes of it.
        weights: its folder and digest, where it is trained on this machine.
    """

    name: str
    model: str
    asked_as: str
    weights: ResolvedBase | None = None


@dataclass(frozen=True)
class PlannedJob:
    """A fine-tuning, ready to be submitted.

    Attributes:
        local: the training's folder, where it is trained on this machine.
    """

    backend: FineTuningBackend
    base: TuningBase
    request: TuningRequest
    version: DatasetVersion
    settings: JobSettings
    record: JobRecord
    local: Job | None = None

    @property
    def digest(self) -> str:
        """Names what comes out: the same for the same training served in the same way, or the same attempt."""
        if self.local is None:
            return content_digest([self.record.key, self.record.attempt])
        if self.backend.name == "local":
            return self.local.digest
        served = self.settings.ollama.model_dump(mode="json")
        return content_digest([self.local.digest, self.backend.name, self.backend.endpoint, served])

    @property
    def estimate(self) -> Estimate:
        """What it will cost and take."""
        return self.record.estimate


def with_method(training: TrainingConfig, method: str | None) -> TrainingConfig:
    """The settings with a method that was given beside them; what nobody set stays unset.

    Raises:
        InputError: they name another one.
    """
    if method is None:
        return training
    if "method" in training.model_fields_set and training.method != method:
        raise InputError(f"method {method} and training.method {training.method} contradict each other: leave one out")
    return TrainingConfig.model_validate({**set_fields(training), "method": method})


def require_tunable(
    backend: FineTuningBackend,
    base_model: str,
    training: TrainingConfig,
    evaluation: EvaluationConfig,
    scratch: ScratchRecipe,
    job: JobSettings,
    champion: Sequence[str],
) -> None:
    """Refuse what would fail later, before anything is written or paid.

    Raises:
        InputError: a setting, a base model, an SDK, a key or an address is missing or impossible.
        BackendError: the provider does not let us in.
    """
    if backend.name in HOSTED:
        base = _elsewhere(backend, base_model, job)
        backend.check(base.model, training)
        connect(base.asked_as)
    else:
        backend.check(base_model, training)
        require_base_model(base_model, training)
        require_room_for_answers([base_model, *champion], evaluation, scratch)


def logged_settings(backend: FineTuningBackend, training: TrainingConfig) -> dict[str, Any]:
    """The settings that hold: a provider's own defaults are not ours."""
    return set_fields(training) if backend.name in HOSTED else training.model_dump(mode="json")


@task(name="plan the job", cache_policy=NO_CACHE)
def plan_job(
    backend: FineTuningBackend,
    base_model: str,
    training: TrainingConfig,
    scratch: ScratchRecipe,
    version: DatasetVersion,
    name: str,
    job: JobSettings,
) -> PlannedJob:
    """Find the base, write the data as the back end wants it, price it, and put the job into the ledger.

    The same job as of an earlier command is found there again, with all that was done of it. A base at a provider is
    asked one short question before the first attempt.

    Raises:
        InputError: the provider would refuse the data, or the base cannot be asked by its name.
        ServiceError: the base does not answer now.
    """
    if backend.name in HOSTED:
        base, local = _elsewhere(backend, base_model, job), None
    else:
        base = _here(base_model, scratch, version, job)
        assert base.weights is not None
        local = job_for(base.weights, version, training)
    hyperparameters = backend.hyperparameters(base.model, training)
    identity: dict[str, Any] = {
        "backend": backend.name,
        "endpoint": backend.endpoint,
        "base_model": base.model if local is None else base.name,
        "name": name,
        "dataset_digest": version.digest,
        "hyperparameters": hyperparameters,
    }
    key = job_key(**identity)
    if local is None and not job_ledger().was_submitted(key):
        require_answer(base.asked_as)
    with stage("Training data") as line:
        # Of this job alone: it is removed when the job has succeeded.
        folder = settings().home / "jobs" / "files" / key[:16]
        batches = {split: dataset_store().batches(version, split) for split in ("train", "validation")}
        files = write_training_files(batches, backend.data_format(base.model), folder, what=version.uri)
        # Of the base as the ledger names it, whose earlier jobs tell the time.
        estimate = backend.estimate(TuningRequest(identity["base_model"], name, "", training, files))
        line.finish(f"{files.examples:,} examples; {said_of(estimate)}")
    record = job_ledger().begin(
        key,
        **identity,
        dataset=version.uri,
        estimate=estimate,
        settings=job,
        token=local.folder.name if local else None,
        flow_run_id=flow_run.get_id(),
    )
    missing = [one for one in enclosing_flow_runs() if one not in record.flow_run_ids]
    if missing:
        record = job_ledger().update(record.id, flow_run_ids=[*record.flow_run_ids, *missing])
    return PlannedJob(
        backend=backend,
        base=base,
        request=TuningRequest(base.model, name, record.token, training, files),
        version=version,
        settings=job,
        record=record,
        local=local,
    )


def said_of(estimate: Estimate) -> str:
    """An estimate in a few words.

    >>> said_of(Estimate(tokens=12000, cost=0.096, seconds=1260))
    'about 12,000 tokens, $0.10, 21 minutes'
    >>> said_of(Estimate())
    'at an unknown cost, in an unknown time'
    """
    tokens = f"about {estimate.tokens:,} tokens, " if estimate.tokens is not None else ""
    cost = "at an unknown cost" if estimate.cost is None else f"${estimate.cost:,.2f}"
    if estimate.cost == 0:
        cost = "no cost"
    if estimate.seconds is None:
        return f"{tokens}{cost}" if estimate.cost == 0 else f"{tokens}{cost}, in an unknown time"
    minutes = estimate.seconds / 60
    return f"{tokens}{cost}, {f'{minutes:,.0f} minutes' if minutes < 120 else f'{minutes / 60:,.1f} hours'}"


def enclosing_flow_runs() -> list[str]:
    """The flow run that this is part of, and those around it."""
    found = (flow_run.get_id(), flow_run.get_parent_flow_run_id(), flow_run.get_root_flow_run_id())
    return list(dict.fromkeys(str(one) for one in found if one))


def _here(base_model: str, scratch: ScratchRecipe, version: DatasetVersion, job: JobSettings) -> TuningBase:
    texts = training_pairs(version).texts if base_model == "scratch" else []
    weights = prepare_base_model(base_model, texts, scratch)
    return TuningBase(weights.name, str(weights.path), job.baseline or str(weights.path), weights)


def _elsewhere(backend: FineTuningBackend, base_model: str, job: JobSettings) -> TuningBase:
    """A base by its provider's name, or a model tuned there before by its name in our registry."""
    hosted = find_hosted_model(base_model)
    if hosted is not None and hosted.model.backend == backend.name:
        return TuningBase(base_model, hosted.model.model, job.baseline or hosted.require_answer())
    if base_model in ("tiny", "scratch") or base_model.startswith("models:/") or Path(base_model).is_dir():
        raise InputError(
            f"base model {base_model} is on this machine, and backend {backend.name} trains its own: name one of the "
            "provider's (--base-model), as its documentation does"
        )
    provider = _PROVIDERS.get(backend.name, backend.name)
    asked = invoked_as(base_model) if provider == "bedrock" else base_model
    return TuningBase(base_model, base_model, job.baseline or f"{provider}/{asked}")
