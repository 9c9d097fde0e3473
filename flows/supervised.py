"""A long-running program that must not outlive the command that started it, not even when that is killed by kill -9.

`Supervised` is the parent's side. The child's side is this module run as a program: it runs another module as
`python -m` would, and ends its whole process group as soon as it finds itself an orphan. Every child has a session
of its own, so that Ctrl-C reaches only the parent, which then stops its children in the right order.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

STOP_SECONDS = 15
# Every process inherits it, and so is found again wherever it has gone.
MARK = "LLMOPS_SUPERVISED"


class Supervised:
    """A child process that writes to a log file.

    Args:
        name: what a person calls it.
        module: what `python -m` shall run.
        arguments: its arguments.
        log: file that its output is appended to.
        environment: variables besides those of this process.
        pass_fds: open files that it inherits.
        cwd: its working directory; that of this process when left out.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        pass_fds: Sequence[int] = (),
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.supervised", str(os.getpid()), module, *arguments],
                env={**os.environ, **environment, MARK: self._mark},
                pass_fds=pass_fds,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process, which leads its process group."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask all that it started and then itself to end, wait for them, and kill what does not."""
        group, outside = self._family()
        # A worker gives each flow run a session of its own, and would kill it without a last word.
        _end(outside)
        # To the group, which is there even when its leader has been killed.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        _end(group)
        self._process.wait()

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _family(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """Its process group, and what else it or its children started, also what has lost its parent since."""
        group: list[psutil.Process] = []
        outside: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self._mark:
                    (group if os.getpgid(process.pid) == self.pid else outside).append(process)
        return group, outside

    def last_lines(self, number: int = 10) -> list[str]:
        """The end of its log."""
        with suppress(OSError):
            return self.log.read_text(errors="replace").splitlines()[-number:]
        return []


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=STOP_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def end_with(parent: int) -> None:
    """End this process and its group once its parent is gone: an orphan is given a new parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        # A worker gives each of its flow runs a session of its own: the group alone would leave them running.
        descendants = psutil.Process().children(recursive=True)
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        os.killpg(os.getpgrp(), signal.SIGTERM)
        time.sleep(STOP_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


if __name__ == "__main__":
    end_with(parent=int(sys.argv[1]))
    module_name = sys.argv[2]
    sys.argv = sys.argv[2:]
    runpy.run_module(module_name, run_name="__main__", alter_sys=True)
