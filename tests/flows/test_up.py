"""`llmops up`: everything starts, answers, runs suites and deployments, tells who listens, and stops together."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows.catalogue import find_flows
from flows.running_servers import UpRecord, running_up
from flows.up import require_free_ports
from llmops.errors import InputError
from llmops.settings import Settings
from tasks.gate_events import announce_promotion
from tests.flows.suites_there import QUESTIONS, WRONG, Hook, publish_sums, write_configs

PROJECT = Path(__file__).parents[2]
QUICK = {"search": {"trials": 1}, "training": {"max_steps": 5}, "evaluation": {"max_new_tokens": 4}}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_taken_port_is_named_with_its_option() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(InputError, match=f"port {taken} .* --mlflow-port"):
            require_free_ports(free_port(), taken)
        with pytest.raises(InputError, match=f"port {taken} .* --prefect-port"):
            require_free_ports(taken, free_port())
    with pytest.raises(InputError, match="both 4200"):
        require_free_ports(4200, 4200)


def test_prefect_yaml_deploys_every_flow_by_its_own_parameters() -> None:
    import importlib

    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    flows = {f"flows/{flow.function}.py:{flow.function}": flow for flow in find_flows("flows").values()}
    assert {one["entrypoint"] for one in deployments} == set(flows)
    for one in deployments:
        assert one["work_pool"]["name"] == "llmops"
        flow = flows[one["entrypoint"]]
        known = dict(getattr(importlib.import_module(flow.module), flow.function).parameters)["properties"]
        assert set(one.get("parameters", {})) <= set(known)


@dataclass(frozen=True)
class Up:
    """A running `llmops up`, and what its suites ask and tell."""

    process: "subprocess.Popen[str]"
    home: Path
    record: UpRecord
    environment: dict[str, str]
    endpoint: Any
    hook: Hook

    def prefect(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What Prefect's API answers."""
        return ask(f"{self.record.prefect_api_url}{path}", body)

    def mlflow(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What MLflow's API answers."""
        return ask(f"{self.record.mlflow_url}/api/2.0/mlflow{path}", body)

    def news(self) -> list[str]:
        """What was announced of the suite `sums`, oldest first, as MLflow has it."""
        try:
            experiment = self.mlflow("/experiments/get-by-name?experiment_name=sums")["experiment"]["experiment_id"]
        except urllib.error.HTTPError as error:
            if error.code == 404:  # no such experiment yet
                return []
            raise
        body = {
            "experiment_ids": [experiment],
            "filter": "tags.`llmops.gate.announced` = 'yes'",
            "order_by": ["attributes.start_time ASC"],
        }
        tags = [
            {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
            for run in self.mlflow("/runs/search", body).get("runs", [])
        ]
        return [one["llmops.gate.event"] for one in tags if one["llmops.suite"] == "sums"]


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """What a server answers."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")


def wait_until(condition: Callable[[], bool], what: Callable[[], object], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what()
        time.sleep(0.3)


@pytest.fixture(scope="module")
def up(
    tmp_path_factory: pytest.TempPathFactory,
    put_toy_tiny: Callable[[Path], None],
    mlflow_database: Path,
    prefect_database: Path,
    lasting_chat_endpoint: Any,
) -> Iterator[Up]:
    """`llmops up` on a home of its own, ready."""
    home, hook = tmp_path_factory.mktemp("up") / "home", Hook()
    (home / "prefect").mkdir(parents=True)
    shutil.copy(mlflow_database, home / "mlflow.db")
    shutil.copy(prefect_database, home / "prefect" / "prefect.db")
    put_toy_tiny(home)
    publish_sums(home)
    lasting_chat_endpoint.answer(QUESTIONS)
    ours = ("LLMOPS_", "PREFECT_", "MLFLOW_", "_MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {
        "LLMOPS_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
        "OPENAI_BASE_URL": lasting_chat_endpoint.base_url,
        "OPENAI_API_KEY": "none is needed",
        "TEST_HOOK_URL": hook.url,
        "TEST_HOOK_TOKEN": "secret of the hook",
    }
    command = [sys.executable, "-m", "flows.cli", "up", "--configs", str(write_configs(home.parent / "configs"))]
    command += ["--prefect-port", str(free_port()), "--mlflow-port", str(free_port())]
    process = subprocess.Popen(
        command, cwd=home.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: running_up(home) is not None or process.poll() is not None, lambda: "it does not start")
        record = running_up(home)
        assert record is not None, process.communicate()
        yield Up(process, home, record, environment, lasting_chat_endpoint, hook)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)
        hook.close()


service = pytest.mark.service


# First: its suite runs every few seconds until it has been seen, and each run takes a processor for as long.
@service
@pytest.mark.slow
def test_one_notification_for_each_change_from_passing_to_failing(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: "passed" in up.news(), lambda: "no first run")
    up.endpoint.answer(WRONG)
    wait_until(lambda: "still_failing" in up.news(), lambda: f"did not go on failing: {up.news()}")
    assert len(up.hook.received) == 1
    up.endpoint.answer(QUESTIONS)
    wait_until(lambda: "recovered" in up.news(), lambda: f"did not recover: {up.news()}")
    up.endpoint.answer(WRONG)
    wait_until(lambda: len(up.hook.received) == 2, lambda: f"no second notification: {up.news()}")
    deployment = up.prefect("/deployments/name/evaluate-suite/sums")
    up.prefect(f"/deployments/{deployment['id']}/pause_deployment", {})

    the_link_opens_the_run(up, up.hook.received[0])
    a_promotion_runs_the_suites_of_that_model(up, monkeypatch)
    news = up.news()
    assert news[0] == "passed"
    assert [one for one in news if one in ("failed", "recovered")] == ["failed", "recovered", "failed"]
    assert len(up.hook.received) == 2, news


def the_link_opens_the_run(up: Up, received: tuple[str, dict[str, Any]]) -> None:
    token, body = received
    assert token == "secret of the hook"
    assert body["title"] == "sums: openai/adder fails its gate"
    link = next(word for word in body["text"].split() if word.startswith(up.record.mlflow_url))
    assert "xact match" in body["text"]
    with urllib.request.urlopen(link, timeout=20) as page:  # the page's own script reads what stands after the #
        assert page.status == 200
    run_id = link.rpartition("/")[2]
    run = up.mlflow(f"/runs/get?run_id={run_id}")["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (tags["llmops.suite"], tags["llmops.gate.event"]) == ("sums", "failed")
    assert link.split("/experiments/")[1].split("/")[0] == run["info"]["experiment_id"]


def a_promotion_runs_the_suites_of_that_model(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    here = Settings(prefect_api_url=up.record.prefect_api_url)
    monkeypatch.setattr("tasks.gate_events.settings", lambda: here)
    with temporary_settings({PREFECT_API_URL: up.record.prefect_api_url}):
        assert announce_promotion("adder", "2", "it is better")
    runs = {"flows": {"name": {"any_": ["evaluate-suite"]}}, "deployments": {"name": {"any_": ["local"]}}}
    wait_until(lambda: len(up.prefect("/flow_runs/filter", runs)) == 1, lambda: "the promotion ran nothing", 60)
    (run,) = up.prefect("/flow_runs/filter", runs)
    assert run["parameters"]["suite"] == "champion"


@service
def test_the_page_is_told_where_the_api_is_and_all_is_deployed(up: Up) -> None:
    assert ask(f"{up.record.prefect_url}/ui-settings")["api_url"] == up.record.prefect_api_url
    with urllib.request.urlopen(f"{up.record.mlflow_url}/health", timeout=20) as answer:
        assert answer.status == 200
    deployments = up.prefect("/deployments/filter", {})
    # Beside them are the suites'.
    assert sum(one["name"] == "local" for one in deployments) == len(find_flows("flows"))
    assert {one["work_pool_name"] for one in deployments} == {"llmops"}


@service
def test_a_second_one_on_the_same_home_is_refused(up: Up) -> None:
    command = [sys.executable, "-m", "flows.cli", "up", "--prefect-port", str(free_port())]
    done = subprocess.run(command, env=up.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"already runs on {up.home}" in done.stderr
    assert up.record.prefect_url in done.stderr


@service
@pytest.mark.parametrize("command", ["prefect deploy --all", "prefect deployment run lifecycle/local"])
def test_the_guides_commands_work_from_another_shell(up: Up, command: str) -> None:
    environment = up.environment | {"PREFECT_API_URL": up.record.prefect_api_url}
    # The lifecycle with settings that make it short.
    short = [f"--param={name}={json.dumps(of)}" for name, of in QUICK.items()] if "run" in command else []
    words = [sys.executable, "-m", *command.split(), *short]
    done = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@service
@pytest.mark.slow
def test_what_was_started_from_there_completes_on_the_worker_and_writes_to_this_home(up: Up) -> None:
    def state() -> str:
        (run,) = up.prefect("/flow_runs/filter", {"flows": {"name": {"any_": ["lifecycle"]}}})
        return str(run["state_type"])

    wait_until(lambda: state() in ("COMPLETED", "FAILED", "CRASHED"), state)
    assert state() == "COMPLETED"
    assert (up.home / "datasets" / "support").is_dir()
    experiment = up.mlflow("/experiments/get-by-name?experiment_name=support")["experiment"]
    assert experiment["artifact_location"].startswith(str(up.home))


@service
def test_when_one_dies_it_is_named_and_the_others_stop(up: Up) -> None:
    children = psutil.Process(up.process.pid).children(recursive=True)
    worker = next(child for child in children if "worker" in child.cmdline())
    worker.kill()
    _, said = up.process.communicate(timeout=90)
    assert up.process.returncode == 3
    assert "Worker ended by itself" in said
    (log,) = (up.home / "logs").glob("*-worker-*.log")
    assert log.read_text().splitlines()[-1] in said
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert running_up(up.home) is None
    for url in (up.record.prefect_url, up.record.mlflow_url):
        with pytest.raises(urllib.error.URLError, match="refused"):
            ask(url)
