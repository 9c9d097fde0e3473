"""Bedrock through its SDK over HTTP: moto, and a control plane that refuses what botocore's service model does."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import BackendError, JobStatus
from tests.emulators.bedrock_control_plane import START, ControlPlane
from tests.llmops.finetuning.backends.aws_services import (
    CLAUDE,
    FOLDER,
    NOVA,
    QUICK,
    ROLE,
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
    uploads,
)

__all__ = ["moto_url", "plane", "plane_and_url", "read_once", "s3"]
pytestmark = pytest.mark.service

STEPS = "step_number,epoch_number,training_loss,perplexity\n0,0,2.5,12.18\n1,0,nan,\n2,1,1.25,3.49\n"
VALIDATION = "step_number,epoch_number,validation_loss,perplexity\n2,1,1.5,4.48\n"


def leave_metrics(s3: Any, *, validation: bool = True) -> None:
    """What a job leaves beside its model, where AWS's pages and samples have it."""
    job = f"{FOLDER}/output/model-customization-job-000000000000"
    s3.put_object(Bucket="bucket", Key=f"{job}/training_artifacts/step_wise_training_metrics.csv", Body=STEPS)
    if validation:
        key = f"{job}/validation_artifacts/post_fine_tuning_validation/validation/validation_metrics.csv"
        s3.put_object(Bucket="bucket", Key=key, Body=VALIDATION)


def test_a_job_on_moto_from_its_upload_to_its_files(s3: Any, tmp_path: Path) -> None:
    from moto.bedrock.models import bedrock_backends

    bedrock, noted = backend(), dict[str, str]()
    asked = request(tmp_path, epochs=2, learning_rate=1e-5)
    bedrock.check(asked.base_model, asked.training)
    assert bedrock.submit(asked, {}, noted.__setitem__) == TOKEN
    job = bedrock_backends["123456789012"]["us-east-1"].model_customization_jobs[TOKEN]
    assert (job.custom_model_name, job.client_request_token) == ("Support-bot-0123456789abcdef-1", TOKEN)
    assert (job.role_arn, job.base_model_identifier, job.customization_type) == (ROLE, NOVA, "FINE_TUNING")
    assert job.hyper_parameters == {"epochCount": "2", "learningRate": "0.00001"}
    assert job.training_data_config == {"s3Uri": f"s3://bucket/{FOLDER}/training.jsonl"}
    assert job.validation_data_config == {"validators": [{"s3Uri": f"s3://bucket/{FOLDER}/validation.jsonl"}]}
    assert noted["job_arn"] == job.job_arn
    there = s3.get_object(Bucket="bucket", Key=f"{FOLDER}/training.jsonl")
    assert there["Body"].read() == asked.files.training.read_bytes()

    # Again: nothing is uploaded or started a second time.
    assert bedrock.submit(asked, {}, nowhere) == TOKEN
    assert uploads(s3) == {f"{FOLDER}/training.jsonl": 1, f"{FOLDER}/validation.jsonl": 1}

    now = bedrock.status(TOKEN)
    assert (now.state, now.provider_state, now.reason, now.model) == ("running", "InProgress", None, None)
    assert now.created_at is not None and now.created_at.tzinfo is not None and now.finished_at is None
    assert now.metrics == ()
    leave_metrics(s3)
    job.status = "Completed"
    done = bedrock.follow(TOKEN, lambda status: None, QUICK)
    assert (done.state, done.model) == ("succeeded", job.output_model_arn)
    assert [(point.step, point.metrics) for point in done.metrics] == [
        (0, {"loss": 2.5}),
        (2, {"loss": 1.25, "validation_loss": 1.5}),
    ]
    assert done.detail == "loss 1.25, validation loss 1.5"
    fetched = bedrock.fetch(TOKEN, tmp_path / "result")
    assert sorted(file.name for file in fetched) == ["step_wise_training_metrics.csv", "validation_metrics.csv"]
    assert next(file for file in fetched if file.name.startswith("step")).read_text() == STEPS


def test_cancelled_on_moto(s3: Any, tmp_path: Path) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    bedrock.cancel(TOKEN)
    assert bedrock.status(TOKEN).state == "cancelled"
    bedrock.cancel(TOKEN)
    assert bedrock.status("llmops-0000000000000000-1") == JobStatus(state="unknown")


def test_the_request_is_what_the_service_model_takes(plane: ControlPlane, tmp_path: Path) -> None:
    anthropic = backend("anthropic", serving="provisioned")
    training = {"epochs": 4, "batch_size": 16, "learning_rate_multiplier": 1.5}
    asked = request(tmp_path, CLAUDE, **training)
    anthropic.check(CLAUDE, asked.training)
    anthropic.submit(asked, {}, nowhere)
    job = plane.jobs[TOKEN]
    assert job["hyperParameters"] == {"epochCount": "4", "batchSize": "16", "learningRateMultiplier": "1.5"}
    assert job["outputDataConfig"] == {"s3Uri": f"s3://bucket/{FOLDER}/output/"}
    assert anthropic.data_format(CLAUDE) == "bedrock-claude"
    assert anthropic.endpoint == f"{anthropic._bedrock.meta.endpoint_url}#us-east-1/123456789012"


def test_nova_2_takes_no_validation_file(plane: ControlPlane, s3: Any, tmp_path: Path) -> None:
    backend().submit(request(tmp_path, "amazon.nova-2-lite-v1:0:256k"), {}, nowhere)
    assert plane.jobs[TOKEN]["validationDataConfig"] == {"validators": []}
    assert uploads(s3) == {f"{FOLDER}/training.jsonl": 1}


def test_a_job_that_failed_says_why(plane: ControlPlane, tmp_path: Path) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    why = "Validation failed for sample 3: expected assistant role but found user"
    begun = {"status": "Failed", "creationTime": START.isoformat(), "lastModifiedTime": START.isoformat()}
    plane.end(TOKEN, "Failed", failureMessage=why, statusDetails={"validationDetails": begun})
    told: list[JobStatus] = []
    last = bedrock.follow(TOKEN, told.append, QUICK)
    assert (last.state, last.reason, last.model) == ("failed", why, None)
    assert last.created_at == START and last.finished_at == START + timedelta(hours=1)
    assert [(event.id, event.level) for event in last.events] == [
        ("validation begun", "info"),
        ("validation ended", "error"),
    ]
    assert told == [last]


def test_phases_are_events_that_begin_the_same(plane: ControlPlane, tmp_path: Path) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    at = START.isoformat()
    phase = {"creationTime": at, "lastModifiedTime": at}
    job = plane.jobs[TOKEN]
    job["statusDetails"] = {
        "validationDetails": {"status": "InProgress", **phase},
        "trainingDetails": {"status": "NotStarted"},
    }
    first = bedrock.status(TOKEN)
    assert first.detail == "validation"
    job["statusDetails"]["validationDetails"]["status"] = "Completed"
    job["statusDetails"]["trainingDetails"] = {"status": "InProgress", **phase}
    second = bedrock.status(TOKEN)
    assert [event.message for event in second.events] == ["validation begun", "validation completed", "training begun"]
    assert second.events[: len(first.events)] == first.events
    assert second.detail == "training"


def test_the_final_losses_stand_at_the_last_step_where_no_table_has_them(
    plane: ControlPlane, s3: Any, tmp_path: Path
) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    final = {"trainingMetrics": {"trainingLoss": 0.5}, "validationMetrics": [{"validationLoss": 0.75}]}
    plane.end(TOKEN, "Completed", **final)
    assert [(point.step, point.metrics) for point in bedrock.status(TOKEN).metrics] == [
        (0, {"loss": 0.5, "validation_loss": 0.75})
    ]
    leave_metrics(s3, validation=False)
    assert [(point.step, point.metrics) for point in bedrock.status(TOKEN).metrics] == [
        (0, {"loss": 2.5}),
        (2, {"loss": 1.25, "validation_loss": 0.75}),
    ]


def test_tables_that_cannot_be_read_are_a_warning(plane: ControlPlane, s3: Any, tmp_path: Path) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    plane.end(TOKEN, "Completed", trainingMetrics={"trainingLoss": 0.5})
    plane.jobs[TOKEN]["outputDataConfig"] = {"s3Uri": "s3://somewhere-else/output/"}
    now = bedrock.status(TOKEN)
    assert (now.state, now.metrics[0].metrics) == ("succeeded", {"loss": 0.5})
    assert (now.events[-1].level, now.events[-1].id) == ("warning", "unread-metrics")
    assert "NoSuchBucket" in now.events[-1].message
    with pytest.raises(BackendError) as failed:
        bedrock.fetch(TOKEN, tmp_path / "result")
    assert failed.value.kind == "missing"


def test_a_job_over_its_deadline_is_stopped(plane: ControlPlane, tmp_path: Path) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    with pytest.raises(BackendError, match=r"had not ended after 1 hours .* and was cancelled"):
        bedrock.follow(TOKEN, lambda status: None, QUICK.model_copy(update={"deadline_hours": 1.0}))
    assert plane.jobs[TOKEN]["status"] == "Stopping"


def test_cancelling(plane: ControlPlane, tmp_path: Path) -> None:
    bedrock = backend()
    bedrock.submit(request(tmp_path), {}, nowhere)
    bedrock.cancel(TOKEN)
    now = bedrock.status(TOKEN)
    assert (now.state, now.provider_state) == ("running", "Stopping")
    bedrock.cancel(TOKEN)  # it is being stopped
    plane.end(TOKEN, "Stopped")
    assert bedrock.status(TOKEN).state == "cancelled"
    bedrock.cancel(TOKEN)
    with pytest.raises(BackendError) as failed:
        bedrock.cancel("llmops-0000000000000000-1")
    assert failed.value.kind == "missing"
    plane.jobs[TOKEN]["status"] = "InProgress"
    plane.fail("StopModelCustomizationJob", 403, "AccessDeniedException")
    with pytest.raises(BackendError, match="AccessDenied"):
        bedrock.cancel(TOKEN)


@pytest.mark.parametrize(
    ("base_model", "bedrock", "training", "reason"),
    [
        (
            NOVA,
            {"role_arn": None},
            {},
            "bedrock needs the setting job.bedrock.role_arn: arn:aws:iam::ACCOUNT:role/NAME",
        ),
        (NOVA, {"s3_uri": None}, {}, "bedrock needs the setting job.bedrock.s3_uri: s3://BUCKET/PREFIX"),
        (NOVA, {"role_arn": "tuning"}, {}, "job.bedrock.role_arn is 'tuning', which AWS does not take"),
        (NOVA, {"s3_uri": "s3://Bucket/a b"}, {}, "job.bedrock.s3_uri is 's3://Bucket/a b'"),
        (NOVA, {}, {"batch_size": 4}, "cannot set batch_size"),
        (NOVA, {"hyperparameters": {"learningRateWarmupSteps": 1000}}, {}, "learningRateWarmupSteps is 1000"),
        (CLAUDE, {}, {}, "Anthropic Claude answers only with provisioned throughput.* job.bedrock.serving"),
        ("gpt-5-mini", {}, {}, "no way to fine-tune 'gpt-5-mini' is known"),
    ],
)
def test_what_is_refused_before_anything_is_uploaded(
    base_model: str, bedrock: dict[str, Any], training: dict[str, Any], reason: str, s3: Any
) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        new_backend(**bedrock).check(base_model, TrainingConfig(**training))
    assert "\n" not in str(refused.value)


def test_anthropic_is_claude_alone(s3: Any) -> None:
    with pytest.raises(
        InputError, match=f"backend anthropic fine-tunes Claude, and {NOVA} is Amazon Nova: use bedrock"
    ):
        backend("anthropic").check(NOVA, TrainingConfig())
    with pytest.raises(InputError, match="use bedrock"):
        backend("anthropic").data_format(NOVA)


def test_the_estimate_counts_the_epochs_that_bedrock_would_take(s3: Any, tmp_path: Path) -> None:
    assert backend().estimate(request(tmp_path)).tokens == 2 * 5_000
    assert backend().estimate(request(tmp_path, epochs=3)).tokens == 3 * 5_000
    assert new_backend(hyperparameters={"epochCount": 4}).estimate(request(tmp_path)).tokens == 4 * 5_000
    assert backend().estimate(request(tmp_path, "meta.llama3-1-8b-instruct-v1:0:128k")).tokens == 5 * 5_000
