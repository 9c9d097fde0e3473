"""A Prefect server of one command's own: started early, out of sight, and gone when the command is.

The command opens the listening socket itself and hands it down, so there is no race for the port, and a request
that comes before the server is ready simply waits. The server runs in a session of its own (Ctrl-C does not reach
it), writes to a log file, and stops by itself soon after its command has died, even by kill -9.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from llmops.errors import ServiceError

STARTUP_SECONDS = 120
STOP_SECONDS = 15

# No pages, and no catalogue of block types (they would be registered anew for each command).
SERVER_ENVIRONMENT = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class PrivateServer:
    """The server of this process; it is starting from the moment this object is made."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with socket.socket() as listening, log.open("ab") as output:
            listening.bind(("127.0.0.1", 0))
            listening.listen(128)
            self.api_url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.private_server", str(listening.fileno()), str(os.getpid())],
                env={**os.environ, **SERVER_ENVIRONMENT},
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until it answers.

        Raises:
            ServiceError: it ended, or did not answer in time.
        """
        import httpx

        until = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise ServiceError(f"the Prefect server ended while it started; its log is {self.log}")
            with suppress(httpx.TransportError):
                # The connection is accepted at once and answered when the server is ready.
                if httpx.get(f"{self.api_url}/health", timeout=10.0).is_success:
                    return
            time.sleep(0.02)
        raise ServiceError(f"the Prefect server did not start within {STARTUP_SECONDS} s; its log is {self.log}")

    def stop(self) -> None:
        """Stop it; what it had to write is written first."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(listening: socket.socket, parent: int) -> None:
    """Serve Prefect's API on a socket until SIGTERM, or until the parent process is gone."""
    import uvicorn

    config = uvicorn.Config("prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    threading.Thread(target=_stop_with_parent, args=(server, parent), daemon=True).start()
    server.run(sockets=[listening])


def _stop_with_parent(server: "object", parent: int) -> None:
    # Nothing to inherit and no signal to lose: an orphan is given a new parent.
    while os.getppid() == parent:
        time.sleep(0.5)
    server.should_exit = True  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), parent=int(sys.argv[2]))
