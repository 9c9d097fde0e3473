"""The command itself: what it explains, what it refuses, and that it does not keep anyone waiting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.catalogue import find_flow, find_flows
from flows.cli import main
from llmops.errors import InputError

SPINE = {"lifecycle", "prepare-dataset", "tune", "fine-tune", "evaluate", "rollback"}


def test_help_imports_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; from flows.cli import main; status = main(['--help'])\n"
        "heavy = {'prefect', 'mlflow', 'torch', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("run", "list", "show", "up", "llmops run lifecycle --config configs/lifecycle.yaml"):
        assert command in " ".join(done.stdout.split())


def test_every_flow_of_the_design_is_found_with_a_summary() -> None:
    flows = find_flows("flows")
    assert set(flows) >= SPINE
    assert all(flow.summary.endswith(".") for flow in flows.values())


def test_a_new_file_is_a_new_flow_and_other_files_are_not(small_flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(small_flows))
    flows = find_flows("small_flows")
    # `whisper` is a flow too, but not the one its file is named for.
    assert [(flow.name, flow.module, flow.function, flow.summary) for flow in flows.values()] == [
        ("greet", "small_flows.greet", "greet", "Greet somebody in a tone.")
    ]


def test_an_unknown_flow_is_answered_with_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean lifecycle"):
        find_flow(find_flows("flows"), "lifecicle")
    assert find_flow(find_flows("flows"), "fine_tune").name == "fine-tune"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["launch"], "No such command 'launch'"),
        (["list", "flaws"], "'flaws' is not one of"),
        (["show", "dataset"], "Missing argument"),
        (["run", "lifecicle"], "did you mean lifecycle?"),
        (["up", "--prefect-port", "first"], "--prefect-port"),
        (["show", "dataset", "nothing"], "no dataset 'nothing'"),
        (["show", "run", "nothing"], "there is no run 'nothing'"),
        (["show", "model", "nothing"], "there is no model 'nothing'"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    done = llmops(arguments, tmp_path / "home")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert complaint in done.stderr


def test_looking_creates_no_database(tmp_path: Path) -> None:
    for what in ("datasets", "models", "runs"):
        done = llmops(["list", what], tmp_path / "home")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"No {what} yet" in done.stdout
    assert not (tmp_path / "home").exists()


def test_list_flows_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "flows", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert {row["flow"] for row in listed["flows"]} >= SPINE


def llmops(arguments: list[str], home: Path) -> "subprocess.CompletedProcess[str]":
    """The command on a home of its own."""
    ours = ("LLMOPS_", "PREFECT_", "MLFLOW_", "_MLFLOW_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-m", "flows.cli", *arguments]
    environment = {**kept, "LLMOPS_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
