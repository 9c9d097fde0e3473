"""What AWS refuses, and how it fails to answer, as one line of one kind."""

from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import BackendError
from tests.emulators.bedrock_control_plane import ControlPlane
from tests.llmops.finetuning.backends.aws_services import (
    NOVA,
    QUICK,
    TOKEN,
    backend,
    moto_url,
    new_backend,
    nowhere,
    plane,
    plane_and_url,
    read_once,
    request,
    s3,
)

__all__ = ["moto_url", "plane", "plane_and_url", "read_once", "s3"]
pytestmark = pytest.mark.service


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "advice"),
    [
        (403, "ExpiredTokenException", "The security token included in the request is expired", "credentials", "renew"),
        (403, "UnrecognizedClientException", "The security token is invalid.", "credentials", "renew"),
        (403, "AccessDeniedException", "User: x is not\nauthorized to perform: y", "credentials", "allow it"),
        (429, "ThrottlingException", "Too many requests", "rate limit", "in a while"),
        (400, "ThrottlingException", "Rate exceeded", "rate limit", "in a while"),
        (400, "ServiceQuotaExceededException", "too many jobs", "refused", "change"),
        (400, "ValidationException", "Could not assume provided IAM role", "refused", "change"),
        (500, "InternalServerException", "oops", "unreachable", "in a while"),
    ],
)
def test_what_an_answer_means(
    status: int, code: str, message: str, kind: str, advice: str, plane: ControlPlane, tmp_path: Path
) -> None:
    plane.fail("CreateModelCustomizationJob", status, code, message)
    with pytest.raises(BackendError) as failed:
        backend().submit(request(tmp_path), {}, nowhere)
    said = str(failed.value)
    assert (failed.value.kind, "\n" in said) == (kind, False)
    assert f"starting the job {TOKEN} failed at Bedrock in us-east-1: {code}: " in said
    assert advice in said
    # Nothing is in the way of the next attempt.
    assert backend().submit(request(tmp_path), {}, nowhere) == TOKEN
    assert len(plane.jobs) == 1


def test_a_request_that_was_throttled_is_repeated(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    plane.fail("CreateModelCustomizationJob", 429, "ThrottlingException")
    assert backend().submit(request(tmp_path), {}, nowhere) == TOKEN
    assert (plane.seen["CreateModelCustomizationJob"], len(plane.jobs)) == (2, 1)


def test_what_s3_refuses(plane: ControlPlane, tmp_path: Path) -> None:
    with pytest.raises(
        BackendError, match=r"uploading training.jsonl to s3://other/x/.* S3 in us-east-1: NoSuchBucket"
    ) as no:
        backend(s3_uri="s3://other/x").submit(request(tmp_path), {}, nowhere)
    assert no.value.kind == "missing"
    assert plane.jobs == {}


def test_nobody_answers(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", "http://127.0.0.1:9")
    with pytest.raises(BackendError) as failed:
        backend().status(TOKEN)
    assert failed.value.kind == "unreachable" and "AWS_ENDPOINT_URL" in str(failed.value)


def test_credentials_that_expire_while_a_job_runs_end_the_wait_at_once(plane: ControlPlane, tmp_path: Path) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    plane.fail("GetModelCustomizationJob", 503, "ServiceUnavailableException")
    plane.fail("GetModelCustomizationJob", 403, "ExpiredTokenException")
    with pytest.raises(BackendError, match="ExpiredTokenException") as failed:
        bedrock.follow(TOKEN, lambda status: None, QUICK)
    assert failed.value.kind == "credentials"
    assert plane.jobs[TOKEN]["status"] == "InProgress"


def test_without_a_region_or_credentials(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    bedrock = new_backend()
    with pytest.raises(InputError, match="bedrock: no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID"):
        bedrock.check(NOVA, TrainingConfig())
    with pytest.raises(BackendError, match="Unable to locate credentials") as failed:
        bedrock.status(TOKEN)
    assert failed.value.kind == "credentials"
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(InputError, match="backend bedrock: no AWS region is set: set AWS_REGION"):
        new_backend()
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match="nobody"):
        new_backend()
