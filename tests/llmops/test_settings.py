"""Settings: the one place that reads the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmops.errors import InputError
from llmops.settings import Settings, apply_to_environment


def test_everything_is_under_the_home_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLMOPS_HOME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    chosen = Settings()
    assert chosen.home == tmp_path / ".llmops"
    assert chosen.tracking_uri == f"sqlite:///{tmp_path}/.llmops/mlflow.db"


@pytest.mark.parametrize("name", ["LLMOPS_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI"])
def test_a_server_is_taken_from_our_variable_or_mlflows_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:5999")
    assert Settings().tracking_uri == "http://127.0.0.1:5999"


def test_what_the_user_set_for_a_library_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFECT_HOME", "/elsewhere")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    apply_to_environment(Settings(home=tmp_path))
    assert os.environ["PREFECT_HOME"] == "/elsewhere"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_home_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .*LLMOPS_HOME"):
        Settings(home=tmp_path / "file" / "home").require_home()


def test_the_library_is_light_to_import() -> None:
    """A live application imports it: none of the heavy libraries may come along."""
    program = "import json, sys, llmops; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"prefect", "mlflow", "torch", "transformers", "pandas"}.isdisjoint(json.loads(done.stdout))


def test_only_settings_read_the_environment() -> None:
    root = Path(__file__).parents[2]
    sources = [file for folder in ("llmops", "tasks", "flows") for file in (root / folder).rglob("*.py")]
    readers = {file.relative_to(root).as_posix() for file in sources if "os.environ.get" in file.read_text()}
    readers |= {file.relative_to(root).as_posix() for file in sources if "getenv(" in file.read_text()}
    # The variables of the providers' SDKs and of other programs (llama.cpp, Python) are theirs; which ones hold a
    # channel's secrets is in its configuration.
    sdks = ("llmops/llm/providers/", "llmops/finetuning/backends/")
    theirs = {file for file in readers if file.startswith(sdks)}
    theirs |= {"tasks/notifications.py", "llmops/finetuning/gguf.py", "flows/serve_command.py"}
    assert readers - theirs <= {"llmops/settings.py"}
