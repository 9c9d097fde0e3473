"""What a fine-tuning job tells, put where people look: ledger, MLflow run, Prefect artifacts and the stage's line."""

import json
import time
from dataclasses import dataclass, field

from mlflow import MlflowClient
from prefect.artifacts import create_table_artifact

from llmops.finetuning.backends import ENDED, JobStatus
from llmops.finetuning.backends.backend import JobCheckpoint
from llmops.finetuning.jobs import JobLedger, JobRecord
from tasks.progress import Stage, artifact_key
from tasks.tracking import set_tags
from tasks.training import Curves

EVENTS_FILE = "events.jsonl"
CHECKPOINTS_FILE = "checkpoint_table.json"
LEDGER_EVERY_SECONDS = 2.0


@dataclass
class JobFollower:
    """Takes in each status of a job; what it has taken in before it does not write again."""

    run_id: str
    record: JobRecord
    ledger: JobLedger
    line: Stage
    curves: Curves = field(init=False)
    _points: int = 0
    _events: int = 0
    _checkpoints: int = 0
    _state: tuple[str, str] | None = None
    _last_observed: float = 0.0

    def __post_init__(self) -> None:
        self.curves = Curves(self.run_id)

    def tell(self, status: JobStatus) -> None:
        """Take in a status while the job goes on."""
        for point in status.metrics[self._points :]:
            self.curves.add(point.step, point.metrics)
        self._points = len(status.metrics)
        state = (status.state, status.provider_state)
        if state != self._state or time.monotonic() - self._last_observed > LEDGER_EVERY_SECONDS:
            # A training on this machine tells each step: the ledger need not be flushed to the disk as often.
            self._observe(status)
        if state != self._state:
            self._state = state
            tags = {"job.state": status.state, "job.provider_state": status.provider_state}
            set_tags(self.run_id, {name: value for name, value in tags.items() if value})
        self._log_events(status)
        self._log_checkpoints(status)
        said = status.detail or (status.provider_state or status.state).replace("_", " ")
        if status.total_steps and status.metrics:
            self.line.update(status.metrics[-1].step, status.total_steps, said, unit="steps")
        else:
            known = status.progress is not None
            self.line.update(100 * (status.progress or 0), 100 if known else None, said, unit="%")

    def finish(self, status: JobStatus) -> JobRecord:
        """Take in the last status: all that it tells is written when this returns."""
        self._points = 0  # what an interruption kept from being written is in the whole of it
        self._last_observed = 0.0
        self.tell(status)
        self.curves.write()
        return self.record

    def _observe(self, status: JobStatus) -> None:
        self._last_observed = time.monotonic()
        self.record = self.ledger.observe(self.record.id, status)

    def _log_events(self, status: JobStatus) -> None:
        if len(status.events) <= self._events:
            return
        self._events = len(status.events)
        text = "".join(event.model_dump_json() + "\n" for event in status.events)
        MlflowClient().log_text(self.run_id, text, EVENTS_FILE)
        set_tags(self.run_id, {"job.last_event": status.events[-1].message[:1000]})

    def _log_checkpoints(self, status: JobStatus) -> None:
        if len(status.checkpoints) <= self._checkpoints:
            return
        self._checkpoints = len(status.checkpoints)
        rows = [_row(one) for one in status.checkpoints]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = {"columns": columns, "data": [[row.get(name) for name in columns] for row in rows]}
        MlflowClient().log_dict(self.run_id, table, CHECKPOINTS_FILE)
        # What MLflow's page shows as a table; its `log_table` would append to the rows of before.
        set_tags(self.run_id, {"mlflow.loggedArtifacts": json.dumps([{"path": CHECKPOINTS_FILE, "type": "table"}])})
        key = f"checkpoints-{artifact_key(self.record.name).removeprefix('progress-')}"
        create_table_artifact(rows, key=key, description=f"Checkpoints of job {self.record.id}")


def _row(checkpoint: JobCheckpoint) -> dict[str, float | int | str]:
    return {"step": checkpoint.step, "model": checkpoint.model, **checkpoint.metrics}


def said_of_record(record: JobRecord) -> str:
    """How a job ended, in a line: ``120 steps, loss 0.412, validation loss 0.530``."""
    parts = [f"{record.metrics['step']:,.0f} steps"] if "step" in record.metrics else []
    parts += [
        f"{name.replace('_', ' ')} {record.metrics[name]:.3f}"
        for name in ("loss", "validation_loss")
        if name in record.metrics
    ]
    if record.cost:
        parts.append(f"${record.cost:,.2f}")
    return ", ".join(parts) or (record.state if record.state in ENDED else record.provider_state or record.state)
