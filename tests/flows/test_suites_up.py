"""Continuous evaluation as a team has it: a scheduled suite under `llmops up`, and who is told what, how often."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.continuity import read_continuity
from flows.running_servers import UpRecord, running_up
from llmops.data import DatasetStore
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.errors import InputError

PROJECT = Path(__file__).parents[2]

QUESTIONS = {f"What is {number} plus {number}?": str(2 * number) for number in range(30)}
WRONG = dict.fromkeys(QUESTIONS, "I would rather not say.")

EVALUATION = """
suites:
  sums:
    dataset: sums
    models: [openai/adder]
    metrics: [exact_match]
    gate: {primary: exact_match, margins: {exact_match: 0.3}}
    schedule: {interval: 4}
  champion:
    dataset: sums
    models: ["models:/adder@champion"]
    on_promotion: true
"""
NOTIFICATIONS = """
channels:
  test-hook:
    type: webhook
    url_from: TEST_HOOK_URL
    headers: {X-Token: "{{token}}"}
    secrets_from: {token: TEST_HOOK_TOKEN}
"""


def write_configs(folder: Path, evaluation: str = EVALUATION, notifications: str = NOTIFICATIONS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.yaml").write_text(evaluation)
    (folder / "notifications.yaml").write_text(notifications)
    return folder


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


class Hook:
    """A webhook that keeps what it was sent."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.received.append((self.headers["X-Token"], json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/notify"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@dataclass(frozen=True)
class Up:
    """A running `llmops up`."""

    record: UpRecord
    environment: dict[str, str]

    def prefect(self, path: str, body: dict[str, Any]) -> Any:
        """What Prefect's API answers."""
        return ask(f"{self.record.prefect_api_url}{path}", body)

    def news(self) -> list[str]:
        """What was announced of the suite `sums`, oldest first, as MLflow has it."""
        url = f"{self.record.mlflow_url}/api/2.0/mlflow"
        experiment = ask(f"{url}/experiments/get-by-name?experiment_name=sums")["experiment"]["experiment_id"]
        body = {
            "experiment_ids": [experiment],
            "filter": "tags.`llmops.gate.announced` = 'yes'",
            "order_by": ["attributes.start_time ASC"],
        }
        tags = [
            {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
            for run in ask(f"{url}/runs/search", body).get("runs", [])
        ]
        return [one["llmops.gate.event"] for one in tags if one["llmops.suite"] == "sums"]


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """What a server answers."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:  # MLflow: no such experiment yet
            return {"experiment": {"experiment_id": "0"}}
        raise


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.3)


@contextmanager
def running(home: Path, configs: Path, environment: dict[str, str]) -> Iterator[Up]:
    """`llmops up` on a home, ready."""
    command = [sys.executable, "-m", "flows.cli", "up", "--configs", str(configs)]
    command += ["--prefect-port", str(free_port()), "--mlflow-port", str(free_port())]
    process = subprocess.Popen(
        command, cwd=home.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: running_up(home) is not None or process.poll() is not None, "it does not start")
        assert process.poll() is None, process.communicate()
        record = running_up(home)
        assert record is not None
        yield Up(record, environment)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


def publish_sums(home: Path) -> None:
    """A dataset whose questions all stand in the test split."""
    columns = {
        "input": pa.chunked_array([list(QUESTIONS)], pa.string()),
        "expected": pa.chunked_array([list(QUESTIONS.values())], pa.string()),
    }
    table = sample_table(**columns)
    split = SAMPLE_SCHEMA.get_field_index("split")
    splits = pa.array(["test"] * len(QUESTIONS), pa.string())
    DatasetStore(home / "datasets").publish("sums", table.set_column(split, SAMPLE_SCHEMA.field(split), splits))


@pytest.mark.service
@pytest.mark.slow
def test_one_notification_for_each_change_from_passing_to_failing(
    tmp_path: Path, chat_endpoint: Callable[..., Any]
) -> None:
    home, hook, endpoint = tmp_path / "home", Hook(), chat_endpoint()
    publish_sums(home)
    endpoint.answer(QUESTIONS)
    ours = ("LLMOPS_", "PREFECT_", "MLFLOW_", "_MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {
        "LLMOPS_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
        "OPENAI_BASE_URL": endpoint.base_url,
        "OPENAI_API_KEY": "none is needed",
        "TEST_HOOK_URL": hook.url,
        "TEST_HOOK_TOKEN": "secret of the hook",
    }
    with running(home, write_configs(tmp_path / "configs"), environment) as up:
        wait_until(lambda: "passed" in up.news(), "no first run")

        endpoint.answer(WRONG)
        wait_until(lambda: up.news().count("still_failing") >= 1, f"did not go on failing: {up.news()}")
        assert len(hook.received) == 1

        endpoint.answer(QUESTIONS)
        wait_until(lambda: "recovered" in up.news(), "did not recover")
        endpoint.answer(WRONG)
        wait_until(lambda: up.news().count("still_failing") >= 2, "did not fail again")
        wait_until(lambda: len(hook.received) == 2, "no second notification", 60)

        the_link_opens_the_run(up, hook.received[0])
        a_promotion_runs_the_suites_of_that_model(up)
        news = up.news()
        assert len(hook.received) == news.count("failed") == 2, news
    hook.close()
    assert news[0] == "passed"
    changes = [one for one in news if one in ("failed", "recovered")]
    assert changes == ["failed", "recovered", "failed"]


def the_link_opens_the_run(up: Up, received: tuple[str, dict[str, Any]]) -> None:
    token, body = received
    assert token == "secret of the hook"
    assert body["title"] == "sums: openai/adder fails its gate"
    link = next(word for word in body["text"].split() if word.startswith(up.record.mlflow_url))
    assert "xact match" in body["text"]
    with urllib.request.urlopen(link, timeout=20) as page:  # the page's own script reads what stands after the #
        assert page.status == 200
    run_id = link.rpartition("/")[2]
    run = ask(f"{up.record.mlflow_url}/api/2.0/mlflow/runs/get?run_id={run_id}")["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (tags["llmops.suite"], tags["llmops.gate.event"]) == ("sums", "failed")
    assert link.split("/experiments/")[1].split("/")[0] == run["info"]["experiment_id"]


def a_promotion_runs_the_suites_of_that_model(up: Up) -> None:
    code = "from tasks.gate_events import announce_promotion as say; assert say('adder', '2', 'it is better')"
    environment = up.environment | {"LLMOPS_PREFECT_API_URL": up.record.prefect_api_url}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    runs = {"flows": {"name": {"any_": ["evaluate-suite"]}}, "deployments": {"name": {"any_": ["local"]}}}
    wait_until(lambda: len(up.prefect("/flow_runs/filter", runs)) == 1, "the promotion ran nothing", 60)
    (run,) = up.prefect("/flow_runs/filter", runs)
    assert run["parameters"]["suite"] == "champion"
