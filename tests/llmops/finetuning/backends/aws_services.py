"""AWS over HTTP for tests: moto's S3 and customization jobs, and a control plane of Bedrock that has the rest too."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import JobSettings, TrainingFiles, TuningRequest, Waiting, connect_backend
from llmops.finetuning.backends.bedrock_jobs import BedrockBackend
from llmops.finetuning.backends.settings import BedrockSettings
from tests.emulators.bedrock_control_plane import ControlPlane, serving

NOVA = "amazon.nova-micro-v1:0:128k"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0:200k"
ROLE = "arn:aws:iam::123456789012:role/tuning"
TOKEN = "llmops-0123456789abcdef-1"
FOLDER = f"some/prefix/{TOKEN}"
QUICK = Waiting(first_poll_s=0.001, longest_poll_s=0.002)


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """A server of moto."""
    pytest.importorskip("flask_cors", reason="moto's server is not installed: pip install 'moto[server]'")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def plane_and_url() -> Iterator[tuple[ControlPlane, str]]:
    plane = ControlPlane()
    with serving(plane) as url:
        yield plane, url


@pytest.fixture(scope="module")
def read_once() -> Iterator[None]:
    """Botocore reads megabytes of JSON for each new client; here it reads each file once."""
    from botocore.loaders import JSONFileLoader

    load = functools.cache(functools.partial(JSONFileLoader._load_file, JSONFileLoader()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JSONFileLoader, "_load_file", lambda self, path, opened: load(path, opened))
        yield


@pytest.fixture
def s3(read_once: None, moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The SDK's client of an S3 with one bucket, which keeps every version of an object; all of AWS is moto."""
    httpx.post(f"{moto_url}/moto-api/reset")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("LLMOPS_HOME", str(tmp_path / "home"))
    client = _client(moto_url)
    client.create_bucket(Bucket="bucket")
    client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    return client


@functools.cache
def _client(moto_url: str) -> Any:
    import boto3

    return boto3.client("s3", region_name="us-east-1")


@pytest.fixture
def plane(plane_and_url: tuple[ControlPlane, str], s3: Any, monkeypatch: pytest.MonkeyPatch) -> ControlPlane:
    """Bedrock's control plane as the service model has it, beside moto's S3; a failed request is not repeated."""
    plane, url = plane_and_url
    plane.reset()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
    return plane


def new_backend(name: str = "bedrock", waiting: Waiting = QUICK, **bedrock: Any) -> BedrockBackend:
    """A back end with this environment; the SDK takes a tenth of a second for it."""
    given = {"s3_uri": "s3://bucket/some/prefix", "role_arn": ROLE, **bedrock}
    connected = connect_backend(name, JobSettings(bedrock=BedrockSettings(**given), waiting=waiting))
    assert isinstance(connected, BedrockBackend)
    return connected


@functools.cache
def _known_backend(name: str, environment: tuple[str | None, ...], **bedrock: Any) -> BedrockBackend:
    return new_backend(name, **bedrock)


def backend(name: str = "bedrock", **bedrock: Any) -> BedrockBackend:
    """A back end as a new process would have it: it keeps nothing between two calls."""
    environment = tuple(map(os.getenv, ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK", "AWS_MAX_ATTEMPTS")))
    return _known_backend(name, environment, **bedrock)


def nowhere(key: str, value: str) -> None:
    """A note that nobody keeps."""


def request(folder: Path, base_model: str = NOVA, token: str = TOKEN, **training: Any) -> TuningRequest:
    """A job of two files of a line each."""
    for split in ("training", "validation"):
        (folder / f"{split}.jsonl").write_text(f'{{"messages": "{split}"}}\n')
    files = TrainingFiles(folder / "training.jsonl", folder / "validation.jsonl", 100, 10, 5_000, True)
    return TuningRequest(base_model, "Support bot", token, TrainingConfig(**training), files)


def uploads(s3: Any) -> dict[str, int]:
    """How many times each object was written."""
    keys = [version["Key"] for version in s3.list_object_versions(Bucket="bucket").get("Versions", ())]
    return {key: keys.count(key) for key in keys}
