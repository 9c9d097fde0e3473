"""From the data to a champion at each provider, through its own SDK over HTTP; Azure is in `test_fine_tune_jobs`."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from llmops.finetuning.jobs import job_ledger
from tasks.evaluation_result import EvaluationResult
from tasks.hosted_models import find_hosted_model
from tests.emulators.bedrock_control_plane import ControlPlane
from tests.emulators.tuning_provider import TuningProvider
from tests.emulators.vertex_cloud import Cloud
from tests.flows.tuning_there import tune_there
from tests.llmops.finetuning.backends.aws_services import (
    CLAUDE,
    NOVA,
    ROLE,
    moto_url,
    plane,
    plane_and_url,
    read_once,
    s3,
)
from tests.llmops.finetuning.backends.test_vertex_jobs import account, cloud

__all__ = ["account", "cloud", "moto_url", "plane", "plane_and_url", "read_once", "s3"]
pytestmark = [pytest.mark.service, pytest.mark.slow]


def assert_champion(result: EvaluationResult, answers_as: str) -> None:
    """It was right where its base was not; ledger and registry say who answers."""
    assert (result.metrics["exact_match"].value, result.baseline["exact_match"].value) == (1.0, 0.0)
    assert result.promotion is not None
    assert (result.promotion.status, result.exit_status) == ("promoted", 0)
    [record] = job_ledger().all()
    assert (record.state, record.version) == ("succeeded", "models:/hosted/1")
    champion = find_hosted_model("models:/hosted@champion")
    assert champion is not None and champion.require_answer() == answers_as
    assert champion.model == record.model


def test_openai(toy: Path, provider: TuningProvider) -> None:
    assert_champion(tune_there(), "openai/ft:gpt-4.1-mini:hosted:ftjob-0")
    assert provider.deployments == {}


def test_vertex(toy: Path, cloud: Cloud, pairs: list[tuple[str, str]]) -> None:
    cloud.answers = dict(pairs)
    job = {"vertex": {"gcs_uri": "gs://bucket/some/prefix"}}
    result = tune_there(backend="vertex", base_model="gemini-2.5-flash", job=job, yes=True)
    assert_champion(result, "vertex/projects/some-project/locations/europe-west4/endpoints/102")
    assert (cloud.seen["create"], cloud.seen["upload"]) == (1, 2)


@pytest.mark.parametrize(
    ("backend", "base", "serving"),
    [("bedrock", NOVA, {}), ("anthropic", CLAUDE, {"serving": "provisioned"})],
    ids=["on demand", "provisioned"],
)
def test_bedrock(
    backend: str,
    base: str,
    serving: Mapping[str, str],
    toy: Path,
    plane: ControlPlane,
    pairs: list[tuple[str, str]],
) -> None:
    plane.knows, plane.looks_until_ended = dict(pairs), 2
    job = {"bedrock": {"s3_uri": "s3://bucket/some/prefix", "role_arn": ROLE, **serving}}
    result = tune_there(backend=backend, base_model=base, job=job, yes=True)
    [serves] = plane.serving
    assert_champion(result, f"bedrock/{serves}")
    assert plane.seen["CreateModelCustomizationJob"] == 1
