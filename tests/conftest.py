"""What tests share: a home of its own for each, one Prefect server, and a small task with a model that learns it."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.forked_commands import ForkedCommands, command_environment, forked_commands

# Before anything imports tasks or flows, whose import fixes where Prefect keeps its files.
_session_home = Path(tempfile.mkdtemp(prefix="llmops-tests-"))
_prefect_database = _session_home / "prefect-tables.db"
os.environ["LLMOPS_HOME"] = str(_session_home)
os.environ["OMP_NUM_THREADS"] = "1"
for name in ("MLFLOW_TRACKING_URI", "LLMOPS_MLFLOW_TRACKING_URI", "PREFECT_API_URL", "LLMOPS_PREFECT_API_URL"):
    os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that several processes end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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
def prefect_server() -> Iterator[str]:
    """One Prefect server for all tests that run flows; where its API answers, for commands in their own process."""
    (_session_home / "prefect").mkdir(parents=True, exist_ok=True)
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_LEVEL,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    import tasks  # noqa: F401 (Prefect is imported with our settings)

    # Stopping its heartbeats costs a flow run up to a second.
    settings = {PREFECT_LOGGING_LEVEL: "CRITICAL", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=180):
        file = str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition("///")[2]
        with closing(sqlite3.connect(file)) as database, closing(sqlite3.connect(_prefect_database)) as copy:
            database.backup(copy)
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def prefect_database(prefect_server: str) -> Path:
    """A Prefect database with its tables and nothing in them: making one takes seconds, copying it none."""
    return _prefect_database


@pytest.fixture(scope="session")
def llmops(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCommands]:
    """Commands that begin with everything imported; each is given its own home."""
    with forked_commands(command_environment(tmp_path_factory.mktemp("forked"), prefect_server)) as commands:
        yield commands


# A small task that is learnt in seconds: 5 names x 5 actions x 9 numbers.
PAIRS = [
    (f"{name} can {action} {number} times", f"{action}: {name} x{number}")
    for name in ("Ann", "Bob", "Eve", "Max", "Zoe")
    for action in ("run", "sing", "dance", "cook", "read")
    for number in range(9)
]


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small task as a JSONL file."""
    file = tmp_path_factory.mktemp("source") / "pairs.jsonl"
    file.write_text("".join(json.dumps({"input": text, "expected": right}) + "\n" for text, right in PAIRS))
    return file


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    """(input, expected) pairs of the small task, every fifth pair at the end, for validation."""
    validation = PAIRS[::5]
    return [pair for pair in PAIRS if pair not in validation] + validation


@pytest.fixture(scope="session")
def toy_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 100,000 random weights with a tokenizer of the small task's text."""
    import torch

    from llmops.finetuning import ScratchRecipe, resolve_base_model

    torch.set_num_threads(1)
    recipe = ScratchRecipe(vocabulary=400, hidden=64, layers=2, heads=2, intermediate=128, positions=96)
    texts = [text for pair in PAIRS for text in pair]
    models = tmp_path_factory.mktemp("models")
    return resolve_base_model("scratch", models_dir=models, scratch=recipe, texts=texts).path


@pytest.fixture(scope="session")
def half_trained(toy_base: Path, pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy model after a few epochs of the small task: it answers, and not always right."""
    from llmops.finetuning import TrainingConfig, train

    config = TrainingConfig(method="full", epochs=5, learning_rate=5e-3, batch_size=16)
    return train(toy_base, pairs[:180], [], config, tmp_path_factory.mktemp("half-trained")).model_path


@pytest.fixture(scope="session")
def put_toy_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Puts a random-weight model of toy size into a home where `tiny` is looked for, so that flows take seconds."""
    from llmops.finetuning import ScratchRecipe, resolve_base_model
    from llmops.finetuning.tiny import TinyRecipe, tiny_digest

    recipe = ScratchRecipe(vocabulary=400, hidden=32, layers=1, heads=2, intermediate=64, positions=256)
    texts = (Path(__file__).parents[1] / "datasets" / "support_tickets.jsonl").read_text().splitlines()
    toy = resolve_base_model("scratch", models_dir=tmp_path_factory.mktemp("m"), scratch=recipe, texts=texts).path

    def put(home: Path) -> None:
        shutil.copytree(toy, home / "models" / f"tiny-{tiny_digest(TinyRecipe())[:16]}")

    return put


@dataclass(frozen=True)
class ChatEndpoint:
    """A running `benchmarks.chat_endpoint`."""

    url: str

    @property
    def base_url(self) -> str:
        """What an OpenAI client is pointed at."""
        return f"{self.url}/v1"

    def seen(self) -> dict[str, Any]:
        """What it was asked: total, most_in_flight, asked, bodies."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/requests").json()
        return answer

    def answer(self, answers: Mapping[str, str]) -> None:
        """What it shall answer to which last user message."""
        httpx.post(f"{self.url}/answers", json=dict(answers), timeout=30)

    def answer_as(self, models: Mapping[str, str]) -> None:
        """What a model shall answer to anything else."""
        httpx.post(f"{self.url}/models", json=dict(models))

    def fail(self, *faults: Mapping[str, Any]) -> None:
        """How it shall fail next, see `benchmarks.chat_endpoint`."""
        httpx.post(f"{self.url}/faults", json=list(faults))


@contextmanager
def chat_endpoints() -> Iterator[Callable[..., ChatEndpoint]]:
    """What starts an OpenAI-compatible endpoint in a process of its own, which ends with the block."""
    with ExitStack() as at_the_end:

        def start(delay: float = 0.0) -> ChatEndpoint:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            command = [sys.executable, "-m", "benchmarks.chat_endpoint", "--port", str(port), "--delay", str(delay)]
            process = subprocess.Popen([*command, "--keep-bodies"], cwd=Path(__file__).parents[1])
            at_the_end.callback(process.wait)
            at_the_end.callback(process.kill)
            endpoint = ChatEndpoint(f"http://127.0.0.1:{port}")
            until = time.monotonic() + 30
            while True:
                try:
                    httpx.get(f"{endpoint.url}/requests")
                    return endpoint
                except httpx.TransportError:
                    assert time.monotonic() < until, "the endpoint did not start"
                    time.sleep(0.05)

        yield start


@pytest.fixture
def chat_endpoint() -> Iterator[Callable[..., ChatEndpoint]]:
    """Starts an OpenAI-compatible endpoint in a process of its own: ``chat_endpoint(delay=0.01)``."""
    with chat_endpoints() as start:
        yield start


@pytest.fixture(scope="module")
def lasting_chat_endpoint() -> Iterator[ChatEndpoint]:
    """The same, one for all tests of a file."""
    with chat_endpoints() as start:
        yield start()
