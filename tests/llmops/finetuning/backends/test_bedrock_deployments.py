"""A custom model on Bedrock: served once, whatever gets lost on the way, and taken down."""

import pytest

from llmops.finetuning.backends import BackendError, TunedModel, bedrock_deployments
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


@pytest.mark.parametrize(("before", "after"), [("provisioned", "on-demand"), ("on-demand", "provisioned")])
@pytest.mark.parametrize("known", ["arn", "name"])
def test_served_in_another_way_it_is_served_in_that_alone(
    before: str, after: str, known: str, plane: ControlPlane
) -> None:
    """Whether what served it is known, or only what it is called: a process was killed while it made that."""
    first = backend(serving=before).deploy(TUNED, "support")
    if known == "name":
        name = backend(serving=before).deployment_of(TUNED, "support")
        first = TUNED.model_copy(update={"deployment": name})
    served = backend(serving=after).deploy(first, "support")
    assert list(plane.serving) == [served.deployment] and served.deployment != first.deployment
    assert backend(serving=after).deploy(served, "support") == served


def test_one_that_answers_stays_until_the_other_one_does(plane: ControlPlane) -> None:
    first = backend(serving="on-demand").deploy(TUNED, "support")
    plane.failure = "no capacity"
    with pytest.raises(BackendError, match="no capacity"):
        backend(serving="provisioned").deploy(first, "support")
    assert first.deployment in plane.serving


@pytest.mark.parametrize("known", ["arn", "name"])
def test_an_interrupted_change_leaves_what_answers_alone(
    known: str, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = backend(serving="on-demand").deploy(TUNED, "support")
    if known == "name":  # that is what is noted while it is made
        first = first.model_copy(update={"deployment": backend().deployment_of(TUNED, "support")})
    made: list[str] = []

    def interrupted(*_: object) -> None:
        made.extend(plane.serving)
        raise KeyboardInterrupt

    monkeypatch.setattr(bedrock_deployments, "poll", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backend(serving="provisioned").deploy(first, "support")
    assert len(made) == 2
    assert [f"bedrock/{arn}" for arn in plane.serving] == [first.asked_as]


def test_one_that_cannot_be_removed_after_a_failed_change_is_told(
    plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    first = backend(serving="on-demand").deploy(TUNED, "support")
    plane.failure = "no capacity"
    plane.fail("DeleteProvisionedModelThroughput", 400, "ValidationException", "it is being made")
    with pytest.raises(BackendError, match="no capacity"):
        backend(serving="provisioned").deploy(first, "support")
    assert "may still run and cost" in caplog.text and "it is being made" in caplog.text


def test_one_kind_that_fails_does_not_keep_the_other(plane: ControlPlane) -> None:
    for serving in ("on-demand", "provisioned"):
        backend(serving=serving).deploy(TUNED, "support")
    named = TUNED.model_copy(update={"deployment": backend().deployment_of(TUNED, "support")})
    plane.fail("GetCustomModelDeployment", 500, "InternalServerException", "out of order")
    with pytest.raises(BackendError, match="out of order"):
        backend().undeploy(named)
    assert [":custom-model-deployment/" in arn for arn in plane.serving] == [True]
    backend(serving="provisioned").deploy(TUNED, "support")
    plane.fail("DeleteCustomModelDeployment", 500, "InternalServerException", "out of order")
    with pytest.raises(BackendError, match="out of order"):
        backend().undeploy(named)
    assert [":custom-model-deployment/" in arn for arn in plane.serving] == [True]


def test_both_kinds_of_a_name_are_taken_down(plane: ControlPlane) -> None:
    for serving in ("on-demand", "provisioned"):
        backend(serving=serving).deploy(TUNED, "support")
    assert len(plane.serving) == 2
    name = backend().deployment_of(TUNED, "support")
    backend().undeploy(TUNED.model_copy(update={"deployment": name}))
    assert plane.serving == {}


def test_a_refused_look_does_not_say_that_there_is_none(plane: ControlPlane) -> None:
    bedrock = backend()
    served = bedrock.deploy(TUNED, "support")
    named = TUNED.model_copy(update={"deployment": bedrock.deployment_of(TUNED, "support")})
    plane.fail("GetCustomModelDeployment", 400, "RequestExpired", "the clock is wrong")
    with pytest.raises(BackendError, match="the clock is wrong"):
        bedrock.undeploy(named)
    plane.fail("GetCustomModelDeployment", 403, "AccessDeniedException")
    with pytest.raises(BackendError, match="AccessDenied"):
        bedrock.undeploy(named)
    assert list(plane.serving) == [served.deployment]
    # A role that may not use the other kind has made none of it.
    plane.fail("GetProvisionedModelThroughput", 403, "AccessDeniedException")
    bedrock.undeploy(named)
    assert plane.serving == {}


def test_other_units_are_refused(plane: ControlPlane) -> None:
    served = backend(serving="provisioned", model_units=2).deploy(TUNED, "support")
    with pytest.raises(BackendError, match=r"has 2 model units, .*: set job\.bedrock\.model_units to 2"):
        backend(serving="provisioned").deploy(served, "support")
    assert list(plane.serving) == [served.deployment]
