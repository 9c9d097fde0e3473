"""`llmops up`: Prefect's server, MLflow's, the deployments and a worker, until Ctrl-C or until one of them dies."""

import logging
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from flows.continuity import Continuity, keep, read_continuity
from flows.deployments import deploy_all, make_work_pool, worker_answers
from flows.free_ports import require_free_port
from flows.running_servers import WORK_POOL, UpRecord, running_up, up_record_file, use_prefect
from flows.supervised import Supervised
from flows.terminal import Terminal, log_file
from flows.up_display import addresses, watch
from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.settings import settings
from tasks.crash_recovery import (
    ProcessIdentity,
    forget_own_record,
    note_server,
    recover_from_crashes,
)
from tasks.progress import show_stages, stage
from tasks.terminal_stages import TerminalStages

HOST = "127.0.0.1"
STARTUP_SECONDS = 180


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: a person or the system wants everything to stop."""


def up(prefect_port: int, mlflow_port: int, configs: Path = Path("configs")) -> int:
    """Start everything, keep it running and return the command's exit status.

    Args:
        prefect_port: where Prefect answers.
        mlflow_port: where MLflow answers.
        configs: folder of evaluation.yaml and notifications.yaml, from the project's own folder.

    Raises:
        InputError: a port is taken, a file of configs is wrong, or `llmops up` already runs on this home.
    """
    project = project_folder()
    home = settings().require_home()
    terminal = Terminal()
    # First of all, so that there is no moment at which a signal would leave something running.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _stop)
    with ExitStack() as at_the_end:
        try:
            at_the_end.enter_context(_only_one(home))
            require_free_ports(prefect_port, mlflow_port)
            terminal.quiet_the_libraries(log_file(home, "up"))
            show_stages(TerminalStages(terminal.err))
            at_the_end.callback(forget_own_record)
            continuity = read_continuity(project, configs)
            return _run(project, home, prefect_port, mlflow_port, continuity, terminal, at_the_end)
        except Stopped:
            terminal.say("Stopping…")
            return 0
        except LlmopsError as error:
            terminal.error(str(error))
            return error.exit_status


def _run(
    project: Path,
    home: Path,
    prefect_port: int,
    mlflow_port: int,
    continuity: Continuity,
    terminal: Terminal,
    at_the_end: ExitStack,
) -> int:
    prefect_url, mlflow_url = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}"
    os.environ["LLMOPS_HOME"] = str(home)
    os.environ["LLMOPS_MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_TRACKING_URI"] = mlflow_url
    use_prefect(f"{prefect_url}/api")
    children: list[Supervised] = []

    def start(name: str, module: str, arguments: list[str], environment: dict[str, str]) -> Supervised:
        log = log_file(home, name.lower().replace(" ", "-"))
        child = Supervised(name, module, arguments, log, environment, cwd=project)
        # What is started last is stopped first: the worker before the servers, or it would hang.
        at_the_end.callback(child.stop)
        note_server(child.pid)
        children.append(child)
        return child

    with stage("Servers") as line:
        start("Prefect server", *prefect_server(prefect_port))
        start("MLflow server", *mlflow_server(mlflow_port, home))
        wait_for(children, f"{prefect_url}/api/health")
        wait_for(children, f"{mlflow_url}/health")
        settings.cache_clear()
        found = recover_from_crashes(WORK_POOL)
        # Registered before the worker is started, and so run after it has been stopped.
        at_the_end.callback(_close_what_the_worker_left)
        line.finish(found.sentence if found else f"Prefect on port {prefect_port}, MLflow on port {mlflow_port}")
    with stage("Worker") as line:
        make_work_pool()
        start("Worker", *worker())
        wait_until(children, worker_answers, "the worker does not report to Prefect")
        line.finish(f"work pool {WORK_POOL}")
    with stage("Deployments") as line:
        line.finish(", ".join(deploy_all(project, log_file(home, "deploy"))))
    with stage("Suites") as line:
        line.finish(keep(continuity))
    at_the_end.callback(up_record_file(home).unlink, missing_ok=True)
    say_that_we_run(home, prefect_url, mlflow_url)
    terminal.out.print(addresses(home, prefect_url, mlflow_url))
    dead = watch(children, terminal)
    terminal.error(f"{dead.name} ended by itself (status {dead.status}); stopping the others. The end of {dead.log}:")
    for text in dead.last_lines():
        terminal.say(f"  {text}")
    return ServiceError.exit_status


def project_folder() -> Path:
    """The folder of prefect.yaml.

    Raises:
        InputError: there is none beside the flows.
    """
    folder = Path(__file__).parent.parent
    if not (folder / "prefect.yaml").is_file():
        raise InputError(f"there is no prefect.yaml in {folder}; run `llmops up` from a checkout of the project")
    return folder


def require_free_ports(prefect_port: int, mlflow_port: int) -> None:
    """Check that both servers can have their ports.

    Raises:
        InputError: one is taken, or both are the same.
    """
    if prefect_port == mlflow_port:
        raise InputError(f"--prefect-port and --mlflow-port are both {prefect_port}; give each its own")
    for option, port in (("--prefect-port", prefect_port), ("--mlflow-port", mlflow_port)):
        require_free_port(HOST, port, named=f"port {port}", advice=f"choose another with {option}")


def prefect_server(port: int) -> tuple[str, list[str], dict[str, str]]:
    """How Prefect's server is started, with its page."""
    arguments = ["--factory", "prefect.server.api.server:create_app", "--host", HOST, "--port", str(port)]
    environment = {
        # Without it the page calls port 4200 wherever it is served, and shows no runs.
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_UI_ENABLED": "true",
        "PREFECT__SERVER_FINAL": "1",
        # Registers the block types when they have changed, not at every start.
        "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "true",
    }
    return "uvicorn", [*arguments, "--log-level", "warning", "--timeout-graceful-shutdown", "3"], environment


def mlflow_server(port: int, home: Path) -> tuple[str, list[str], dict[str, str]]:
    """How MLflow's server is started: over the stores that a command without a server uses, too."""
    store = f"sqlite:///{home / 'mlflow.db'}"
    arguments = ["server", "--host", HOST, "--port", str(port), "--workers", "1", "--backend-store-uri", store]
    # Artifacts are written to the folder directly: what is written now can be read when no server runs.
    arguments += ["--default-artifact-root", str(home / "mlartifacts"), "--no-serve-artifacts"]
    return "mlflow", arguments, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_TRACKING_URI": store}


def worker() -> tuple[str, list[str], dict[str, str]]:
    """How the worker is started; its flow runs inherit our environment."""
    return (
        "prefect",
        ["worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", "llmops-up"],
        {
            # How often it asks for runs; ten seconds by default, which feels broken to whoever has just started one.
            "PREFECT_WORKER_QUERY_SECONDS": "2"
        },
    )


def wait_for(children: list[Supervised], url: str) -> None:
    """Wait until a server answers.

    Raises:
        ServiceError: a child died, or it took too long.
    """

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    wait_until(children, answers, f"{url} does not answer")


def wait_until(children: list[Supervised], condition: Callable[[], bool], complaint: str) -> None:
    """Wait for a condition for as long as every child lives.

    Raises:
        ServiceError: a child died, or it took too long.
    """
    until = time.monotonic() + STARTUP_SECONDS
    while not condition():
        for child in children:
            if child.status is not None:
                end = "\n  ".join(child.last_lines())
                raise ServiceError(f"{child.name} ended while it started; the end of {child.log}: {end}")
        if time.monotonic() > until:
            raise ServiceError(f"{complaint} after {STARTUP_SECONDS} s; the logs are in {settings().home / 'logs'}")
        time.sleep(0.2)


def say_that_we_run(home: Path, prefect_url: str, mlflow_url: str) -> None:
    """Let other commands on this home find our servers."""
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    record = UpRecord(owner=me, prefect_url=prefect_url, mlflow_url=mlflow_url)
    draft = up_record_file(home).with_suffix(".draft")
    draft.write_text(record.model_dump_json())
    draft.replace(up_record_file(home))


def _close_what_the_worker_left() -> None:
    """Leave nothing RUNNING, in Prefect and MLflow, as far as their servers still answer."""
    try:
        recover_from_crashes(WORK_POOL)
    except Exception:
        logging.getLogger(__name__).warning("not everything could be closed", exc_info=True)


def _only_one(home: Path) -> FileLock:
    # The system frees the lock when its holder dies, however it does.
    lock = FileLock(home / "up.lock", timeout=0)
    try:
        return lock.acquire().lock
    except Timeout as error:
        running = running_up(home)
        where = f" (process {running.owner.pid}, Prefect at {running.prefect_url})" if running else ""
        raise InputError(f"`llmops up` already runs on {home}{where}") from error


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # Once: a second Ctrl-C must not leave the children running.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    raise Stopped
