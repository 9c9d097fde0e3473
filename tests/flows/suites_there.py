"""Suites and a channel for `llmops up`, the dataset that they ask, and the webhook that is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa

from llmops.data import DatasetStore
from llmops.data.samples import SAMPLE_SCHEMA, sample_table

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
