"""The ledger: every fine-tuning job, one JSON file each, so that no job is lost and none is paid for twice.

A record is on the disk before anything is uploaded, and again before anything is waited for. It is written to a draft,
flushed to the disk and put in place by a rename: a process may be killed at any line, and what is read is a record as
a whole, of before or after. Whoever begins or changes a job holds the lock of its key, which the system frees when a
process dies; readers need none.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from llmops.errors import InputError, ServiceError
from llmops.finetuning.backends.backend import Estimate, JobStatus
from llmops.finetuning.backends.settings import JobSettings
from llmops.finetuning.jobs.owner import JobOwner
from llmops.finetuning.jobs.record import JobRecord, observed
from llmops.settings import settings

LOCK_SECONDS = 60.0
_NAMED = re.compile(r"llmops-[0-9a-f]{16}-[0-9]+")


def job_ledger() -> "JobLedger":
    """The ledger of this home."""
    return JobLedger(settings().home / "jobs")


class JobLedger:
    """The jobs below one folder (``<home>/jobs``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(
        self,
        key: str,
        *,
        backend: str,
        endpoint: str,
        base_model: str,
        name: str,
        dataset: str,
        dataset_digest: str,
        hyperparameters: Mapping[str, Any],
        estimate: Estimate | None = None,
        settings: JobSettings = JobSettings(),
        token: str | None = None,
        flow_run_id: str | None = None,
    ) -> JobRecord:
        """The attempt to go on with: the latest of this key, or a new one after one that is `over`.

        Of any number of processes that begin the same key at once all get the same attempt. It is this process's
        (`JobRecord.owner`) unless another one of this machine that works on it is alive.

        Args:
            key: of `job_key`.
            backend, endpoint, base_model, name, dataset, dataset_digest, hyperparameters: what it is; see `JobRecord`.
            estimate: as it was shown and approved.
            settings: as they are wanted now; of an attempt that goes on they replace those of before.
            token: for a training on this machine the name of its folder; one that is kept under another token is
                another job. By default the record's id.
            flow_run_id: the flow run that works on it now.
        """
        with self._locked(key):
            attempts = self._attempts(key)
            latest = next((record for record in reversed(attempts) if record.key == key), None)
            me = JobOwner.this_process()
            if latest is None or latest.over or (token or latest.id) != latest.token:
                attempt = attempts[-1].attempt + 1 if attempts else 1
                id = f"llmops-{key[:16]}-{attempt}"
                latest = JobRecord(
                    id=id,
                    token=token or id,
                    key=key,
                    attempt=attempt,
                    backend=backend,
                    endpoint=endpoint,
                    base_model=base_model,
                    name=name,
                    dataset=dataset,
                    dataset_digest=dataset_digest,
                    hyperparameters=dict(hyperparameters),
                    estimate=estimate or Estimate(),
                    settings=settings,
                    created_at=datetime.now(UTC),
                    owner=me,
                )
            changes: dict[str, Any] = {"settings": settings}
            if not latest.ended and (latest.owner is None or not latest.owner.alive()):
                changes["owner"] = me
            if flow_run_id is not None and flow_run_id not in latest.flow_run_ids:
                changes["flow_run_ids"] = [*latest.flow_run_ids, flow_run_id]
            return self._write(latest, changes)

    def update(self, id: str, **changes: Any) -> JobRecord:
        """Change fields of a record, and return it as it is then.

        A `job_id` that is set for the first time sets `submitted_at` as well.

        Raises:
            InputError: there is no such record; pydantic's error where a field or its value is wrong.
        """
        with self._changing(id) as record:
            return self._write(record, changes)

    def note(self, id: str, key: str, value: str) -> JobRecord:
        """Add one fact to `noted`: what `FineTuningBackend.submit` does after each of its steps."""
        with self._changing(id) as record:
            return self._write(record, {"noted": {**record.noted, key: value}})

    def observe(self, id: str, status: JobStatus) -> JobRecord:
        """Take in what the provider tells of a job; see `observed`. Nothing is written where nothing has changed.

        A write waits for the disk: who is told of every step of a training calls this once a second, and in the end.
        """
        with self._changing(id) as record:
            return self._write(record, observed(record, status))

    def get(self, reference: str) -> JobRecord:
        """The job of an id, of a provider's id, or of the beginning of either; ``llmops-`` may be left out.

        Of several attempts with the same provider's id or token (a training on this machine) it is the latest.

        Raises:
            InputError: there is none, or the beginning fits several.
        """
        records = self.all()
        named = [one for one in records if reference in (one.id, one.job_id, one.token)]
        if named:
            return named[0]
        begun = [
            one
            for one in records
            if reference and any(name.startswith(reference) for name in (one.id, one.id[7:], one.job_id or ""))
        ]
        if not begun:
            raise InputError(f"there is no job {reference!r} in {self.folder}; llmops list jobs shows all")
        if len(begun) > 1:
            some = ", ".join(one.id for one in begun[:5])
            raise InputError(f"{reference!r} may be any of {len(begun)} jobs ({some}, …): give more of its id")
        return begun[0]

    def was_submitted(self, key: str) -> bool:
        """Whether the provider has taken an attempt of this key."""
        return any(record.job_id is not None for record in self.all() if record.key == key)

    def all(self) -> list[JobRecord]:
        """Every job, the newest first.

        Raises:
            InputError: a file among them is no record; says which.
        """
        records = [_read(file) for file in self.folder.glob("llmops-*.json")]
        return sorted(records, key=lambda record: (record.created_at, record.attempt), reverse=True)

    def of_flow_run(self, flow_run_id: str) -> list[JobRecord]:
        """The jobs that a flow run has worked on, the newest first."""
        return [record for record in self.all() if flow_run_id in record.flow_run_ids]

    def _attempts(self, key: str) -> list[JobRecord]:
        """Of all keys that begin as this one does, the latest last; the lock is held."""
        files = list(self.folder.glob(f"llmops-{key[:16]}-*.json"))
        return sorted((_read(file) for file in files), key=lambda record: record.attempt)

    @contextmanager
    def _changing(self, id: str) -> Iterator[JobRecord]:
        if not _NAMED.fullmatch(id):
            raise InputError(f"{id!r} is no id of a job; llmops list jobs shows all")
        with self._locked(id.split("-")[1]):
            file = self._file(id)
            if not file.is_file():
                raise InputError(f"there is no job {id!r} in {self.folder}; llmops list jobs shows all")
            yield _read(file)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        locks = self.folder / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            with FileLock(locks / f"{key[:16]}.lock", timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise ServiceError(f"the job record {key[:16]} in {self.folder} stays locked by another process") from error
        except PermissionError as error:
            raise InputError(f"the job records in {self.folder} cannot be written ({error.strerror})") from error

    def _write(self, record: JobRecord, changes: Mapping[str, Any]) -> JobRecord:
        changes = dict(changes)
        if changes.get("job_id") and record.job_id is None:
            changes.setdefault("submitted_at", datetime.now(UTC))
        changed = JobRecord.model_validate({**dict(record), **changes})
        file = self._file(record.id)
        if changed != record or not file.is_file():
            _put(file, changed.model_dump_json(indent=2) + "\n")
        return changed

    def _file(self, id: str) -> Path:
        return self.folder / f"{id}.json"


def _put(file: Path, text: str) -> None:
    # One name for the drafts of a record: the lock is held, so what is left of a killed process is written over.
    draft = file.with_name(f".{file.name}.draft")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(file: Path) -> JobRecord:
    try:
        record = JobRecord.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        why = f"{error.strerror}" if isinstance(error, OSError) else _first(error)
        raise InputError(f"{file} is no job record of this release ({why}); restore it or move it away") from error
    if record.id != file.stem:
        raise InputError(f"{file} is the record of another job, {record.id}; give it its name back or move it away")
    return record


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
