"""A fine-tuning job as a task: submitted once, followed to its end, found again after whatever happened.

Each fact is in the ledger before the next step: that the job is wanted, what was uploaded, its id at the provider, its
state. So the same command after a crash goes on where the last one was, and what has ended is kept.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.finetuning.backends import ENDED, JobStatus, TunedModel
from llmops.finetuning.backends.backend import BackendError
from llmops.finetuning.jobs import JobRecord, job_ledger
from llmops.finetuning.jobs.estimates import trained_cost
from llmops.finetuning.jobs.files import remove_training_files
from llmops.finetuning.jobs.owner import JobOwner
from tasks.base_models import model_label
from tasks.deployments import deploy, deployment_name, note_on_version, still_running, take_down, take_retired_down
from tasks.hosted_models import hosted_model
from tasks.interruptions import FlowRunCancelledError, interruption_held_back, watched_for_cancellation
from tasks.job_cancellation import stop_job
from tasks.job_records import JobFollower, said_of_record
from tasks.planned_jobs import PlannedJob, enclosing_flow_runs, logged_settings
from tasks.progress import Stage, stage
from tasks.registry import find_version
from tasks.tracking import log_dataset, log_params, set_tags, tracked_run
from tasks.training import kept_training

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TunedByJob:
    """What a job has made, and the MLflow run that holds how.

    Attributes:
        digest: names the content: equal digests mean the same model.
    """

    digest: str
    model: TunedModel
    run_id: str
    record: JobRecord

    @property
    def has_curves(self) -> bool:
        """Whether the MLflow run holds a loss by step."""
        return "loss" in self.record.metrics


def note_version(plan: PlannedJob, registered: ModelVersion) -> None:
    """Note in the ledger what a job's model became in the registry."""
    job_ledger().update(plan.record.id, version=f"models:/{registered.name}/{registered.version}")


@task(name="fine-tuning job", cache_policy=NO_CACHE)
def run_job(plan: PlannedJob) -> TunedByJob:
    """Submit a job and follow it to its end, or go on with it, or take what it has made before.

    Raises:
        InputError: it cannot be trained like that.
        ServiceError: it failed, was cancelled, or the provider does not let us in or does not answer.
    """
    # Before hours of training, in which it would cost.
    take_retired_down(plan.record.name, but=plan.record, asked=plan.base.asked_as)
    with stage("Training") as line:
        kept = _kept(plan)
        if kept is not None:
            remove_training_files(plan.request.files)
            line.finish(f"kept from before · {said_of_record(kept.record)}")
            return kept
        with tracked_run("training", experiment=plan.version.name, resume_key=plan.digest) as run:
            _log_plan(plan, run.run_id)
            with _interruption_told(plan, line):
                status, record = _train(plan, run.run_id, line)
            record = _require_success(plan, record, status)
            missing = _log_result(plan, record, run.run_id)
            if plan.local is not None:
                plan.local.run_note.write_text(run.run_id)
            remove_training_files(plan.request.files)
            said = status.detail or said_of_record(record)
            line.finish(f"{said}; {missing}" if missing else said)
    assert record.model is not None
    return TunedByJob(plan.digest, record.model, run.run_id, record)


@contextmanager
def served(plan: PlannedJob, tuned: TunedByJob) -> Iterator[TunedModel]:
    """Have what a job has made answer inside the block.

    A deployment that costs money is taken down should deploying it, or the block, be interrupted or fail, unless the
    model is champion or is to keep it. Where the block ends well, `promote` has decided what becomes of it.
    """
    try:
        yield deploy_model(plan, tuned)
    except BaseException:
        _take_down(plan)
        raise


@task(name="deploy", cache_policy=NO_CACHE)
def deploy_model(plan: PlannedJob, tuned: TunedByJob) -> TunedModel:
    """Have the model answer as something that can be evaluated and served."""
    version = find_version(plan.record.name, plan.digest)

    def note(model: TunedModel) -> None:
        job_ledger().update(plan.record.id, model=model)
        if version is not None and hosted_model(version) is not None:
            # Of the same command before; as champion it must not be left without what serves it now.
            note_on_version(version.name, str(version.version), model)

    with stage("Deploy") as line:
        model = deploy(tuned.model, deployment_name(plan.record.name, plan.digest), plan.backend, note)
        line.finish(f"answers as {model_label(str(model.asked_as)) if plan.local else model.asked_as}")
    return model


def _take_down(plan: PlannedJob) -> None:
    """After a failure or an interruption, which an error of this must not hide."""
    record = job_ledger().get(plan.record.id)
    model = record.model
    if model is None or model.deployment is None or plan.settings.keep_deployment:
        return
    with stage("Take the deployment down") as line, interruption_held_back():
        line.finish(f"{model.deployment} may still run and cost: llmops cancel job {record.id} takes it down")
        try:
            line.finish(take_down(record, plan.backend) or "its model is champion")
        except Exception as error:  # noqa: BLE001
            said = still_running(f"Job {record.id}", model, error)
            line.finish(said)
            _log.warning("%s", said)


def _kept(plan: PlannedJob) -> TunedByJob | None:
    """What an earlier command, or a search, has trained already, if its MLflow run is there too."""
    record = plan.record
    if plan.local is not None:
        trained = kept_training(plan.local)
        if trained is None:
            return None
        run_id = trained.run_id
        if record.model is None or record.state != "succeeded":
            # Of a search: it has no job yet.
            job_id = plan.backend.submit(plan.request, {}, lambda key, value: None)
            record = job_ledger().update(record.id, job_id=job_id, mlflow_run_id=run_id)
            record = job_ledger().observe(record.id, plan.backend.status(job_id))
            record = _require_success(plan, record, plan.backend.status(job_id))
            _log_result(plan, record, run_id)
    elif record.state == "succeeded" and record.model is not None and record.mlflow_run_id is not None:
        run_id = record.mlflow_run_id
        try:
            if MlflowClient().get_run(run_id).info.status != "FINISHED":
                return None
        except MlflowException:
            return None
    else:
        return None
    assert record.model is not None
    return TunedByJob(plan.digest, record.model, run_id, record)


def _log_plan(plan: PlannedJob, run_id: str) -> None:
    backend, record = plan.backend, plan.record
    log_params(
        run_id,
        {
            "backend": backend.name,
            "base_model": plan.base.name,
            **logged_settings(backend, plan.request.training),
            **({"hyperparameters": record.hyperparameters} if plan.local is None else {}),
        },
    )
    log_dataset(run_id, plan.version, "training")
    set_tags(run_id, {"job": record.id, "job.backend": backend.name, "job.endpoint": backend.endpoint})
    flow_runs = list(dict.fromkeys([*record.flow_run_ids, *enclosing_flow_runs()]))
    owner = JobOwner.this_process()
    job_ledger().update(record.id, mlflow_run_id=run_id, flow_run_ids=flow_runs, owner=owner)


def _train(plan: PlannedJob, run_id: str, line: Stage) -> tuple[JobStatus, JobRecord]:
    ledger, record = job_ledger(), plan.record
    follower = JobFollower(run_id, record, ledger, line)
    try:
        with watched_for_cancellation(enclosing_flow_runs()):
            if record.job_id is None or plan.local is not None:
                line.update(0, None, f"submitting to {plan.backend.name}")
                with interruption_held_back():
                    noted = ledger.get(record.id).noted
                    job_id = plan.backend.submit(plan.request, noted, lambda key, value: _note(record.id, key, value))
                    ledger.update(record.id, job_id=job_id)
            else:
                job_id = record.job_id
            set_tags(run_id, {"job.id": job_id})
            if plan.local is not None:
                # The first entry of its log may be long in coming.
                follower.tell(JobStatus(state="running"))
            status = plan.backend.follow(job_id, follower.tell, plan.settings.waiting)
    except LlmopsError as error:
        follower.curves.write()
        _note_failure(record.id, error)
        raise
    return status, follower.finish(status)


def _note(record_id: str, key: str, value: str) -> None:
    job_ledger().note(record_id, key, value)


def _note_failure(record_id: str, error: LlmopsError) -> None:
    """Put down why a job was not followed to its end, and that it has failed where it cannot go on."""
    ledger = job_ledger()
    record = ledger.get(record_id)
    if record.state in ENDED or isinstance(error, FlowRunCancelledError):
        return
    over = isinstance(error, InputError) or (
        isinstance(error, BackendError) and error.kind == "refused" and record.job_id is None
    )
    state = {"state": "failed"} if over else {}
    ledger.update(record_id, reason=str(error), **state)


def _require_success(plan: PlannedJob, record: JobRecord, status: JobStatus) -> JobRecord:
    """The record with the model and the cost.

    Raises:
        ServiceError: the job has ended otherwise.
    """
    where = f"job {record.job_id} at {plan.backend.name}"
    again = "the same command starts a new attempt"
    if status.state == "failed":
        raise ServiceError(f"{where} failed: {status.reason or 'no reason given'}; {again}")
    if status.state == "cancelled":
        raise ServiceError(f"{where} was cancelled{f' ({status.reason})' if status.reason else ''}; {again}")
    if status.state != "succeeded" or status.model is None:
        # It may run, and cost, where another key looks: a new attempt is for a person to decide.
        raise ServiceError(
            f"{where} is not known at {plan.backend.endpoint} now: check key, project and region, and run the same "
            f"command again; llmops cancel job {record.id} gives it up, after which {again}"
        )
    model = TunedModel(
        backend=plan.backend.name,
        model=status.model,
        base_model=plan.base.model,
        job_id=str(record.job_id),
        endpoint=None if plan.backend.name == "local" else plan.backend.endpoint,
    )
    cost = 0.0 if plan.local else trained_cost(plan.backend.name, plan.base.model, record.trained_tokens)
    return job_ledger().update(record.id, model=record.model or model, cost=cost)


def _log_result(plan: PlannedJob, record: JobRecord, run_id: str) -> str | None:
    """The result's files (adapter, metrics, configuration) and what was paid, beside the curves.

    Returns:
        Why there are no files, where the provider gives none out; the model is there all the same.
    """
    missing = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            if plan.backend.fetch(str(record.job_id), Path(folder)):
                MlflowClient().log_artifacts(run_id, folder)
        except BackendError as error:
            if error.transient:
                raise
            missing = f"without its result files: {error}"
            _log.warning("job %s %s", record.id, missing)
    figures = {"trained_tokens": record.trained_tokens, "cost": record.cost, "job_seconds": record.seconds}
    for name, value in figures.items():
        if value is not None:
            MlflowClient().log_metric(run_id, name, value)
    return missing


@contextmanager
def _interruption_told(plan: PlannedJob, line: Stage) -> Iterator[None]:
    """Stop the job, or say how to find it, when this process is told to end."""
    try:
        yield
    except FlowRunCancelledError as error:
        said = stop_job(plan.record.id, plan.backend, plan.settings)
        line.finish(said)
        raise FlowRunCancelledError(f"{error}: {said}") from error
    except Exception:
        raise
    except BaseException:  # Ctrl-C, and what a termination signal raises
        line.finish(stop_job(plan.record.id, plan.backend, plan.settings))
        raise
