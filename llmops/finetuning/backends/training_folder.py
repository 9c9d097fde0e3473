"""What the folder of a training on this machine holds beside what `llmops.finetuning.train` keeps there.

======================  ==============================================================================
``request.json``        what was asked for
``cancelled``           somebody has asked it to stop
``failure.txt``         why it cannot be trained like that, in a line
``fine-tuned-…/``       full weights with tokenizer: what is evaluated, registered and served
======================  ==============================================================================
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from llmops.errors import InputError
from llmops.finetuning import checkpoints
from llmops.finetuning.backends.backend import JobState, JobStatus, MetricPoint, TuningRequest
from llmops.finetuning.progress import result_in_words
from llmops.finetuning.training import TrainingResult

_REQUEST = TypeAdapter(TuningRequest)
GOES_ON = "run the same command again to go on from its newest checkpoint"
INTERRUPTED = f"it was interrupted: {GOES_ON}"


def keep_request(job: Path, request: TuningRequest) -> None:
    """Write down what was asked for; the same again leaves the file, whose time is that of the job's creation."""
    asked = _REQUEST.dump_json(request, exclude_unset=True, indent=1).decode()
    if not (job / "request.json").is_file() or (job / "request.json").read_text() != asked:
        write(job / "request.json", asked)


def request_of(job: Path) -> TuningRequest:
    """What was asked for.

    Raises:
        InputError: there is no such training.
    """
    try:
        return _REQUEST.validate_json((job / "request.json").read_text())
    except OSError as error:
        raise InputError(f"there is no training {job.name} in {job.parent}; start it again") from error


def status_of(job: Path) -> JobStatus:
    """The job as its folder tells it, whichever process trains."""
    if not (job / "request.json").is_file():
        return JobStatus(state="unknown", reason=f"there is no training in {job}")
    created = _time_of(job / "request.json")
    if (job / "result.json").is_file() and (job / "model").is_dir():
        return _succeeded(result_of(job), created, _time_of(job / "result.json"))
    history, progress = _history(job)
    state, reason = _unfinished(job, begun=bool(history))
    return JobStatus(state=state, reason=reason, progress=progress, metrics=_points(history), created_at=created)


def remove_training(job: Path) -> None:
    """Remove the folder of a training, if it is there.

    Raises:
        InputError: somebody trains in it, or writes its full weights.
    """
    if not job.is_dir():
        return
    try:
        with FileLock(job / "training.lock", timeout=0):
            shutil.rmtree(job, ignore_errors=True)
    except Timeout as error:
        raise InputError(f"{job} is in use by another process: wait for it to end, or cancel its job") from error


def _succeeded(result: TrainingResult, created: datetime, finished: datetime) -> JobStatus:
    return JobStatus(
        state="succeeded",
        progress=1.0,
        detail=result_in_words(result),
        metrics=_points(result.log),
        # Counted since the last (re)start: after an interruption the whole is not known.
        trained_tokens=result.tokens if result.resumed_from is None else None,
        created_at=created,
        finished_at=finished,
        model=str(result.model_path),
    )


def _unfinished(job: Path, *, begun: bool) -> tuple[JobState, str | None]:
    """The state of a training without a result, and why."""
    if (job / "training.lock").exists():
        try:
            with FileLock(job / "training.lock", timeout=0):
                pass
        except Timeout:
            return "running", None
    if (job / "failure.txt").is_file():
        return "failed", (job / "failure.txt").read_text()
    if (job / "cancelled").exists():
        return "cancelled", "it was asked to stop; the same command takes it up again"
    return ("unknown", INTERRUPTED) if begun or (job / "training.digest").exists() else ("queued", None)


def _history(job: Path) -> tuple[list[dict[str, float]], float | None]:
    """The log up to the newest complete checkpoint, and the share of the training that is done there."""
    saved = [path for path in (job / "checkpoints").glob(f"{checkpoints.PREFIX}*") if checkpoints.is_complete(path)]
    if not saved:
        return [], None
    try:
        state = checkpoints.state_of(max(saved, key=checkpoints.step_of))
    except OSError:  # the process that trains has just replaced it by a newer one
        return [], None
    return state["log_history"], state["global_step"] / state["max_steps"]


def _points(log: Sequence[Mapping[str, float]]) -> tuple[MetricPoint, ...]:
    return tuple(
        MetricPoint(
            step=int(entry["step"]),
            metrics={name: value for name, value in entry.items() if name not in ("step", "epoch")},
        )
        for entry in log
    )


def result_of(job: Path) -> TrainingResult:
    """What came out of a finished training.

    Raises:
        InputError: it has not ended.
    """
    try:
        stored = json.loads((job / "result.json").read_text())
    except OSError as error:
        raise InputError(f"the training in {job} has no result; run the same command again to go on") from error
    return TrainingResult.model_validate({**stored, "folder": job})


def _time_of(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)
