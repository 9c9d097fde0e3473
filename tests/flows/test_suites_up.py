"""The files of suites and channels as `llmops up` reads them; what it makes of them is in `test_up.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.continuity import read_continuity
from llmops.errors import InputError
from tests.flows.suites_there import EVALUATION, NOTIFICATIONS, write_configs

PROJECT = Path(__file__).parents[2]


def test_without_the_files_there_are_no_suites_and_no_channels(tmp_path: Path) -> None:
    found = read_continuity(PROJECT, tmp_path)
    assert (found.suites, found.channels) == ({}, {})


@pytest.mark.parametrize(
    ("evaluation", "notifications", "said"),
    [
        (EVALUATION.replace("models: [openai/adder]", "models: []"), NOTIFICATIONS, "suites.sums.models: "),
        (EVALUATION, NOTIFICATIONS, "channels.test-hook: the environment variable TEST_HOOK_URL is not set"),
    ],
)
def test_a_broken_file_ends_up_in_one_line_before_anything_starts(
    tmp_path: Path, evaluation: str, notifications: str, said: str
) -> None:
    configs = write_configs(tmp_path / "configs", evaluation, notifications)
    command = [sys.executable, "-m", "flows.cli", "up", "--configs", str(configs)]
    environment = {**os.environ, "LLMOPS_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == InputError.exit_status
    (line,) = done.stderr.splitlines()
    assert said in line
    assert not list((tmp_path / "home" / "logs").glob("*prefect-server*"))
