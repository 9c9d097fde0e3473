"""Small flows in a package of their own, and the command line run on them as a person would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.emulators.openai_fine_tuning_server import serving
from tests.emulators.tuning_provider import TuningProvider

PROJECT = Path(__file__).parents[2]

GREET = '''
"""A flow that greets."""

import time
import warnings
from typing import Literal

from prefect import flow, get_run_logger, task
from pydantic import BaseModel, ConfigDict, Field

from llmops.errors import InputError, ServiceError
from tasks.progress import stage
from tasks.tracking import tracked_run


class Voice(BaseModel):
    model_config = ConfigDict(extra="forbid")
    volume: float = Field(default=0.5, gt=0, le=1, description="How loud.")
    words: list[str] = []


class Style(BaseModel):
    model_config = ConfigDict(extra="forbid")
    polite: bool = False
    voice: Voice = Voice()


class Greeting(BaseModel):
    said: str
    style: Style
    passed: bool

    @property
    def exit_status(self) -> int:
        return 0 if self.passed else 1

    def __rich__(self) -> str:
        return f"It said {self.said!r}"


@task
def say(who: str, seconds: float) -> str:
    with stage("Saying") as line:
        line.update(1, 2, "hel")
        time.sleep(seconds)
        line.finish("said")
    return f"hello {who}"


@flow
def whisper(who: str, seconds: float) -> str:
    with tracked_run("whisper", experiment="greetings"):
        return say(who, seconds)


@flow
def greet(
    who: str,
    times: int = 1,
    tone: Literal["warm", "cool"] = "warm",
    style: Style = Style(voice=Voice(volume=0.7)),
    seconds: float = 0.0,
    end: str = "passed",
) -> Greeting:
    """Greet somebody in a tone.

    Args:
        who: whom to greet.
        times: how often.
        style: how it is done.
    """
    warnings.warn("NOISE of a warning")
    print("NOISE of a print")
    get_run_logger().error("NOISE of a log")
    with tracked_run("greet", experiment="greetings"):
        said = whisper(who, seconds)
        if end == "input":
            raise InputError("names.txt, line 3: no such person")
        if end == "service":
            raise ServiceError("the telephone exchange does not answer")
        if end == "bug":
            raise RuntimeError("the voice broke")
    return Greeting(said=" ".join([said] * times), style=style, passed=end == "passed")
'''


@dataclass(frozen=True)
class CommandLine:
    """`llmops` on a home and a package of flows of its own."""

    home: Path
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        """A clean environment that names the home and finds the package, with the settings."""
        ours = ("LLMOPS_", "PREFECT_", "MLFLOW_", "_MLFLOW_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {
            **kept,
            "LLMOPS_HOME": str(self.home),
            "PYTHONPATH": f"{PROJECT}{os.pathsep}{self.folder}",
            **self.settings,
        }

    def command(self, *arguments: str) -> list[str]:
        """The command that runs one of the package's flows."""
        code = (
            "import sys; from flows.run_command import run_command; sys.exit(run_command(sys.argv[1:], 'small_flows'))"
        )
        return [sys.executable, "-c", code, *arguments]

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture(scope="session")
def small_flows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `small_flows`, which holds the flow `greet`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "small_flows").mkdir()
    settings = "from llmops.settings import apply_to_environment, settings\n\napply_to_environment(settings())\n"
    (folder / "small_flows" / "__init__.py").write_text(settings)
    (folder / "small_flows" / "greet.py").write_text(GREET)
    return folder


@pytest.fixture(scope="session")
def command_line(small_flows: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line on one home for all tests, so that its databases are set up once."""
    return CommandLine(tmp_path_factory.mktemp("cli") / "home", small_flows)


@pytest.fixture
def import_greet(small_flows: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Imports the small flow into the test's own process."""

    def load() -> object:
        import importlib

        monkeypatch.syspath_prepend(str(small_flows))
        return importlib.import_module("small_flows.greet").greet

    return load


@pytest.fixture(scope="session")
def datasets(
    tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path, pairs_file: Path, prefect_server: str
) -> Path:
    """The datasets of a home in which the small task is published as `toy`."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copy(mlflow_database, folder / "mlflow.db")
    import mlflow

    from flows.prepare_dataset import prepare_dataset
    from llmops.settings import settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMOPS_HOME", str(folder))
        settings.cache_clear()
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        prepare_dataset(str(pairs_file), "toy")
    settings.cache_clear()
    return folder / "datasets"


@pytest.fixture
def toy(datasets: Path, home: Path) -> Path:
    """A home with the dataset `toy`."""
    shutil.copytree(datasets, home / "datasets")
    return home


@pytest.fixture
def provider(pairs: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[TuningProvider]:
    """OpenAI and Azure OpenAI, as their SDK finds them."""
    with serving(TuningProvider(knows=dict(pairs))) as running:
        assert isinstance(running, TuningProvider)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "a-key")
        for name, value in {
            "AZURE_OPENAI_ENDPOINT": running.url,
            "AZURE_OPENAI_API_KEY": "a-key",
            "OPENAI_API_VERSION": "v1",
            "AZURE_SUBSCRIPTION_ID": "a-subscription",
            "AZURE_RESOURCE_GROUP": "a-group",
            "AZURE_MANAGEMENT_ENDPOINT": running.url,
            "AZURE_MANAGEMENT_TOKEN": "a-token",
        }.items():
            monkeypatch.setenv(name, value)
        yield running
        running.go_on.set()
