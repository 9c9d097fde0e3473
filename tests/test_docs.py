"""Every command that README and docs/ show in a `sh` block is run here, in the order of the pages."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from llmops.data.validation.rules import RULES
from tests.forked_commands import ForkedCommands, command_environment

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "docs/datasets.md",
    "docs/fine-tuning.md",
    "docs/tuning.md",
    "docs/evaluation.md",
    "docs/continuous-evaluation.md",
    "docs/operations.md",
    "docs/serving.md",
)

# Commands that run elsewhere: the servers in a test of their own, the two of the Makefile by whoever runs this.
ELSEWHERE = {
    "make run": "README.md",
    "make test": ".ci/run",
    "llmops up": "tests/flows/test_up.py",
    "export PREFECT_API_URL=http://127.0.0.1:4200/api": "tests/flows/test_up.py",  # there with its own port
    "prefect deployment run lifecycle/local": "tests/flows/test_up.py",
    "prefect deploy --all": "tests/flows/test_up.py",
    "llmops serve-model support --port 8000": "tests/flows/test_serve_model.py",  # there with its own port
    "OPENAI_BASE_URL=http://127.0.0.1:8000/v1 llmops run evaluate --dataset support --model openai/support": (
        "tests/flows/test_serve_model.py"
    ),
}


def commands() -> list[str]:
    """The commands, each once."""
    blocks = [block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S)]
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line and line not in ELSEWHERE and not in_process(line)))


def in_process(command: str) -> bool:
    """Whether the command is a variant of one that runs here, run faster in tests/flows/test_prepare_dataset.py."""
    return "--preparation.validation" in command or "--preparation.augmentation" in command


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, put_toy_tiny: Callable[[Path], None], mlflow_database: Path) -> Path:
    """A home where the base model `tiny` is of toy size, so that the commands as written take seconds."""
    folder = tmp_path_factory.mktemp("docs") / "home"
    put_toy_tiny(folder)
    shutil.copy(mlflow_database, folder / "mlflow.db")
    return folder


def give_it_a_champion(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions of `support`, as after two promotions: what a toy model cannot earn."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    client = MlflowClient()
    first = client.search_model_versions("name = 'support'")[0]
    second = client.create_model_version("support", first.source, first.run_id)
    client.set_registered_model_alias("support", "previous", str(first.version))
    client.set_registered_model_alias("support", "champion", str(second.version))


@pytest.mark.service
@pytest.mark.slow
def test_every_command_shown_works(
    home: Path, prefect_server: str, llmops: ForkedCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One server for all of them; a command with a server of its own is what tests/flows/test_cli_run.py is about.
    environment = command_environment(home, prefect_server)
    given = False
    for command in commands():
        if "champion" in command and not given:
            give_it_a_champion(home, monkeypatch)
            given = True
        words = shlex.split(command)
        if words[0] == "llmops":
            done = llmops.run(*words[1:], environment=environment)
        else:
            done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        # A toy model may fail its gate; anything above 1 is a command that does not do what the page says.
        assert done.returncode in (0, 1), f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr, command


def test_commands_that_run_elsewhere_are_there() -> None:
    for command, file in ELSEWHERE.items():
        words = command.partition("=")[0].removeprefix("export ").removeprefix("llmops ")
        assert words in (ROOT / file).read_text(), f"{file} does not run: {command}"


def test_the_guide_lists_every_rule_with_its_severity_and_weight() -> None:
    text = (ROOT / "docs/datasets.md").read_text()
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.severity} | {rule.weight:g} | {rule.advice} |" in text
