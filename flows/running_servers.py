"""Which Prefect and MLflow servers a command uses: those that were set, those of a running `llmops up`, or its own."""

import os
import urllib.error
import urllib.request
from pathlib import Path

from pydantic import BaseModel, ValidationError

from llmops.errors import ServiceError
from llmops.settings import Settings, settings
from tasks.crash_recovery import ProcessIdentity

# The pool of the worker of `llmops up`, and of every deployment in prefect.yaml.
WORK_POOL = "llmops"


class UpRecord(BaseModel):
    """A running `llmops up`: who it is and where its servers answer."""

    owner: ProcessIdentity
    prefect_url: str
    mlflow_url: str

    @property
    def prefect_api_url(self) -> str:
        """Where Prefect's API answers."""
        return f"{self.prefect_url}/api"


def up_record_file(home: Path) -> Path:
    """Where a running `llmops up` says what it is."""
    return home / "up.json"


def running_up(home: Path) -> UpRecord | None:
    """The `llmops up` that runs on a home, if one does."""
    try:
        record = UpRecord.model_validate_json(up_record_file(home).read_text())
    except (OSError, ValidationError):
        return None
    return record if record.owner.alive() else None


def use_servers(chosen: Settings) -> bool:
    """Settle on the servers of this process before Prefect and MLflow are imported.

    Returns:
        Whether a Prefect server is still needed; MLflow always has its embedded store.

    Raises:
        ServiceError: a server that was set does not answer.
    """
    up = running_up(chosen.home)
    prefect = chosen.prefect_api_url or (up and up.prefect_api_url)
    mlflow = chosen.mlflow_tracking_uri or (up and up.mlflow_url)
    if prefect:
        require_answer("Prefect", f"{prefect.rstrip('/')}/health", prefect)
        use_prefect(prefect)
    if mlflow:
        if mlflow.startswith("http"):
            require_answer("MLflow", f"{mlflow.rstrip('/')}/health", mlflow)
        os.environ["LLMOPS_MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_TRACKING_URI"] = mlflow
    settings.cache_clear()
    return not prefect


def use_prefect(api_url: str, *, private: bool = False) -> None:
    """Use the Prefect server at this address; a private one is not made known to our settings, as it will not last."""
    os.environ["PREFECT_API_URL"] = api_url
    if not private:
        os.environ["LLMOPS_PREFECT_API_URL"] = api_url


def require_answer(name: str, health_url: str, address: str) -> None:
    """Check that a server answers.

    Raises:
        ServiceError: it does not.
    """
    try:
        with urllib.request.urlopen(health_url, timeout=10):
            return
    except urllib.error.HTTPError:
        # Something answers; whoever uses it will see whether it lets us in.
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ServiceError(f"the {name} server at {address} does not answer ({reason})") from error
