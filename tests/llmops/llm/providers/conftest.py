"""What the tests of providers share: the third-party emulator, and a server that fails in ways it cannot."""

import asyncio
import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmops.llm.completions import ChatModel, Completion, Message, Parameters
from llmops.llm.providers import connect
from tests.emulators.aimock import Emulator, running_emulator

# Whatever the machine has set must not reach a test.
_SETTINGS = (
    *("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_VERSION"),
    *("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
    *("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"),
    *("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "GOOGLE_CLOUD_PROJECT"),
    *("GOOGLE_CLOUD_LOCATION", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_GENAI_API_VERSION"),
    *("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"),
    *("OLLAMA_HOST", "OLLAMA_API_KEY"),
)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without a key, address or home of any provider."""
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    return monkeypatch


@pytest.fixture
def point_at(no_settings: pytest.MonkeyPatch, service_account: Path) -> Callable[[str], None]:
    """Points every SDK at one address, by its own environment variables."""

    def point(url: str) -> None:
        settings = {
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": "test",
            "AZURE_OPENAI_ENDPOINT": url,
            "AZURE_OPENAI_API_KEY": "test",
            "OPENAI_API_VERSION": "2025-04-01-preview",
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "test",
            "GEMINI_API_KEY": "test",
            "GOOGLE_GEMINI_BASE_URL": url,
            "GOOGLE_VERTEX_BASE_URL": url,
            "GOOGLE_CLOUD_PROJECT": "some-project",
            "GOOGLE_CLOUD_LOCATION": "europe-west4",
            "GOOGLE_APPLICATION_CREDENTIALS": str(service_account),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "OLLAMA_HOST": url,
        }
        for name, value in settings.items():
            no_settings.setenv(name, value)

    return point


@pytest.fixture(scope="session")
def _models() -> Iterator[tuple[asyncio.Runner, dict[tuple[str, str], ChatModel]]]:
    models: dict[tuple[str, str], ChatModel] = {}
    with asyncio.Runner() as runner:
        yield runner, models
        for model in models.values():
            runner.run(model.close())


@pytest.fixture
def complete(_models: tuple[asyncio.Runner, dict[tuple[str, str], ChatModel]]) -> Callable[..., Completion]:
    """Asks a model: ``complete("openai/some-model", messages, max_tokens=5)``.

    The connected model is kept for the tests that follow, for connecting is what takes time.
    """
    runner, models = _models

    def ask(name: str, messages: Sequence[Message] = (), **parameters: Any) -> Completion:
        address = os.environ["OLLAMA_HOST"]
        if (name, address) not in models:
            models[name, address] = connect(name)
        said = messages or [{"role": "user", "content": "The capital of France?"}]
        return runner.run(models[name, address].complete(said, Parameters(**parameters), 120.0))

    return ask


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator, point_at: Callable[[str], None]) -> Emulator:
    """The emulator with nothing to answer yet; every SDK is pointed at it."""
    _emulator.reset()
    point_at(_emulator.url)
    return _emulator


@dataclass
class Received:
    """One request as it was on the wire, the names of its headers in lower case."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class RawServer:
    """Answers what it is told, or breaks off, whatever the protocol above HTTP."""

    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    always: dict[str, Any] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    dropped: threading.Event = field(default_factory=threading.Event)
    gate: threading.Barrier | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: Any = None, status: int = 200, headers: Mapping[str, str] = {}, kind: str = "answer") -> None:
        """How it shall answer next. Kinds: answer, hang (until the client leaves), cut (in the body), reset."""
        self.answers.append({"body": body, "status": status, "headers": dict(headers), "kind": kind})

    def wait_until_left(self) -> int:
        """Connections that are still open after a moment."""
        # boto3 closes a connection when nothing refers to its pool any more, and the traceback of an error does.
        gc.collect()
        until = time.monotonic() + 3
        while self.connections and time.monotonic() < until:
            time.sleep(0.01)
        return self.connections


def _handler(server: RawServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with server.lock:
                server.connections += 1

        def finish(self) -> None:
            with server.lock:
                server.connections -= 1
            super().finish()

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/token":
                self._answer({"body": {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}, "status": 200})
                return
            lower = {name.lower(): value for name, value in self.headers.items()}
            with server.lock:
                server.received.append(Received(self.path, lower, json.loads(sent)))
                told = server.answers.pop(0) if server.answers else {"body": server.always, "status": 200}
            if server.gate is not None:
                server.gate.wait(timeout=20)
            kind = told.get("kind", "answer")
            if kind == "answer":
                self._answer(told)
                return
            self.close_connection = True
            if kind == "hang":
                self.connection.settimeout(20)
                if self.connection.recv(1) == b"":
                    server.dropped.set()
            elif kind == "cut":
                self.wfile.write(
                    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"id"'
                )
                self.wfile.flush()
                time.sleep(0.02)

        def _answer(self, told: Mapping[str, Any]) -> None:
            body = told["body"] if isinstance(told["body"], bytes) else json.dumps(told["body"]).encode()
            self.send_response(told["status"])
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **told.get("headers", {})}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that left is no news."""


@contextmanager
def _listening() -> Iterator[RawServer]:
    told = RawServer()
    server = _Server(("127.0.0.1", 0), _handler(told))
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def raw_server(point_at: Callable[[str], None]) -> Iterator[RawServer]:
    """A server of the test's own, to which every SDK is pointed."""
    with _listening() as server:
        point_at(server.url)
        yield server


@pytest.fixture(scope="session")
def _shared_server() -> Iterator[RawServer]:
    with _listening() as server:
        yield server


@pytest.fixture
def shared_server(_shared_server: RawServer, point_at: Callable[[str], None]) -> RawServer:
    """The same server for all tests that ask with `complete`, with nothing told and nothing received."""
    _shared_server.answers.clear()
    _shared_server.received.clear()
    _shared_server.always = {}
    point_at(_shared_server.url)
    return _shared_server


@pytest.fixture(scope="session")
def service_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The key file of a Google service account, whose tokens a server of its own gives out."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "some-project",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "tests@some-project.iam.gserviceaccount.com",
    }
    file = tmp_path_factory.mktemp("google") / "service_account.json"
    with _listening() as server:
        file.write_text(json.dumps({**account, "token_uri": f"{server.url}/token"}))
        yield file
