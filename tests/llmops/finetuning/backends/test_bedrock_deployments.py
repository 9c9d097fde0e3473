"""A custom model on Bedrock: served once, whatever gets lost on the way, and taken down."""

import pytest

from llmops.finetuning.backends import BackendError, TunedModel
from tests.emulators.bedrock_control_plane import ControlPlane
from tests.llmops.finetuning.backends.aws_services import (
    NOVA,
    QUICK,
    TOKEN,
    backend,
    moto_url,
    new_backend,
    plane,
    plane_and_url,
    read_once,
    s3,
)

__all__ = ["moto_url", "plane", "plane_and_url", "read_once", "s3"]
pytestmark = pytest.mark.service

MODEL = f"arn:aws:bedrock:us-east-1:123456789012:custom-model/{NOVA}/000000000009"
TUNED = TunedModel(backend="bedrock", model=MODEL, base_model=NOVA, job_id=TOKEN)


@pytest.mark.parametrize(
    ("serving", "kind"), [("on-demand", "custom-model-deployment"), ("provisioned", "provisioned-model")]
)
def test_a_model_is_served_once_and_taken_down(serving: str, kind: str, plane: ControlPlane) -> None:
    bedrock = backend(serving=serving, model_units=2)
    served = bedrock.deploy(TUNED, "support_challenger")
    ((arn, one),) = plane.serving.items()
    assert f":{kind}/" in arn
    assert (served.deployment, served.asked_as, served.region) == (arn, f"bedrock/{arn}", "us-east-1")
    taken_down = TUNED.model_copy(update={"region": "us-east-1"})
    assert one["name"].startswith("support-challenger-") and one["model"] == MODEL
    assert one["units"] == (2 if serving == "provisioned" else 1)
    assert bedrock.deploy(TUNED, "support_challenger") == served
    assert bedrock.deploy(served, "support_challenger") == served
    assert len(plane.serving) == 1
    plane.models[MODEL] = {}
    with pytest.raises(BackendError, match="the model is deployed"):
        bedrock.delete(served)
    down = bedrock.undeploy(served)
    assert down == taken_down and plane.serving == {}
    assert bedrock.undeploy(served) == taken_down
    # Once more: its name is free, but Bedrock has seen the client token and would start nothing.
    again = bedrock.deploy(TUNED, "support_challenger")
    assert again.deployment in plane.serving and again.deployment != arn
    bedrock.undeploy(again)
    bedrock.delete(TUNED)
    bedrock.delete(TUNED)
    assert plane.models == {}


@pytest.mark.parametrize("serving", ["on-demand", "provisioned"])
def test_an_answer_about_a_deployment_that_is_lost(serving: str, plane: ControlPlane) -> None:
    operation = "CreateCustomModelDeployment" if serving == "on-demand" else "CreateProvisionedModelThroughput"
    plane.fail(operation, 500, "InternalServerException", after=True)
    with pytest.raises(BackendError):
        backend(serving=serving).deploy(TUNED, "support")
    served = backend(serving=serving).deploy(TUNED, "support")
    assert list(plane.serving) == [served.deployment]


@pytest.mark.parametrize("serving", ["on-demand", "provisioned"])
def test_one_whose_arn_nobody_knows_is_taken_down_by_its_name(serving: str, plane: ControlPlane) -> None:
    bedrock = backend(serving=serving)
    bedrock.deploy(TUNED, "support")
    expected = TUNED.model_copy(update={"deployment": bedrock.deployment_of(TUNED, "support")})
    for _ in range(2):
        assert bedrock.undeploy(expected).deployment is None
        assert plane.serving == {}


def test_a_deployment_that_fails_says_why_and_is_replaced(plane: ControlPlane) -> None:
    plane.failure = "the model is not in the state Active"
    bedrock = backend()
    with pytest.raises(
        BackendError, match=r"serving arn:.* failed at Bedrock .*: the model is not in the state Active"
    ):
        bedrock.deploy(TUNED, "support")
    (failed,) = plane.serving
    plane.failure = None
    served = bedrock.deploy(TUNED, "support")
    assert list(plane.serving) == [served.deployment] and served.deployment != failed


def test_a_deployment_that_never_is_ready_is_taken_down(plane: ControlPlane) -> None:
    plane.looks_until_ready = 10**9
    soon = QUICK.model_copy(update={"deadline_hours": 1e-5})
    with pytest.raises(BackendError, match="had not ended"):
        new_backend(waiting=soon).deploy(TUNED, "support")
    assert plane.serving == {}
