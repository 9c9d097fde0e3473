"""MLflow runs: one parent a flow run, a child for each part, and every run resumable after a crash.

The run that encloses is found through a context variable, so a flow called inside another becomes its child
without a parameter for it. A run opened with a ``resume_key`` leaves a note in the home until it ends; the same
command after a crash finds the note and goes on with the same run.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID
from prefect.runtime import flow_run

from llmops.data import DatasetVersion
from llmops.settings import settings
from tasks.crash_recovery import ProcessIdentity, mlflow_run_tag, note_flow_run
from tasks.interruptions import FlowRunCancelledError, release_frames
from tasks.progress import EndedEarly

_enclosing_run: ContextVar[str | None] = ContextVar("enclosing_mlflow_run", default=None)
_tags_inside: ContextVar[Mapping[str, str]] = ContextVar("tags_of_mlflow_runs", default=MappingProxyType({}))
_opened_inside: ContextVar[list[str] | None] = ContextVar("opened_mlflow_runs", default=None)

# The tracking store refuses longer values.
LONGEST_PARAM = 6000


@dataclass(frozen=True)
class TrackedRun:
    """An open MLflow run; ``resumed`` says that a crashed command had begun it."""

    run_id: str
    experiment_id: str
    resumed: bool


@contextmanager
def tracked_run(
    name: str,
    *,
    experiment: str,
    resume_key: str | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> Iterator[TrackedRun]:
    """Open an MLflow run below the enclosing one and end it with the status that the block ended with.

    Args:
        name: what the run is called in the list of runs.
        experiment: MLflow experiment, created when missing.
        resume_key: digest of what the run does; a run that a dead process left unfinished under it goes on.
        tags: further tags.
        run_id: an earlier run that goes on, whoever began it.
    """
    client = MlflowClient()
    note = _unfinished_note(resume_key) if resume_key else None
    run = _take_up(client, client.get_run(run_id)) if run_id else _reopen(client, note) if note else None
    if run is None:
        run = _create(client, name, experiment, tags or {})
    if note:
        _write_note(note, run)
    if (opened := _opened_inside.get()) is not None:
        opened.append(run.run_id)
    token = _enclosing_run.set(run.run_id)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except EndedEarly:
        status = "FINISHED"
        raise
    except BaseException as error:
        # Ctrl-C, what a termination signal raises, and a cancellation on Prefect's page
        if not isinstance(error, Exception) or isinstance(error, FlowRunCancelledError):
            status = "KILLED"
            release_frames(error)
        raise
    finally:
        _enclosing_run.reset(token)
        client.set_terminated(run.run_id, status)
        # A run that was stopped on purpose or failed is over; only a dead process leaves its note behind.
        if note:
            note.unlink(missing_ok=True)


@contextmanager
def inside_run(run_id: str, tags: Mapping[str, str] | None = None) -> Iterator[list[str]]:
    """Runs opened in the block are children of a run that another process may have opened, and carry these tags.

    Yields:
        The ids of the runs opened so far, in order.
    """
    opened: list[str] = []
    run_token, tags_token = _enclosing_run.set(run_id), _tags_inside.set(tags or {})
    opened_token = _opened_inside.set(opened)
    try:
        yield opened
    finally:
        _enclosing_run.reset(run_token)
        _tags_inside.reset(tags_token)
        _opened_inside.reset(opened_token)


def _create(client: MlflowClient, name: str, experiment: str, tags: Mapping[str, str]) -> TrackedRun:
    experiment_id = _experiment_id(client, experiment)
    parent = _enclosing_run.get()
    all_tags = {**_tags_inside.get(), **tags, **mlflow_run_tag()}
    if parent:
        all_tags[MLFLOW_PARENT_RUN_ID] = parent
    if commit := code_commit():
        all_tags["mlflow.source.git.commit"] = commit
    if flow_run_id := flow_run.get_id():
        note_flow_run(flow_run_id)
        all_tags["prefect.flow_run_id"] = flow_run_id
    run = client.create_run(experiment_id, run_name=name, tags=all_tags)
    return TrackedRun(run.info.run_id, experiment_id, resumed=False)


def _experiment_id(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException:  # another process made it in between
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _unfinished_note(resume_key: str) -> Path:
    return settings().home / "unfinished" / f"{resume_key}.json"


def _write_note(note: Path, run: TrackedRun) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    me = psutil.Process()
    content = {"run_id": run.run_id, "pid": me.pid, "create_time": me.create_time()}
    draft = note.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(content))
    draft.replace(note)


def _reopen(client: MlflowClient, note: Path) -> TrackedRun | None:
    """The run a dead process left under this note, set running again; None if there is none to go on with."""
    try:
        left = json.loads(note.read_text())
        run = client.get_run(left["run_id"])
    except (OSError, ValueError, KeyError, MlflowException):
        return None
    owner = ProcessIdentity(pid=left["pid"], create_time=left["create_time"])
    if owner.alive() or run.info.lifecycle_stage != "active":
        return None
    return _take_up(client, run)


def _take_up(client: MlflowClient, run: Run) -> TrackedRun:
    # Before it runs again: whoever cleans up after its first owner must not close it under us.
    set_tags(run.info.run_id, mlflow_run_tag())
    client.update_run(run.info.run_id, status="RUNNING")
    if flow_run_id := flow_run.get_id():
        note_flow_run(flow_run_id)
        client.set_tag(run.info.run_id, "prefect.flow_run_id", flow_run_id)
    return TrackedRun(run.info.run_id, run.info.experiment_id, resumed=True)


def log_params(run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters, nested ones under dotted names; one already logged with the same value stays."""
    flat = {allowed_name(name): str(value)[:LONGEST_PARAM] for name, value in _flattened(params) if value is not None}
    MlflowClient().log_batch(run_id, params=[Param(name, value) for name, value in flat.items()])


def _flattened(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def log_metrics(run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log metrics of one step in one write."""
    now = int(time.time() * 1000)
    logged = [Metric(allowed_name(name), value, now, step) for name, value in metrics.items()]
    MlflowClient().log_batch(run_id, metrics=logged)


def allowed_name(name: str) -> str:
    """A name as MLflow takes it: letters, digits, and a few signs.

    >>> allowed_name("exact_match.pass@3"), allowed_name("exact_match.pass^3"), allowed_name("größe")
    ('exact_match.pass_at_3', 'exact_match.pass_all_3', 'gr__e')
    """
    spelled = name.replace("@", "_at_").replace("^", "_all_")
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", spelled)


def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags in one write."""
    MlflowClient().log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def log_dataset(run_id: str, version: DatasetVersion, context: str) -> None:
    """Log the dataset version a run used as its MLflow input and as tags.

    Args:
        run_id: the run.
        version: what was used.
        context: what for: ``preparation``, ``training`` or ``evaluation``.
    """
    table = settings().home / "datasets" / version.name / "samples"
    # MLflow takes at most 36 characters of digest; the whole one is in the tags.
    dataset = MetaDataset(DeltaDatasetSource(path=str(table)), name=version.uri, digest=version.digest[:32])
    entity = DatasetInput(dataset._to_mlflow_entity(), [InputTag(MLFLOW_DATASET_CONTEXT, context)])
    MlflowClient().log_inputs(run_id, [entity])
    set_tags(run_id, {"dataset": version.uri, "dataset.digest": version.digest})


@cache
def code_commit() -> str | None:
    """The commit of the code that runs, or None outside of a git checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
