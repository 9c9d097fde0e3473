"""What reaches the terminal: our own stages, results and errors, and nothing of the libraries below.

The two standard streams are redirected at the level of file descriptors, so that warnings, banners, progress bars,
log lines and tracebacks of any library (also of one written in C, also of a child process) go to a log file. What we
say ourselves goes through two consoles that keep the original streams.
"""

import logging
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import IO

from rich.console import Console

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s  %(message)s"


class Terminal:
    """The consoles of one command.

    Args:
        json: standard output is kept for one JSON object; everything else goes to standard error.
        verbose: what the libraries say is shown on standard error instead of being logged.
    """

    def __init__(self, *, json: bool = False, verbose: bool = False) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.json = json
        self.verbose = verbose
        self.log: Path | None = None
        self._stdout = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        self._stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self.err = _console(self._stderr)
        self.out = self.err if json else _console(self._stdout)

    def quiet_the_libraries(self, log: Path) -> None:
        """Send what anyone else writes to a log file from now on, or to standard error where verbose."""
        if self.verbose:
            target = os.dup(2)
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self.log = log
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)
        # A handler of ours on the root logger keeps Prefect from putting its console handler there.
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(LOG_FORMAT))
        logging.getLogger().addHandler(handler)

    def say(self, message: str, style: str = "") -> None:
        """One line about what is happening."""
        self.err.print(message, style=style, markup=False, soft_wrap=True)

    def error(self, message: str) -> None:
        """One line about what went wrong."""
        self.err.print(f"Error: {' '.join(message.split())}", style="red", markup=False, soft_wrap=True)

    def print_json(self, text: str) -> None:
        """The one object of `--json`, the last line of standard output."""
        write_line(self._stdout, text)


def _console(stream: IO[str]) -> Console:
    # In a pipe or a file there is no width to keep to, and a table should not be squeezed into 80 columns.
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 120)


def write_line(stream: IO[str], text: str) -> None:
    """Write and flush a line; a reader that has gone away is no error."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def log_file(home: Path, what: str) -> Path:
    """A new log file's name: when, and of what."""
    return home / "logs" / f"{datetime.now():%Y%m%d-%H%M%S}-{what}-{os.getpid()}.log"
