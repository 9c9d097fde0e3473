"""Model customization jobs of Amazon Bedrock: Amazon's Nova and Titan, Meta's Llama, and Anthropic's Claude.

A job's id here is its name, which is the request's token: the API takes it wherever it takes the job's ARN, and a name
is used once in an account and region. Region, credentials and addresses are found as the SDK finds them
(``AWS_REGION``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL_BEDROCK``, ``AWS_ENDPOINT_URL_S3``, …); a request that fails for a
passing reason is repeated by the SDK.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateModelCustomizationJob.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-iam-role.html
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops.errors import InputError
from llmops.finetuning.backends.aws_failures import aws_failures
from llmops.finetuning.backends.backend import (
    ENDED,
    BackendError,
    Estimate,
    JobStatus,
    MetricPoint,
    TunedModel,
    TuningRequest,
    Waiting,
    set_fields,
)
from llmops.finetuning.backends.bedrock_deployments import Deployments, deployment_name, resource_name
from llmops.finetuning.backends.bedrock_families import Family, family_of, hyperparameters_of
from llmops.finetuning.backends.bedrock_files import fetch_files, upload_once
from llmops.finetuning.backends.bedrock_status import STATES, detail_of, events_of, metrics_of, moment
from llmops.finetuning.backends.polling import poll
from llmops.finetuning.backends.settings import JobSettings
from llmops.finetuning.config import TrainingConfig
from llmops.llm.providers.addresses import without_login

# The patterns of the API for a place in S3 and for a role.
_S3_URI = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-!_*'().a-zA-Z0-9]+)*/?")
_ROLE_ARN = re.compile(r"arn:aws[^:]*:iam::(\d{12}):role/.+")


class BedrockBackend:
    """Bedrock in one region, with one bucket and role for its jobs."""

    def __init__(self, name: str, settings: JobSettings) -> None:
        import boto3
        from botocore.config import Config

        # boto3 itself reads only AWS_DEFAULT_REGION, unlike AWS's other SDKs.
        region = boto3.session.Session().region_name or os.getenv("AWS_REGION")
        self._session = boto3.session.Session(region_name=region)
        config = Config(retries={"mode": "standard"})
        self._bedrock = self._session.client("bedrock", config=config)
        self._s3 = self._session.client("s3", config=config)
        self._settings = settings.bedrock
        self._name = name
        self._where = f"Bedrock in {self._bedrock.meta.region_name}"
        self._deployments = Deployments(self._bedrock, self._where, settings.waiting)

    @property
    def name(self) -> str:
        """``bedrock``, or ``anthropic`` where only Claude is meant."""
        return self._name

    @property
    def endpoint(self) -> str:
        """Bedrock's address with the region, and the account of the role."""
        address = without_login(self._bedrock.meta.endpoint_url)
        role = _ROLE_ARN.fullmatch(self._settings.role_arn or "")
        return f"{address}#{self._bedrock.meta.region_name}" + (f"/{role[1]}" if role else "")

    def data_format(self, base_model: str) -> str:
        """``bedrock``, ``bedrock-conversation`` or ``bedrock-claude``, by the family.

        Raises:
            InputError: no such family.
        """
        return self._family(base_model).data_format

    def hyperparameters(self, base_model: str, training: TrainingConfig) -> dict[str, Any]:
        """What a person has set, by the family's names, as texts.

        Raises:
            InputError: the family cannot do one of them.
        """
        return dict(hyperparameters_of(self._family(base_model), set_fields(training), self._settings.hyperparameters))

    def check(self, base_model: str, training: TrainingConfig) -> None:
        """Refuse what would fail later; asks AWS nothing.

        Raises:
            InputError: credentials, a setting or the base model.
        """
        from botocore.exceptions import BotoCoreError

        family = self._family(base_model)
        self.hyperparameters(base_model, training)
        self._require("s3_uri", _S3_URI, "s3://BUCKET/PREFIX for data and output")
        self._require("role_arn", _ROLE_ARN, "arn:aws:iam::ACCOUNT:role/NAME, which Bedrock takes on to read and write")
        if self._settings.serving == "on-demand" and not family.on_demand:
            raise InputError(
                f"a tuned {family.name} answers only with provisioned throughput, which is paid by the hour: "
                "set job.bedrock.serving to provisioned"
            )
        try:
            credentials = self._session.get_credentials()
        except BotoCoreError as error:
            raise InputError(f"{self._name}: {str(error).rstrip('.')}: set other AWS credentials") from error
        if credentials is None:
            raise InputError(
                f"{self._name}: no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )

    def estimate(self, request: TuningRequest) -> Estimate:
        """From the price of a token and the family's own number of epochs, where none is set."""
        from llmops.finetuning.jobs.estimates import estimate

        default = self._family(request.base_model).hyperparameters["epochCount"].default
        epochs = self._settings.hyperparameters.get("epochCount", default)
        return estimate(self._name, request, default_epochs=epochs)

    def submit(self, request: TuningRequest, noted: Mapping[str, str], note: Callable[[str, str], None]) -> str:
        """Upload the data and start the job, or find the job of that token.

        Notes ``training_file`` and ``validation_file`` (their addresses in S3) and ``job_arn``. The files are uploaded
        once; the job has the token as name and as client token, by both of which Bedrock starts it once.
        """
        if "job_arn" in noted:
            return request.token
        job = self._job(request.token)
        if job is None:
            job = self._start(request, note)
        note("job_arn", job["jobArn"])
        return request.token

    def status(self, job_id: str) -> JobStatus:
        """The job now, once it has ended with the losses of its steps."""
        job = self._job(job_id)
        if job is None:
            return JobStatus(state="unknown")
        state = STATES.get(job.get("status", ""), "unknown")
        metrics: tuple[MetricPoint, ...] = ()
        events = events_of(job)
        if state in ("succeeded", "cancelled"):
            metrics, unread = metrics_of(self._s3, job)
            events += unread
        return JobStatus(
            state=state,
            provider_state=job.get("status", ""),
            reason=job.get("failureMessage") if state == "failed" else None,
            detail=detail_of(job, metrics),
            events=events,
            metrics=metrics,
            created_at=moment(job.get("creationTime")),
            finished_at=moment(job.get("endTime")) if state in ENDED else None,
            model=job.get("outputModelArn") if state == "succeeded" else None,
        )

    def follow(self, job_id: str, tell: Callable[[JobStatus], None], waiting: Waiting) -> JobStatus:
        """Wait for the end of the job, see `polling.poll`."""
        return poll(self.status, job_id, tell, waiting, self.cancel)

    def cancel(self, job_id: str) -> None:
        """Ask Bedrock to stop it; nothing happens where it has ended or is being stopped."""
        try:
            with aws_failures(f"stopping the job {job_id}", self._where):
                self._bedrock.stop_model_customization_job(jobIdentifier=job_id)
        except BackendError as error:
            job = self._job(job_id) if error.kind == "refused" else None
            if job is None or job.get("status") == "InProgress":
                raise

    def fetch(self, job_id: str, folder: Path) -> Sequence[Path]:
        """Bring the tables of metrics that the job has left in S3 into a folder; the model stays with Bedrock."""
        job = self._job(job_id)
        if job is None:
            raise BackendError(f"{self._where} knows no job {job_id}; look at its name and at AWS_REGION", "missing")
        return fetch_files(self._s3, job["outputDataConfig"]["s3Uri"], folder)

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        """Have the model answer, on demand or with provisioned throughput (`BedrockSettings.serving`)."""
        serving, answering = self._settings.serving, (model.asked_as or "").removeprefix("bedrock/") or None
        arn = self._deployments.create(serving, name, model.model, self._settings.model_units, answering)
        if model.deployment not in (None, arn):
            self._deployments.delete(str(model.deployment), serving, but=arn)
        # arn:aws:bedrock:REGION:ACCOUNT:…
        served = {"asked_as": f"bedrock/{arn}", "deployment": arn, "region": arn.split(":")[3]}
        return model.model_copy(update=served)

    def deployment_of(self, model: TunedModel, name: str) -> str | None:
        """The name by which Bedrock knows it beside its ARN, which it gives out when it is made."""
        return deployment_name(name, model.model)

    def undeploy(self, model: TunedModel) -> TunedModel:
        """Take its deployment or its provisioned throughput down."""
        if model.deployment is not None:
            self._deployments.delete(model.deployment, self._settings.serving)
        return model.model_copy(update={"asked_as": None, "deployment": None})

    def delete(self, model: TunedModel) -> None:
        """Delete the custom model; nothing happens where it is gone. Its deployment must be taken down before."""
        try:
            with aws_failures(f"deleting {model.model}", self._where):
                self._bedrock.delete_custom_model(modelIdentifier=model.model)
        except BackendError as error:
            if error.kind != "missing":
                raise

    def _family(self, base_model: str) -> Family:
        family = family_of(base_model)
        if self._name == "anthropic" and not family.name.startswith("Anthropic"):
            raise InputError(f"backend anthropic fine-tunes Claude, and {base_model} is {family.name}: use bedrock")
        return family

    def _require(self, setting: str, pattern: re.Pattern[str], form: str) -> None:
        value = getattr(self._settings, setting)
        if value is None:
            raise InputError(f"{self._name} needs the setting job.bedrock.{setting}: {form}")
        if not pattern.fullmatch(value):
            raise InputError(f"job.bedrock.{setting} is {value!r}, which AWS does not take: give {form}")

    def _job(self, token: str) -> dict[str, Any] | None:
        """The job of that name, None where there is none."""
        try:
            with aws_failures(f"looking for the job {token}", self._where):
                job: dict[str, Any] = self._bedrock.get_model_customization_job(jobIdentifier=token)
        except BackendError as error:
            # The name is always well formed: where it is called invalid, nothing has it.
            if error.kind in ("missing", "refused"):
                return None
            raise
        return job

    def _start(self, request: TuningRequest, note: Callable[[str, str], None]) -> dict[str, Any]:
        family, files = self._family(request.base_model), request.files
        folder = f"{(self._settings.s3_uri or '').rstrip('/')}/{request.token}"
        asked: dict[str, Any] = {
            "jobName": request.token,
            "clientRequestToken": request.token,
            "customModelName": resource_name(request.name, request.token.removeprefix("llmops-")),
            "roleArn": self._settings.role_arn,
            "baseModelIdentifier": request.base_model,
            "customizationType": "FINE_TUNING",
            "hyperParameters": self.hyperparameters(request.base_model, request.training),
            "trainingDataConfig": {"s3Uri": f"{folder}/training.jsonl"},
            "outputDataConfig": {"s3Uri": f"{folder}/output/"},
        }
        upload_once(self._s3, files.training, f"{folder}/training.jsonl")
        note("training_file", f"{folder}/training.jsonl")
        if files.validation is not None and family.validates:
            upload_once(self._s3, files.validation, f"{folder}/validation.jsonl")
            note("validation_file", f"{folder}/validation.jsonl")
            asked["validationDataConfig"] = {"validators": [{"s3Uri": f"{folder}/validation.jsonl"}]}
        try:
            with aws_failures(f"starting the job {request.token}", self._where):
                started: dict[str, Any] = self._bedrock.create_model_customization_job(**asked)
        except BackendError:
            # An earlier request, whose answer was lost, may hold the name.
            job = self._job(request.token)
            if job is None:
                raise
            return job
        return started


def connect_bedrock(settings: JobSettings) -> BedrockBackend:
    """Bedrock's fine-tuning of every family it has.

    Raises:
        InputError: no region, or a profile that does not exist.
    """
    return _connect("bedrock", settings)


def connect_anthropic(settings: JobSettings) -> BedrockBackend:
    """The same for Anthropic's Claude alone: it is fine-tuned nowhere else.

    Raises:
        InputError: as `connect_bedrock`.
    """
    return _connect("anthropic", settings)


def _connect(name: str, settings: JobSettings) -> BedrockBackend:
    from botocore.exceptions import BotoCoreError, NoRegionError

    try:
        return BedrockBackend(name, settings)
    except NoRegionError as error:
        raise InputError(f"backend {name}: no AWS region is set: set AWS_REGION, e.g. us-east-1") from error
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"backend {name}: {str(error).rstrip('.')}: set AWS_REGION and credentials") from error
