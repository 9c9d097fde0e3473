"""A home of its own for every test, a database made once, and one Prefect server for those that run flows."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports tasks or flows, whose import fixes where Prefect keeps its files.
_session_home = Path(tempfile.mkdtemp(prefix="llmops-tests-"))
os.environ["LLMOPS_HOME"] = str(_session_home)
os.environ["OMP_NUM_THREADS"] = "1"
for name in ("MLFLOW_TRACKING_URI", "LLMOPS_MLFLOW_TRACKING_URI", "PREFECT_API_URL", "LLMOPS_PREFECT_API_URL"):
    os.environ.pop(name, None)


def pytest_sessionfinish() -> None:
    shutil.rmtree(_session_home, ignore_errors=True)


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in it: making one takes seconds, copying it none."""
    from mlflow import MlflowClient

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def home(tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home with an MLflow store, which settings and MLflow use until the test ends."""
    import mlflow

    from llmops.settings import settings

    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(mlflow_database, folder / "mlflow.db")
    monkeypatch.setenv("LLMOPS_HOME", str(folder))
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder / "mlartifacts"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    settings.cache_clear()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    yield folder
    settings.cache_clear()


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One Prefect server for all tests that run flows."""
    (_session_home / "prefect").mkdir(parents=True, exist_ok=True)
    from prefect.settings import PREFECT_LOGGING_LEVEL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    import tasks  # noqa: F401 (Prefect is imported with our settings)

    with temporary_settings({PREFECT_LOGGING_LEVEL: "CRITICAL"}), prefect_test_harness(server_startup_timeout=180):
        yield
