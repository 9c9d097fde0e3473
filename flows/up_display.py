"""What `llmops up` shows while it runs: where everything is, and how many flow runs there are."""

import json
import os
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.supervised import Supervised
from flows.terminal import Terminal
from tasks.terminal_stages import clock

LOOK_SECONDS = 0.5
COUNT_SECONDS = 3.0
COUNTED_STATES = ("RUNNING", "PENDING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def addresses(home: Path, prefect_url: str, mlflow_url: str) -> Table:
    """Where everything is, and what to do in another shell."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("", "")
    table.add_row("Prefect", Text(prefect_url, "bold cyan"))
    table.add_row("MLflow", Text(mlflow_url, "bold cyan"))
    table.add_row("Logs", Text(str(home / "logs")))
    table.add_row("", "")
    table.add_row("In another shell", f"export PREFECT_API_URL={prefect_url}/api")
    table.add_row("", "prefect deployment run lifecycle/local")
    table.add_row("", "llmops run … uses these servers by itself (same home)")
    table.add_row("", "")
    table.add_row("Ctrl-C", "stops everything")
    return table


def watch(children: list[Supervised], terminal: Terminal) -> Supervised:
    """Show how things stand until a child ends, and return that child."""
    started = time.monotonic()
    counted_at, counts = 0.0, ""
    live = Live(console=terminal.err, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    with live if terminal.err.is_terminal else ExitStack():
        while True:
            for child in children:
                if child.status is not None:
                    return child
            now = time.monotonic()
            if terminal.err.is_terminal:
                if now - counted_at > COUNT_SECONDS:
                    counted_at, counts = now, count_runs()
                live.update(Text(f"up {clock(now - started)} · {counts}", "dim"), refresh=True)
            time.sleep(LOOK_SECONDS)


def count_runs() -> str:
    """How many flow runs there are in each state that has any."""
    said = []
    for state in COUNTED_STATES:
        body = json.dumps({"flow_runs": {"state": {"type": {"any_": [state]}}}}).encode()
        request = urllib.request.Request(
            f"{os.environ['PREFECT_API_URL']}/flow_runs/count", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                number = int(answer.read())
        except (OSError, ValueError):
            return "Prefect does not answer"
        if number:
            said.append(f"{number} {state.lower()}")
    return "flow runs: " + (", ".join(said) or "none yet")
