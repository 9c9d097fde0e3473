"""`llmops run` as a person and a script meet it, on a small flow and with a Prefect server of its own."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.service


def states(home: Path, table: str) -> list[str]:
    """The states of all flow runs or task runs, read from Prefect's database after everything has ended."""
    with sqlite3.connect(home / "prefect" / "prefect.db") as database:
        return [state for (state,) in database.execute(f"SELECT state_type FROM {table}")]


def mlflow_states(home: Path) -> list[str]:
    """The states of all MLflow runs."""
    with sqlite3.connect(home / "mlflow.db") as database:
        return [state for (state,) in database.execute("SELECT status FROM runs")]


def processes_of(home: Path) -> list[psutil.Process]:
    """Processes that work on this home."""
    return [process for process in psutil.process_iter() if _home_of(process) == str(home)]


def _home_of(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get("LLMOPS_HOME")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def test_a_failed_gate_with_json(command_line: Any) -> None:
    (command_line.folder / "c.yaml").write_text("greet:\n  who: file\n  style: {voice: {words: [a]}}\n")
    done = command_line.run("greet", "--config", "c.yaml", "--times", "2", "--end", "failed", "--json")
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)  # the object, and nothing but the object
    assert answer["said"] == "hello file hello file"
    assert answer["style"] == {"polite": False, "voice": {"volume": 0.7, "words": ["a"]}}
    assert 0 < answer["timing"]["run_s"] < answer["timing"]["setup_s"] + 60
    assert "It said" in done.stderr
    assert "✓ Saying  said" in done.stderr
    assert "NOISE" not in done.stderr
    # Flow, subflow and task are recorded as ended although the server is gone, and so is the server.
    assert states(command_line.home, "flow_run") == ["COMPLETED", "COMPLETED"]
    assert set(states(command_line.home, "task_run")) == {"COMPLETED"}
    assert not processes_of(command_line.home)
    assert "NOISE of a warning" in "".join(file.read_text() for file in (command_line.home / "logs").glob("*greet*"))


def test_bad_input_is_one_line_and_starts_nothing(command_line: Any) -> None:
    done = command_line.run("greet", "--who", "x", "--times", "many")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--times" in done.stderr
    assert not processes_of(command_line.home)


def test_a_bug_is_one_line_that_says_where_the_traceback_is(command_line: Any, prefect_server: str) -> None:
    on_a_server = replace(command_line, settings={"LLMOPS_PREFECT_API_URL": prefect_server})
    done = on_a_server.run("greet", "--who", "x", "--end", "bug")
    assert done.returncode == 70
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "RuntimeError: the voice broke" in last
    log = Path(last.rpartition(" is in ")[2].rstrip(")"))
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(
    ("sent", "status", "last"), [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Terminated.")]
)
def test_a_signal_is_said_has_its_status_and_leaves_nothing_running(
    command_line: Any, sent: signal.Signals, status: int, last: str
) -> None:
    command = command_line.start("greet", "--who", "x", "--seconds", "60")
    _wait_for_task(command_line.home)
    command.send_signal(sent)
    _, said = command.communicate(timeout=60)
    assert command.returncode == status
    assert said.splitlines()[-1] == last
    assert "Traceback" not in said
    assert not {"RUNNING", "PENDING"} & {*states(command_line.home, "flow_run"), *states(command_line.home, "task_run")}
    assert "RUNNING" not in mlflow_states(command_line.home)
    assert not processes_of(command_line.home)


def test_ctrl_c_after_the_end_changes_nothing(command_line: Any) -> None:
    # Modules are taken apart last, when Python has given the signals back to the system.
    late = (
        "import os\n"
        "class Late:\n"
        "    def __init__(self): self.interrupt = lambda kill=os.kill, me=os.getpid(): kill(me, 2)\n"
        "    def __del__(self): self.interrupt()\n"
        "late = Late()\n"
    )
    python, _, code, *arguments = command_line.command("nobody")
    done = subprocess.run(
        [python, "-c", late + code, *arguments],
        cwd=command_line.folder,
        env=command_line.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, "the status of an unknown flow, not of an interruption"


def test_after_kill_9_the_next_command_leaves_nothing_running(command_line: Any) -> None:
    command = command_line.start("greet", "--who", "x", "--seconds", "60")
    _wait_for_task(command_line.home)
    os.kill(command.pid, signal.SIGKILL)
    command.communicate()
    assert "RUNNING" in states(command_line.home, "flow_run")
    assert "RUNNING" in mlflow_states(command_line.home)

    done = command_line.run("greet", "--who", "y")

    assert done.returncode == 0, done.stderr
    assert "Cleaned up after an earlier command that died" in done.stderr
    assert set(states(command_line.home, "flow_run")) <= {"COMPLETED", "CRASHED", "FAILED"}
    assert set(states(command_line.home, "task_run")) <= {"COMPLETED", "CRASHED", "FAILED"}
    assert set(mlflow_states(command_line.home)) <= {"FINISHED", "KILLED", "FAILED"}
    assert not processes_of(command_line.home)
    assert not list((command_line.home / "processes").glob("*.json"))


def _wait_for_task(home: Path) -> None:
    """Wait until the small flow's task is under way."""
    before = time.monotonic()
    while time.monotonic() - before < 90:
        try:
            if "RUNNING" in states(home, "task_run"):
                return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.1)
    pytest.fail("the task did not start")
