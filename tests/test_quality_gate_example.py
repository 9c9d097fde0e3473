"""The example of a quality gate in CI: it is a workflow, and its commands are ones that there are."""

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.catalogue import find_flows
from llmops.evaluation.suites import read_suites

ROOT = Path(__file__).parents[1]
FILE = ROOT / ".github" / "workflows" / "quality-gate.yml.example"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text())
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["evaluate"]["steps"]
RUNS = [step["run"] for step in STEPS if "run" in step]


def test_it_is_a_workflow_that_ends_with_the_report() -> None:
    assert "pull_request" in WORKFLOW[True]  # YAML 1.1 reads `on` as true
    assert [step["uses"].partition("@")[0] for step in STEPS if "uses" in step] == [
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-artifact",
    ]
    assert STEPS[-1]["if"] == "always()"
    assert "result.json" in STEPS[-1]["with"]["path"]


@pytest.mark.parametrize("command", [line for run in RUNS for line in re.findall(r"llmops run [^|\n]+", run)])
def test_its_commands_have_those_options(command: str) -> None:
    name, *options = shlex.split(command)[2:]
    flow = find_flows("flows")[name]
    known = dict(getattr(importlib.import_module(flow.module), flow.function).parameters)
    given = {option.removeprefix("--") for option in options if option.startswith("--")} - {"json", "config"}
    assert set(known.get("required", [])) <= given <= set(known["properties"])


def test_its_suite_and_its_source_are_there() -> None:
    assert WORKFLOW["env"]["SUITE"] in read_suites(ROOT / "configs" / "evaluation.yaml")
    assert (ROOT / WORKFLOW["env"]["SOURCE"]).is_file()


def test_a_failed_gate_fails_the_step_through_the_pipe(tmp_path: Path) -> None:
    (step,) = [step for step in STEPS if "tee" in step.get("run", "")]
    (tmp_path / "llmops").write_text("#!/bin/sh\necho '{}'; exit 1\n")
    (tmp_path / "llmops").chmod(0o755)
    # As GitHub runs `shell: bash`.
    assert step["shell"] == "bash"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SUITE": "x", "CONTEXT": "pull-request-7"}
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True).returncode == 1


def test_the_summary_says_each_model_in_a_line(tmp_path: Path) -> None:
    (step,) = [step for step in STEPS if "GITHUB_STEP_SUMMARY" in step.get("run", "")]
    outcomes = [
        {"model": "openai/a", "passed": True, "sentence": "Not worse."},
        {"model": "openai/b", "passed": False, "sentence": "Worse."},
    ]
    (tmp_path / "result.json").write_text(json.dumps({"outcomes": outcomes}) + "\n")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "GITHUB_STEP_SUMMARY": "summary.md",
        "PYTHONUTF8": "1",
    }
    subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "summary.md").read_text().splitlines() == [
        "- ✅ **openai/a**: Not worse.",
        "- ❌ **openai/b**: Worse.",
    ]


def test_a_pull_requests_runs_are_never_those_of_main() -> None:
    (command,) = [step["run"] for step in STEPS if "evaluate-suite" in step.get("run", "")]
    assert '--context "$CONTEXT"' in command
    assert WORKFLOW["env"]["CONTEXT"].startswith("pull-request-")
