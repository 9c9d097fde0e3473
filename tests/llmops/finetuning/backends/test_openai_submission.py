"""A job is started once: crashes, lost answers and deleted files in between, at an emulator and a server of ours."""

from collections.abc import Callable
from typing import Any

import pytest

from llmops.finetuning.backends import (
    BackendError,
    JobSettings,
    TuningRequest,
    connect_backend,
)
from tests.emulators.aimock import Emulator
from tests.emulators.openai_fine_tuning_server import Fault, FineTuningServer

TOKEN = "llmops-0123456789abcdef-1"
Request = Callable[..., TuningRequest]
Submit = Callable[..., str]


class Crash(BaseException):
    """A kill between two lines."""


class Notes(dict[str, str]):
    """What a ledger keeps; it may crash before or after it has written a fact."""

    def __init__(self, crash_at: str = "", stored: bool = False) -> None:
        super().__init__()
        self._crash_at = crash_at
        self._stored = stored

    def __call__(self, key: str, value: str) -> None:
        if key != self._crash_at or self._stored:
            self[key] = value
        if key == self._crash_at:
            self._crash_at = ""
            raise Crash


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("crash_at", ["training_file", "validation_file", "job"])
@pytest.mark.parametrize("backend", ["openai", "azure"])
def test_a_crash_never_leads_to_two_jobs(
    backend: str,
    crash_at: str,
    stored: bool,
    emulator: Emulator,
    settings: JobSettings,
    tuning_request: Request,
    submit: Submit,
) -> None:
    request = tuning_request()
    notes = Notes(crash_at, stored)
    with pytest.raises(Crash):
        connect_backend(backend, settings).submit(request, notes, notes)
    job_id = connect_backend(backend, settings).submit(request, notes, notes)

    posts = [one["path"].partition("?")[0].removeprefix("/openai") for one in emulator.received()
             if one["method"] == "POST"]  # fmt: skip
    assert sorted(posts) == ["/v1/files", "/v1/files", "/v1/fine_tuning/jobs"]
    assert notes["job"] == job_id
    assert submit(connect_backend(backend, settings), request) == job_id


def test_another_token_is_another_job(
    emulator: Emulator, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    backend = connect_backend("openai", settings)
    first = tuning_request()
    second = TuningRequest(first.base_model, first.name, "llmops-0123456789abcdef-2", first.training, first.files)
    assert submit(backend, first) != submit(backend, second)


def test_nothing_set_leaves_the_providers_defaults(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    job_id = submit(connect_backend("openai", settings), tuning_request(validation=False))
    created = next(body for body in server.bodies if isinstance(body, dict) and "model" in body)
    assert created == {
        "model": "some-base-model",
        "training_file": server.jobs[job_id]["training_file"],
        "suffix": "support-answers",
        "metadata": {"llmops_job": TOKEN},
    }


def test_waits_until_files_are_processed(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    server.file_states = ["uploaded", "pending", "running", "processed"]
    submit(connect_backend("openai", settings), tuning_request())
    assert [file["status"] for file in server.files.values()] == ["processed", "processed"]
    assert [file["filename"] for file in server.files.values()] == [f"{TOKEN}.train.jsonl", f"{TOKEN}.validation.jsonl"]


def test_a_file_that_is_never_processed(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    server.file_states = ["pending"]
    with pytest.raises(BackendError, match="has not processed llmops-0123456789abcdef-1") as raised:
        submit(connect_backend("openai", settings), tuning_request())
    assert raised.value.transient
    assert server.jobs == {}


def test_a_rejected_file(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    server.file_states, server.file_error = ["uploaded", "error"], "line 2 has no\nassistant message"
    backend = connect_backend("openai", settings)
    with pytest.raises(BackendError, match=r"rejected .*train\.jsonl: line 2 has no assistant message$") as raised:
        submit(backend, tuning_request())
    assert raised.value.kind == "refused"
    assert server.jobs == {}
    # Rejected once does not mean for ever: the next attempt uploads it anew.
    server.file_states = ["processed"]
    assert submit(backend, tuning_request(), {"training_file": "file-0"}) in server.jobs


@pytest.mark.parametrize("lost", ["deleted", "state"])
def test_a_noted_file_that_is_gone_is_uploaded_anew(
    lost: str, server: FineTuningServer, settings: JobSettings, tuning_request: Request
) -> None:
    notes = Notes("validation_file")
    with pytest.raises(Crash):
        connect_backend("openai", settings).submit(tuning_request(), notes, notes)
    gone = notes["training_file"]
    if lost == "deleted":
        del server.files[gone]
    else:
        server.files[gone]["status"] = "deleted"
    job_id = connect_backend("openai", settings).submit(tuning_request(), notes, notes)
    assert server.jobs[job_id]["training_file"] == notes["training_file"] != gone


def test_a_job_whose_files_were_deleted_is_found(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    job_id = submit(connect_backend("openai", settings), tuning_request())
    server.files.clear()
    assert submit(connect_backend("openai", settings), tuning_request()) == job_id
    assert server.count("POST", "/files") == 2


def test_files_and_jobs_are_looked_for_on_every_page(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    job_id = submit(connect_backend("openai", settings), tuning_request())
    server.jobs[job_id]["metadata"] = None  # found by its training file alone
    first = server.files["file-0"]
    server.files |= {f"file-x{number}": {**first, "id": f"file-x{number}", "filename": "other"} for number in range(9)}
    server.jobs |= {f"ftjob-x{number}": {**server.jobs[job_id], "id": f"ftjob-x{number}", "training_file": "other"}
                    for number in range(9)}  # fmt: skip
    server.largest_page = 4
    backend = connect_backend("azure", settings)
    assert submit(backend, tuning_request()) == job_id
    assert server.count("POST", "/jobs") == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 0, "done": True},
        {"status": 500, "body": {"error": {"message": "oops"}}, "done": True},
        {"status": 429, "body": {"error": {"message": "slow down"}}, "headers": {"Retry-After": "0.02"}},
        {"status": 503, "headers": {"Retry-After": "0.02"}},
    ],
)
@pytest.mark.parametrize("backend", ["openai", "azure"])
def test_an_answer_lost_while_creating(
    backend: str,
    fault: dict[str, Any],
    server: FineTuningServer,
    settings: JobSettings,
    tuning_request: Request,
    submit: Submit,
) -> None:
    server.faults.append(Fault("POST", "/fine_tuning/jobs", **fault))
    job_id = submit(connect_backend(backend, settings), tuning_request())
    assert list(server.jobs) == [job_id]
    assert server.count("POST", "/fine_tuning/jobs") == (1 if fault.get("done") else 2)


def test_a_refused_job_is_asked_for_once(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    answer = {"error": {"message": "some-base-model is not available for fine-tuning", "code": "model_not_available"}}
    server.faults.append(Fault("POST", "/fine_tuning/jobs", 400, answer, times=9))
    with pytest.raises(BackendError, match=r"refuses creating the job .*is not available for fine-tuning") as raised:
        submit(connect_backend("openai", settings), tuning_request())
    assert raised.value.kind == "refused"
    assert server.count("POST", "/fine_tuning/jobs") == 1


def test_a_job_that_is_not_created_in_an_outage(
    server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    server.faults.append(Fault("POST", "/fine_tuning/jobs", 503, times=99))
    with pytest.raises(BackendError) as raised:
        submit(connect_backend("openai", settings), tuning_request())
    assert raised.value.transient
    server.faults.clear()
    job_id = submit(connect_backend("openai", settings), tuning_request())
    assert (list(server.jobs), len(server.files)) == ([job_id], 2)


@pytest.mark.parametrize("done", [False, True])
def test_an_upload_that_is_repeated_is_whole(
    done: bool, server: FineTuningServer, settings: JobSettings, tuning_request: Request, submit: Submit
) -> None:
    server.faults.append(Fault("POST", "/files", 503, headers={"retry-after-ms": "1"}, done=done))
    request = tuning_request(validation=False)
    job_id = submit(connect_backend("openai", settings), request)
    assert server.count("POST", "/files") == 2
    assert server.contents[server.jobs[job_id]["training_file"]] == request.files.training.read_bytes()
