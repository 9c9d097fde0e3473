"""aimock, a third-party emulator of model providers, as a server of the tests (`npm ci --prefix tests/emulators`)."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

FOLDER = Path(__file__).parent
PROGRAM = FOLDER / "node_modules/@copilotkit/aimock/dist/cli.js"


@dataclass(frozen=True)
class Emulator:
    """A running aimock, which speaks the protocols of all these providers."""

    url: str

    def answer(self, message: str, response: Mapping[str, Any]) -> None:
        """What it shall answer where the last user message holds a text."""
        fixture = {"match": {"userMessage": message}, "response": dict(response)}
        httpx.post(f"{self.url}/__aimock/fixtures", json={"fixtures": [fixture]}).raise_for_status()

    def reset(self) -> None:
        """Forget the answers, the requests, and the files and jobs."""
        httpx.post(f"{self.url}/__aimock/reset").raise_for_status()

    def received(self) -> list[dict[str, Any]]:
        """The requests since the last reset: path, headers, and body as it understood it (in OpenAI's form)."""
        journal: list[dict[str, Any]] = httpx.get(f"{self.url}/__aimock/journal").json()
        return journal


@contextmanager
def running_emulator() -> Iterator[Emulator]:
    """The emulator on a free port; skips the test where Node.js or the emulator is missing."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not on this machine")
    if not PROGRAM.exists():
        pytest.skip("the emulator is not installed: npm ci --prefix tests/emulators")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fixtures = FOLDER / "fixtures.json"
    options = ["--port", str(port), "--host", "127.0.0.1", "--fixtures", str(fixtures), "--log-level", "silent"]
    process = subprocess.Popen(["node", str(PROGRAM), *options, "--strict"])
    try:
        emulator = Emulator(f"http://127.0.0.1:{port}")
        until = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{emulator.url}/__aimock/health").raise_for_status()
                break
            except httpx.TransportError:
                assert time.monotonic() < until and process.poll() is None, "the emulator did not start"
                time.sleep(0.05)
        yield emulator
    finally:
        process.kill()
        process.wait()
