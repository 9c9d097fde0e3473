"""A Prefect server of one command's own: started early, out of sight, and gone when the command is.

The command opens the listening socket itself and hands it down, so there is no race for the port, and a request
that comes before the server is ready simply waits for its answer.
"""

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from flows.supervised import Supervised
from llmops.errors import ServiceError

STARTUP_SECONDS = 120

# No pages, and no catalogue of block types, which nothing here uses and each new database would wait for.
ENVIRONMENT = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class PrivateServer:
    """The server of this process; it is starting from the moment this object is made."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(128)
            self.api_url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
            number = listening.fileno()
            self._child = Supervised(
                "Prefect server", "flows.private_server", [str(number)], log, ENVIRONMENT, pass_fds=[number]
            )
        self.pid = self._child.pid
        self._ready = False

    def wait_until_ready(self) -> None:
        """Wait until it answers.

        Raises:
            ServiceError: it ended, or did not answer in time.
        """
        import httpx

        until = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < until:
            if self._child.status is not None:
                raise ServiceError(f"the Prefect server ended while it started; its log is {self._child.log}")
            with suppress(httpx.TransportError):
                # The connection is taken at once and answered when the server is ready.
                if httpx.get(f"{self.api_url}/health", timeout=10.0).is_success:
                    self._ready = True
                    return
            time.sleep(0.02)
        raise ServiceError(f"the Prefect server did not start within {STARTUP_SECONDS} s; see {self._child.log}")

    def stop(self) -> None:
        """Stop it; what it has to write is written first."""
        if self._ready:
            self._child.stop()
        else:
            # Nothing has been told to it yet, and each step of setting up its database is a transaction.
            self._child.kill()


def serve(listening: socket.socket) -> None:
    """Serve Prefect's API on a socket until SIGTERM."""
    import uvicorn

    application = "prefect.server.api.server:create_app"
    config = uvicorn.Config(application, factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
