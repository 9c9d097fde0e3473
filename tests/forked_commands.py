"""`llmops` commands in processes of their own that begin with everything imported.

Importing is most of what a short command does, and a test of many commands pays it each time. Here one process imports
it all once and is forked for each command: what a command does, prints and ends with is its own, as ever, and it can
be interrupted and killed. Tests of how a command starts run `python -m flows.cli` instead.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

PROJECT = Path(__file__).parents[1]
# What a command imports only once it needs it, and takes long about.
IMPORTED = (
    *("torch", "transformers", "transformers.models.llama.modeling_llama", "peft", "sklearn.linear_model"),
    *("mlflow.store.tracking.sqlalchemy_workspace_store", "mlflow.store.model_registry.sqlalchemy_workspace_store"),
    *("prefect.task_engine", "prefect.flow_engine", "openai", "duckdb", "sacrebleu", "rapidfuzz.distance"),
)


class ForkedCommand:
    """A command that runs; used as a `subprocess.Popen` is, of which it has what is needed here.

    Attributes:
        returncode: its exit status, or minus the signal that ended it; None until that is known.
    """

    def __init__(self, arguments: Sequence[str], out: IO[str], err: IO[str], report: socket.socket) -> None:
        self.args = ["llmops", *arguments]
        self.returncode: int | None = None
        self._out, self._err, self._report = out, err, report
        self.pid = int(report.recv(16))

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        if self.returncode is None and select.select([self._report], [], [], 0)[0]:
            return self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""
        if self.returncode is None:
            self._report.settimeout(timeout)
            try:
                self.returncode = int(self._report.recv(16))
            except TimeoutError as error:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from error
            self._report.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as `kill -9` does, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; what it has written to its output and to its error output."""
        self.wait(timeout)
        with self._out, self._err:
            return _text(self._out), _text(self._err)


class ForkedCommands:
    """Runs commands, as many at once as are started."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def start(
        self, *arguments: str, cwd: Path = PROJECT, environment: Mapping[str, str] | None = None
    ) -> ForkedCommand:
        """Start `llmops ARGUMENTS`.

        Args:
            environment: in place of the one that they share. It may name another home, but Prefect's own variables
                were read before.
        """
        asked = {"arguments": arguments, "cwd": str(cwd), "environment": environment and dict(environment)}
        out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115  as long as the command
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            sent = [out.fileno(), err.fileno(), theirs.fileno()]
            socket.send_fds(self.connection, [json.dumps(asked).encode()], sent)
        return ForkedCommand(arguments, out, err, ours)

    def run(
        self, *arguments: str, cwd: Path = PROJECT, environment: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run `llmops ARGUMENTS` to its end."""
        command = self.start(*arguments, cwd=cwd, environment=environment)
        out, err = command.communicate()
        return subprocess.CompletedProcess(command.args, command.wait(), out, err)


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def command_environment(home: Path, prefect_server: str) -> dict[str, str]:
    """The environment of a command on that home, with that Prefect server and nothing else of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    kept.pop("_MLFLOW_SERVER_ARTIFACT_ROOT", None)
    return {**kept, "LLMOPS_HOME": str(home), "LLMOPS_PREFECT_API_URL": prefect_server}


@contextmanager
def forked_commands(environment: Mapping[str, str]) -> Iterator[ForkedCommands]:
    """A process that has imported everything, with this environment, and ends with the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-c", f"from tests.forked_commands import serve; serve({theirs.fileno()})"],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(PROJECT), environment.get("PYTHONPATH", "")])},
        cwd=PROJECT,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    try:
        yield ForkedCommands(ours)
    finally:
        ours.close()
        process.wait(60)


def serve(connection: int) -> None:
    """Import everything, then run what is asked for in a child each, until nobody can ask any more."""
    import importlib

    from flows.catalogue import find_flows

    for name in ("flows.run_command", *(flow.module for flow in find_flows("flows").values()), *IMPORTED):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for a command
    asked = socket.socket(fileno=connection)
    while True:
        request, files, _, _ = socket.recv_fds(asked, 1_000_000, 3)
        if not request:
            return
        if os.fork() == 0:
            asked.close()
            _wait_for_one(json.loads(request), files)
        for file in files:
            os.close(file)


def _wait_for_one(request: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    """Run a command in a child and report that child's id, and its status when it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, report = files
    child = os.fork()
    if child == 0:
        os.close(report)
        _run(request, streams)
    with socket.socket(fileno=report) as told:
        told.send(str(child).encode())
        _, status = os.waitpid(child, 0)
        told.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(request: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    from flows.cli import program
    from llmops.settings import apply_to_environment, settings

    os.setsid()  # a group of its own, which can be interrupted as a terminal does
    for stream, number in zip(streams, (1, 2), strict=True):
        os.dup2(stream, number)
    os.chdir(request["cwd"])
    if request["environment"] is not None:
        os.environ.clear()
        os.environ.update(request["environment"])
        settings.cache_clear()
        apply_to_environment(settings())
    sys.argv = ["llmops", *request["arguments"]]
    program()
    raise AssertionError("a command ends its process")
