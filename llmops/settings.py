"""Where everything rests and which servers are used: the one place that reads the environment.

Every field can be set as ``LLMOPS_<FIELD>``. With nothing set, all of it lives under ``./.llmops``: MLflow and
Prefect on SQLite there, data sets and models in folders beside them.
"""

import os
from functools import cache
from pathlib import Path

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmops.errors import InputError


class Settings(BaseSettings):
    """The settings of this installation.

    ``mlflow_tracking_uri`` and ``prefect_api_url`` also answer to the names that MLflow and Prefect give them
    (``MLFLOW_TRACKING_URI``, ``PREFECT_API_URL``), so that a worker or an existing server is picked up; where S3
    is, to those of the AWS SDKs. (Credentials of S3 are read by the library that talks to it.)
    """

    model_config = SettingsConfigDict(env_prefix="LLMOPS_", populate_by_name=True, extra="ignore")

    home: Path = Field(default=Path(".llmops"), description="Folder that holds everything this system keeps.")
    mlflow_tracking_uri: str | None = Field(
        default=None, validation_alias=AliasChoices("LLMOPS_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI")
    )
    prefect_api_url: str | None = Field(
        default=None, validation_alias=AliasChoices("LLMOPS_PREFECT_API_URL", "PREFECT_API_URL")
    )
    s3_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("LLMOPS_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    )
    s3_region: str | None = Field(
        default=None, validation_alias=AliasChoices("LLMOPS_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
    )
    model_catalogue: Path | None = Field(
        default=None, description="YAML file of models that come on top of configs/models.yaml, or in place of its own."
    )
    training_prices: Path | None = Field(
        default=None, description="YAML file of prices on top of configs/fine_tuning.yaml, or in place of its own."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def tracking_uri(self) -> str:
        """The MLflow server's address, or the embedded SQLite store."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    def require_home(self) -> Path:
        """Create the home and prove that it can be written.

        Raises:
            InputError: it cannot be created or written.
        """
        probe = self.home / f".write-probe-{os.getpid()}"
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"the home {self.home} cannot be written ({error.strerror}); set LLMOPS_HOME to a folder that can"
            ) from error
        return self.home


@cache
def settings() -> Settings:
    """The settings of this process, read from the environment once."""
    return Settings()


def apply_to_environment(chosen: Settings) -> None:
    """Hand our settings to the libraries below, which read their own variables when first imported.

    Must run before the first import of prefect, mlflow, transformers or huggingface_hub. What the user has set
    for a library stands; telemetry, update checks and calls home are off unless the user turned them on.
    """
    defaults = {
        "DO_NOT_TRACK": "1",
        "MLFLOW_TRACKING_URI": chosen.tracking_uri,
        # MLflow's own name for the artifact root of an embedded store; without it a run writes ./mlruns.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(chosen.home / "mlartifacts"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Without it `mlflow server` starts a job runner and several worker processes that nothing here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PREFECT_HOME": str(chosen.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Busy-waiting OpenMP threads starve whatever else runs on a small machine.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    if chosen.prefect_api_url:
        defaults["PREFECT_API_URL"] = chosen.prefect_api_url
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
