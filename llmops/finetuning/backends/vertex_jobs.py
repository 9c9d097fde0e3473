"""Supervised tuning of Gemini models by Vertex AI, through Google's SDK.

https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning
"""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops.errors import InputError
from llmops.finetuning.backends import cloud_storage
from llmops.finetuning.backends.backend import (
    ENDED,
    BackendError,
    Estimate,
    JobStatus,
    TunedModel,
    TuningRequest,
    Waiting,
)
from llmops.finetuning.backends.google_failures import google_failures
from llmops.finetuning.backends.polling import poll
from llmops.finetuning.backends.settings import JobSettings
from llmops.finetuning.backends.vertex_endpoints import delete_endpoint
from llmops.finetuning.backends.vertex_hyperparameters import vertex_hyperparameters
from llmops.finetuning.backends.vertex_status import status_of
from llmops.finetuning.config import TrainingConfig
from llmops.finetuning.jobs.estimates import estimate
from llmops.llm.providers.addresses import without_login

if TYPE_CHECKING:
    import requests
    from google.genai import Client, types

_TIMEOUT_MS = 60_000
_LABEL = "llmops_token"


class VertexBackend:
    """Gemini models, tuned in one project and location. Implements `FineTuningBackend`.

    A job is known by its resource name, and found again by the display name of the model that it makes.
    """

    name = "vertex"

    def __init__(
        self,
        client: "Client",
        session: "requests.Session",
        address: str,
        project: str,
        location: str,
        settings: JobSettings,
    ) -> None:
        self._client = client
        self._session = session
        self._address = address
        self._location = location
        self._settings = settings
        self._where = f"vertex, {without_login(address)}, project {project}, {location}"
        self.endpoint = f"{without_login(address)}/projects/{project}/locations/{location}"

    def data_format(self, base_model: str) -> str:
        """``vertex``: contents and parts."""
        return "vertex"

    def hyperparameters(self, base_model: str, training: TrainingConfig) -> dict[str, Any]:
        """What Gemini lets one set, see `vertex_hyperparameters`."""
        return vertex_hyperparameters(base_model, training)

    def check(self, base_model: str, training: TrainingConfig) -> None:
        """Refuse another base model than Gemini, settings that it lacks, a missing bucket; ask for the jobs once.

        Raises:
            InputError: what is missing or impossible, and what to do.
            BackendError: the credentials do not reach the project.
        """
        if not base_model.startswith("gemini"):
            advice = "name a Gemini model, e.g. gemini-2.5-flash; its open models are tuned but not served at once"
            raise InputError(f"vertex does not tune {base_model!r} here: {advice}")
        self._folder("")
        self.hyperparameters(base_model, training)
        with google_failures("the tuning jobs cannot be listed", self._where):
            self._client.tunings.list(config={"page_size": 1})

    def estimate(self, request: TuningRequest) -> Estimate:
        """The price of the tokens times the epochs."""
        return estimate(self.name, request)

    def submit(self, request: TuningRequest, noted: Mapping[str, str], note: Callable[[str, str], None]) -> str:
        """Upload the files and create the job, or find it by its token."""
        if job := noted.get("job"):
            return job
        hyperparameters = self.hyperparameters(request.base_model, request.training)
        job = self._find(request.token)
        if job is None:
            uris = self._upload(request, note)
            job = self._create(request, hyperparameters, uris)
        note("job", job)
        return job

    def status(self, job_id: str) -> JobStatus:
        """The job now. There is no log and there are no losses to be asked for; checkpoints come at the end."""
        try:
            job = self._job(job_id)
        except BackendError as error:
            if error.kind != "missing":
                raise
            return JobStatus(state="unknown", reason="Vertex AI knows no such tuning job")
        return status_of(job)

    def follow(self, job_id: str, tell: Callable[[JobStatus], None], waiting: Waiting) -> JobStatus:
        """Poll until the job has ended."""
        return poll(self.status, job_id, tell, waiting, cancel=self.cancel)

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job; one that has ended, or is not known, is left alone."""
        try:
            with google_failures(f"{job_id} was not cancelled", self._where):
                self._client.tunings.cancel(name=job_id)
        except BackendError as error:
            if error.kind not in ("refused", "missing") or self.status(job_id).state not in (*ENDED, "unknown"):
                raise

    def fetch(self, job_id: str, folder: Path) -> Sequence[Path]:
        """The job as Vertex AI tells it, with the statistics of its data but without samples of it."""
        job = self._job(job_id)
        if job.tuning_data_stats and job.tuning_data_stats.supervised_tuning_data_stats:
            job.tuning_data_stats.supervised_tuning_data_stats.user_dataset_examples = None
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "tuning_job.json"
        told = job.model_dump(mode="json", exclude_none=True, exclude={"sdk_http_response"})
        file.write_text(json.dumps(told, indent=2) + "\n")
        return [file]

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        """The endpoint that Vertex AI has made with the model: it is there already, and costs nothing while idle.

        Raises:
            BackendError: the job has made no endpoint.
        """
        tuned = self._job(model.job_id).tuned_model
        if tuned is None or not tuned.endpoint:
            what = f"{model.job_id} has no endpoint that answers ({self._where})"
            raise BackendError(f"{what}; wait for the end of the job", "missing")
        served = {"asked_as": f"vertex/{tuned.endpoint}", "region": self._location, "endpoint": self.endpoint}
        return model.model_copy(update=served)

    def deployment_of(self, model: TunedModel, name: str) -> str | None:
        """None: the endpoint costs nothing while idle."""
        return None

    def undeploy(self, model: TunedModel) -> TunedModel:
        """Nothing is taken down: an idle endpoint of a tuned Gemini costs nothing, and `delete` removes it."""
        return model

    def delete(self, model: TunedModel) -> None:
        """Delete the endpoints of the model and of its checkpoints, and the model; what is gone already is left."""
        try:
            tuned = self._job(model.job_id).tuned_model
        except BackendError as error:
            if error.kind != "missing":
                raise
            tuned = None
        endpoints = {(model.asked_as or "").removeprefix("vertex/")}
        if tuned is not None:
            endpoints |= {tuned.endpoint or "", *(point.endpoint or "" for point in tuned.checkpoints or ())}
        # A model that is deployed anywhere cannot be deleted.
        for endpoint in sorted(endpoints - {""}):
            delete_endpoint(self._session, self._address, endpoint, self._where)
        try:
            with google_failures(f"{model.model} was not deleted", self._where):
                # All versions; ours has one alone, since a display name of its own makes it a model of its own.
                self._client.models.delete(model=model.model.partition("@")[0])
        except BackendError as error:
            if error.kind != "missing":
                raise

    def _job(self, job_id: str) -> "types.TuningJob":
        with google_failures(f"{job_id} cannot be asked", self._where):
            return self._client.tunings.get(name=job_id)

    def _find(self, token: str) -> str | None:
        """The job of a token. The filters of the list are not documented, so all are looked through."""
        with google_failures("the tuning jobs cannot be listed", self._where):
            for job in self._client.tunings.list(config={"page_size": 100}):
                if token in (job.tuned_model_display_name, (job.labels or {}).get(_LABEL)):
                    return job.name
        return None

    def _folder(self, token: str) -> str:
        if self._settings.vertex.gcs_uri is None:
            raise InputError("vertex reads its data from Cloud Storage: set job.vertex.gcs_uri to gs://BUCKET/PREFIX")
        return f"{self._settings.vertex.gcs_uri.rstrip('/')}/{token}"

    def _upload(self, request: TuningRequest, note: Callable[[str, str], None]) -> list[str]:
        uris = []
        for split, file in (("training", request.files.training), ("validation", request.files.validation)):
            if file is not None:
                uris.append(f"{self._folder(request.token)}/{split}.jsonl")
                cloud_storage.upload(self._session, file, uris[-1])
                note(f"{split}_file", uris[-1])
        return uris

    def _create(self, request: TuningRequest, hyperparameters: dict[str, Any], uris: list[str]) -> str:
        """Ask once, for the API takes no client token: where no answer came, whether there is a job is looked up."""
        from google.genai import types

        config = types.CreateTuningJobConfig(
            tuned_model_display_name=request.token,
            description=f"{request.name}: {request.files.examples} examples",
            labels={_LABEL: request.token},
            validation_dataset=types.TuningValidationDataset(gcs_uri=uris[1]) if len(uris) > 1 else None,
            http_options=types.HttpOptions(timeout=_TIMEOUT_MS, retry_options=types.HttpRetryOptions(attempts=1)),
            **hyperparameters,
        )
        try:
            with google_failures("the tuning job was not created", self._where), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The SDK's tuning implementation is experimental")
                job = self._client.tunings.tune(
                    base_model=request.base_model,
                    training_dataset=types.TuningDataset(gcs_uri=uris[0]),
                    config=config,
                )
                return str(job.name)
        except BackendError as error:
            found = self._find(request.token) if error.kind == "unreachable" else None
            if found is None:
                raise
            return found


def connect_vertex(settings: JobSettings) -> VertexBackend:
    """Vertex AI: ``GOOGLE_CLOUD_PROJECT``, ``GOOGLE_CLOUD_LOCATION``, ``GOOGLE_VERTEX_BASE_URL``.

    Google's default credentials are used (``GOOGLE_APPLICATION_CREDENTIALS``, or ``gcloud auth application-default
    login``). A key of the Gemini API does not do.

    Raises:
        InputError: no project or location, or no credentials.
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from google.genai import Client, types

    project, location = os.environ.get("GOOGLE_CLOUD_PROJECT"), os.environ.get("GOOGLE_CLOUD_LOCATION")
    if not project or not location:
        missing = "GOOGLE_CLOUD_LOCATION" if project else "GOOGLE_CLOUD_PROJECT"
        raise InputError(f"backend vertex: {missing} is not set: set the project, and a location such as europe-west4")
    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except DefaultCredentialsError as error:
        advice = "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"
        raise InputError(f"backend vertex finds no Google credentials: {advice}") from error
    delay_s = cloud_storage.FIRST_DELAY_S
    retries = types.HttpRetryOptions(attempts=cloud_storage.ATTEMPTS, initial_delay=delay_s, jitter=delay_s)
    client = Client(
        vertexai=True,
        project=project,
        location=location,
        credentials=credentials,
        http_options=types.HttpOptions(timeout=_TIMEOUT_MS, retry_options=retries),
    )
    host = "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
    address = (os.environ.get("GOOGLE_VERTEX_BASE_URL") or f"https://{host}").rstrip("/")
    return VertexBackend(client, cloud_storage.authorized_session(credentials), address, project, location, settings)
