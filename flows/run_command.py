"""`llmops run FLOW …`: one flow, here and now, from its options to its result and exit status."""

import asyncio
import importlib
import inspect
import json
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, cast

import click
import psutil
from filelock import FileLock
from pydantic import BaseModel
from pydantic_core import to_json

from flows.catalogue import FlowFile, find_flow, find_flows
from flows.flow_options import FlowCommand
from flows.flow_parameters import parameter_values, read_config
from flows.private_server import PrivateServer
from flows.running_servers import WORK_POOL, use_prefect, use_servers
from flows.terminal import Terminal, log_file
from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.settings import settings
from tasks.crash_recovery import (
    flow_run_tag,
    forget_own_record,
    note_flow_run,
    note_interruption,
    note_server,
    own_flow_runs,
    recover_from_crashes,
)
from tasks.progress import Stage, show_stages, stage
from tasks.progress_artifacts import flush_progress_artifacts
from tasks.terminal_stages import TerminalStages

INTERRUPTED = 130
TERMINATED = 143
UNEXPECTED = 70
FLUSH_SECONDS = 10.0
# The file that says that a home's databases have been set up.
READY = ".databases-are-set-up"
INTERRUPTED_FLUSH_SECONDS = 2.0

OF_THE_COMMAND = (
    click.Option(["--config"], metavar="FILE", help="YAML file with one section a flow; options win over it."),
    click.Option(["--json"], is_flag=True, help="Print the result as one JSON object, the last line of output."),
    click.Option(["--verbose"], is_flag=True, help="Show what the libraries below log and warn about."),
)


def run_command(arguments: Sequence[str], package: str = "flows") -> int:
    """Run a flow of a package as the command line says, and return the command's exit status.

    Args:
        arguments: the flow's name and its options.
        package: package whose files are the flows.
    """
    name, *options = arguments
    terminal = Terminal(json="--json" in options, verbose="--verbose" in options)
    stopped = _Stopped()
    # A shell starts background jobs with SIGINT ignored; whoever sends one means it.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, stopped.by)
    try:
        flow_file = find_flow(find_flows(package), name)
        if "--help" in options:
            return _print_help(flow_file)
        return _run(flow_file, options, package, terminal, stopped)
    except BaseException as error:  # noqa: BLE001  whatever it is, a person gets one line and a script a status
        return _report(error, stopped.status, name, terminal)
    finally:
        # Nothing is left to interrupt: Python's own end takes a second and must not change the status.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Stopped:
    """The signal that asked the command to end, if any.

    It is remembered, because what it interrupts may turn the exception into one of its own.
    """

    def __init__(self) -> None:
        self.status: int | None = None

    def by(self, number: int, _frame: FrameType | None) -> None:
        self.status = TERMINATED if number == signal.SIGTERM else INTERRUPTED
        if number == signal.SIGTERM:
            sys.exit(TERMINATED)
        raise KeyboardInterrupt


def _report(error: BaseException, stopped: int | None, name: str, terminal: Terminal) -> int:
    """Say in one line how a command ended that did not end well, and return its exit status."""
    if stopped is not None:
        terminal.say("Terminated." if stopped == TERMINATED else "Interrupted.")
        return stopped
    if isinstance(error, LlmopsError):
        terminal.error(str(error))
        return error.exit_status
    if isinstance(error, click.UsageError):
        terminal.error(f"{error.format_message()} (llmops run {name} --help lists the options)")
        return InputError.exit_status
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else UNEXPECTED
    return _report_unexpected(error, terminal)


def _run(flow_file: FlowFile, options: list[str], package: str, terminal: Terminal, stopped: _Stopped) -> int:
    home = settings().require_home()
    terminal.quiet_the_libraries(log_file(home, flow_file.name))
    show_stages(TerminalStages(terminal.err))
    with ExitStack() as at_the_end, ExitStack() as until_ready:
        # Two commands that set up one home at once would both create the tables.
        first_time = not (home / READY).exists()
        if first_time:
            until_ready.enter_context(FileLock(home / f"{READY}.lock"))
        # Bad input is one line: in a pipe nothing is said before the arguments are known to be good.
        with terminal.err.status("Starting…", spinner="dots"):
            server = _start_server(at_the_end) if use_servers(settings()) else None
            flow = _load(flow_file)
            arguments = _arguments(flow_file, flow, options, package)
        with stage("Starting") as line:
            line.update(0, None, "setting up the databases, this once" if first_time else "")
            _get_ready(server, line)
            (home / READY).touch()
        until_ready.close()
        if server is not None:
            at_the_end.enter_context(_without_heartbeats())
        outcome = _call(flow, arguments, at_the_end, stopped)
    return _show(outcome, terminal)


def _start_server(at_the_end: ExitStack) -> PrivateServer:
    """Start our own Prefect server, before the imports that take as long as it does."""
    (settings().home / "prefect").mkdir(exist_ok=True)
    server = PrivateServer(log_file(settings().home, "prefect-server"))
    at_the_end.callback(server.stop)
    note_server(server.pid)
    at_the_end.callback(forget_own_record)
    use_prefect(server.api_url, private=True)
    return server


def _load(flow_file: FlowFile) -> Any:
    return getattr(importlib.import_module(flow_file.module), flow_file.function)


def _command(flow_file: FlowFile, flow: Any) -> FlowCommand:
    text = inspect.getdoc(flow.fn) or ""
    about = text.partition("\nArgs:")[0].partition("\n\nRaises:")[0]
    return FlowCommand(f"llmops run {flow_file.name}", dict(flow.parameters), about, OF_THE_COMMAND)


def _arguments(flow_file: FlowFile, flow: Any, options: list[str], package: str) -> dict[str, Any]:
    command = _command(flow_file, flow)
    with command.make_context(command.name, list(options)) as context:
        file = context.params["config"]
        config = read_config(Path(file), flow_file.name, find_flows(package)) if file else None
        return parameter_values(flow.fn, dict(flow.parameters), command.typed_values(context), config)


def _get_ready(server: PrivateServer | None, line: Stage) -> None:
    """Wait for the Prefect server and bring MLflow's store up to date, both at once, then clean up after crashes."""
    store = threading.Thread(target=_open_mlflow_store, daemon=True)
    store.start()
    importlib.import_module("prefect.task_engine")  # needed in a moment; there is time for it now
    if server is not None:
        server.wait_until_ready()
    store.join()
    found = recover_from_crashes(WORK_POOL if server is not None else None)
    if found:
        line.finish(found.sentence)


def _without_heartbeats() -> AbstractContextManager[None]:
    """Nobody watches the heartbeats on a private server, and stopping them costs each flow up to a second."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    return cast("AbstractContextManager[None]", temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))


def _open_mlflow_store() -> None:
    """Touch MLflow's store once: a new SQLite file takes seconds to set up."""
    from mlflow import MlflowClient

    MlflowClient().search_experiments(max_results=1)


class _Outcome:
    def __init__(self, result: Any, setup_s: float, run_s: float) -> None:
        self.result = result
        self.timing = {"setup_s": round(setup_s, 3), "run_s": round(run_s, 3)}


def _call(flow: Any, arguments: Mapping[str, Any], at_the_end: ExitStack, stopped: _Stopped) -> _Outcome:
    from prefect import tags
    from prefect.context import TagsContext

    began: list[float] = []

    def on_running(_flow: Any, flow_run: Any, _state: Any) -> None:
        began.append(time.time())
        note_flow_run(flow_run.id)
        # The tag is for the flow run alone: for each tag of a task run Prefect asks its server for a slot, up to a
        # second every time. Lasts until the block of the tag ends.
        TagsContext(current_tags=set()).__enter__()

    watched = flow.with_options(on_running=[on_running, *flow.on_running_hooks])
    at_the_end.callback(_flush, stopped)
    called = time.time()
    with tags(flow_run_tag()):
        result = watched(**arguments)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
    start = began[0] if began else called
    return _Outcome(result, start - psutil.Process().create_time(), time.time() - start)


async def _awaited(result: Any) -> Any:
    return await result


def _flush(stopped: _Stopped) -> None:
    """Have everything written that is on its way to Prefect's server: progress, logs, events, task runs."""
    flush_progress_artifacts()
    if flow_runs := own_flow_runs():
        from flows.prefect_records import wait_for_records

        # A task run that was just being created never ends by itself.
        wait_for_records(flow_runs, INTERRUPTED_FLUSH_SECONDS if stopped.status is not None else FLUSH_SECONDS)
    if stopped.status is not None:
        note_interruption()


def _show(outcome: _Outcome, terminal: Terminal) -> int:
    result = outcome.result
    status = getattr(result, "exit_status", 0)
    if hasattr(result, "__rich__") or hasattr(result, "__rich_console__"):
        terminal.out.print(result, crop=False)  # tables keep to the width, commands are whole, to be copied
    elif result is not None:
        terminal.out.print(str(result), markup=False)
    if terminal.json:
        text = result.model_dump_json() if isinstance(result, BaseModel) else to_json({"result": result}, fallback=str)
        terminal.print_json(json.dumps({**json.loads(text), "timing": outcome.timing}))
    return int(status)


def _print_help(flow_file: FlowFile) -> int:
    warnings.simplefilter("ignore")
    command = _command(flow_file, _load(flow_file))
    with click.Context(command, info_name=command.name, max_content_width=110) as context:
        click.echo(command.get_help(context))
    return 0


def _report_unexpected(error: BaseException, terminal: Terminal) -> int:
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
    where = f" (the full traceback is in {terminal.log})" if terminal.log else ""
    terminal.error(f"{type(error).__name__}: {error}{where}")
    return ServiceError.exit_status if _is_lost_connection(error) else UNEXPECTED


def _is_lost_connection(error: BaseException | None) -> bool:
    """Whether a server or a service could not be reached, however the libraries have wrapped that."""
    import httpx
    import requests

    while error is not None:
        if isinstance(error, httpx.TransportError | requests.ConnectionError | requests.Timeout):
            return True
        error = error.__cause__ or error.__context__
    return False
