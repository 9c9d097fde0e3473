"""`llmops up`: everything starts, answers, runs a deployment, and stops together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows.catalogue import find_flows
from flows.running_servers import running_up
from flows.up import require_free_ports
from llmops.errors import InputError

PROJECT = Path(__file__).parents[2]


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


@dataclass
class Up:
    """A running `llmops up`."""

    process: "subprocess.Popen[str]"
    home: Path
    prefect_port: int
    mlflow_port: int
    environment: dict[str, str]

    def get(self, path: str) -> Any:
        """What Prefect answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.prefect_port}{path}", timeout=20) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """What Prefect's API answers."""
        url, header = f"http://127.0.0.1:{self.prefect_port}/api{path}", {"Content-Type": "application/json"}
        with urllib.request.urlopen(
            urllib.request.Request(url, json.dumps(body).encode(), header), timeout=20
        ) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, put_toy_tiny: Callable[[Path], None]) -> Iterator[Up]:
    """`llmops up` on a home of its own, ready."""
    home = tmp_path_factory.mktemp("up") / "home"
    put_toy_tiny(home)
    ours = ("LLMOPS_", "PREFECT_", "MLFLOW_", "_MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"LLMOPS_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    ports = free_port(), free_port()
    command = [sys.executable, "-m", "flows.cli", "up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    process = subprocess.Popen(
        command, cwd=home.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 180
    while running_up(home) is None:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    yield Up(process, home, *ports, environment)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=90)


service = pytest.mark.service


@service
def test_the_page_is_told_where_the_api_is_and_all_is_deployed(up: Up) -> None:
    assert up.get("/ui-settings")["api_url"] == f"http://127.0.0.1:{up.prefect_port}/api"
    with urllib.request.urlopen(f"http://127.0.0.1:{up.mlflow_port}/health", timeout=20) as answer:
        assert answer.status == 200
    deployments = up.post("/deployments/filter", {})
    # Beside them are the suites', see tests/flows/test_suites_up.py.
    assert sum(one["name"] == "local" for one in deployments) == len(find_flows("flows"))
    assert {one["work_pool_name"] for one in deployments} == {"llmops"}


@service
def test_a_second_one_on_the_same_home_is_refused(up: Up) -> None:
    command = [sys.executable, "-m", "flows.cli", "up", "--prefect-port", str(free_port())]
    done = subprocess.run(command, env=up.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"already runs on {up.home}" in done.stderr
    assert f"http://127.0.0.1:{up.prefect_port}" in done.stderr


@service
def test_a_deployment_runs_on_the_worker_and_writes_to_this_home(up: Up, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"input": f"in {row}", "expected": f"out {row}"}) + "\n" for row in range(40)))
    deployment = up.get("/api/deployments/name/prepare-dataset/local")
    body = {"state": {"type": "SCHEDULED"}, "parameters": {"source": str(source), "name": "rows"}}
    run = up.post(f"/deployments/{deployment['id']}/create_flow_run", body)
    until = time.monotonic() + 90
    while (state := up.get(f"/api/flow_runs/{run['id']}")["state_type"]) not in ("COMPLETED", "FAILED", "CRASHED"):
        assert time.monotonic() < until
        time.sleep(0.5)
    assert state == "COMPLETED"
    assert (up.home / "datasets" / "rows").is_dir()
    url = f"http://127.0.0.1:{up.mlflow_port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=rows"
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert json.load(answer)["experiment"]["artifact_location"].startswith(str(up.home))


@service
@pytest.mark.parametrize("command", ["prefect deploy --all", "prefect deployment run lifecycle/local"])
def test_the_guides_commands_work_from_another_shell(up: Up, command: str) -> None:
    environment = up.environment | {"PREFECT_API_URL": f"http://127.0.0.1:{up.prefect_port}/api"}
    words = [sys.executable, "-m", *command.split()]
    done = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@service
@pytest.mark.slow
def test_the_lifecycle_that_was_started_from_there_completes(up: Up) -> None:
    until = time.monotonic() + 200
    states: list[str] = []
    while states != ["COMPLETED"]:
        states = [
            run["state_type"] for run in up.post("/flow_runs/filter", {"flows": {"name": {"any_": ["lifecycle"]}}})
        ]
        assert not {"FAILED", "CRASHED"} & set(states)
        assert time.monotonic() < until, states
        time.sleep(0.5)


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
    for port in (up.prefect_port, up.mlflow_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
