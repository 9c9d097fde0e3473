"""A crash, or an answer that is lost, at any step of a submission to Bedrock: one job, each file uploaded once."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from llmops.finetuning.backends import BackendError
from tests.emulators.bedrock_control_plane import ControlPlane
from tests.llmops.finetuning.backends.aws_services import (
    FOLDER,
    TOKEN,
    backend,
    moto_url,
    nowhere,
    plane,
    plane_and_url,
    read_once,
    request,
    s3,
    uploads,
)

__all__ = ["moto_url", "plane", "plane_and_url", "read_once", "s3"]
pytestmark = pytest.mark.service


class CrashError(Exception):
    """The machine is gone."""


@pytest.mark.parametrize("step", ["training_file", "validation_file", "job_arn"])
def test_a_crash_before_a_step_is_noted_leads_to_one_job(
    step: str, plane: ControlPlane, s3: Any, tmp_path: Path
) -> None:
    noted: dict[str, str] = {}

    def note(key: str, value: str) -> None:
        if key == step:
            raise CrashError
        noted[key] = value

    with pytest.raises(CrashError):
        backend().submit(request(tmp_path), noted, note)
    assert backend().submit(request(tmp_path), noted, noted.__setitem__) == TOKEN
    assert (len(plane.jobs), plane.seen["CreateModelCustomizationJob"]) == (1, 1)
    assert set(uploads(s3).values()) == {1}
    assert noted["job_arn"] == plane.jobs[TOKEN]["jobArn"]
    # With all noted the provider need not be asked.
    before = plane.seen.copy()
    assert backend().submit(request(tmp_path), noted, nowhere) == TOKEN
    assert plane.seen == before


def test_an_answer_that_is_lost_leads_to_one_job(plane: ControlPlane, tmp_path: Path) -> None:
    plane.fail("CreateModelCustomizationJob", 500, "InternalServerException", after=True)
    noted: dict[str, str] = {}
    assert backend().submit(request(tmp_path), {}, noted.__setitem__) == TOKEN
    assert noted["job_arn"] == plane.jobs[TOKEN]["jobArn"]


def test_a_lost_answer_and_no_further_one(plane: ControlPlane, tmp_path: Path) -> None:
    plane.fail("CreateModelCustomizationJob", 500, "InternalServerException", after=True)

    # The look after the failure finds the service down as well; the same command later finds the job.
    plane.fail("GetModelCustomizationJob", 404, "ResourceNotFoundException")
    plane.fail("GetModelCustomizationJob", 503, "ServiceUnavailableException")
    with pytest.raises(BackendError) as failed:
        backend().submit(request(tmp_path), {}, nowhere)
    assert failed.value.kind == "unreachable"
    assert backend().submit(request(tmp_path), {}, nowhere) == TOKEN
    assert len(plane.jobs) == 1


def test_a_name_taken_by_an_earlier_request_is_that_job(plane: ControlPlane, tmp_path: Path) -> None:
    backend().submit(request(tmp_path), {}, nowhere)
    plane.tokens.clear()  # Bedrock does not remember client tokens for ever
    plane.fail("GetModelCustomizationJob", 404, "ResourceNotFoundException")
    assert backend().submit(request(tmp_path), {}, nowhere) == TOKEN
    assert (len(plane.jobs), plane.seen["CreateModelCustomizationJob"]) == (1, 2)


def test_a_file_that_changed_is_uploaded_anew(plane: ControlPlane, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key=f"{FOLDER}/training.jsonl", Body=b"x" * 25)
    backend().submit(request(tmp_path), {}, nowhere)
    assert uploads(s3)[f"{FOLDER}/training.jsonl"] == 2
    there = s3.head_object(Bucket="bucket", Key=f"{FOLDER}/training.jsonl", ChecksumMode="ENABLED")
    digest = hashlib.sha256((tmp_path / "training.jsonl").read_bytes())
    assert there["Metadata"]["sha256"] == digest.hexdigest()
    assert there["ChecksumSHA256"] == base64.b64encode(digest.digest()).decode()
