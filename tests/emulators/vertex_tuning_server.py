"""A small server of what Vertex AI and Cloud Storage are asked for when Gemini is tuned; there is no emulator of them.

    python -m tests.emulators.vertex_tuning_server --port 8700

It is written from the requests of google-genai 3.4 and the public REST reference, and keeps all in memory: objects,
tuning jobs, models, endpoints. A job moves on by one state each time it is asked for. Beside the APIs:

- ``GET /seen``: how often each kind of request came, the jobs, and the names of the objects
- ``POST /plan`` with ``{"states": […], "reason": …}``: the states that jobs from now on go through; the last one stays
- ``POST /answers`` with ``{"question": "answer", …}``: what tuned models answer; anything else they repeat
- ``POST /faults`` with a list of ``{"on": "kind of request", "times": n, "status": 503, "message": …}``: the next n
  requests of that kind are refused; with ``"done": true`` they are carried out all the same, with ``"reset": true``
  the connection ends without an answer, with ``"text": "…"`` that is the answer.

Kinds of requests: token, look, upload, create, list, get, cancel, endpoint, undeploy, delete, operation, generate.
"""

import argparse
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.emulators.vertex_cloud import Cloud, RefusedError

_PLACE = r"/v1(?:beta1)?/(?P<place>projects/[^/]+/locations/[^/]+)"
_ROUTES = [
    ("token", "POST", r"/token"),
    ("look", "GET", r"/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<object>[^/]+)"),
    ("upload", "POST", r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o"),
    ("create", "POST", rf"{_PLACE}/tuningJobs"),
    ("list", "GET", rf"{_PLACE}/tuningJobs"),
    ("get", "GET", rf"{_PLACE}/tuningJobs/(?P<id>\w+)"),
    ("cancel", "POST", rf"{_PLACE}/tuningJobs/(?P<id>\w+):cancel"),
    ("generate", "POST", rf"{_PLACE}/(?P<model>endpoints/\w+|publishers/google/models/[^:]+):generateContent"),
    ("endpoint", "GET", rf"{_PLACE}/(?P<resource>endpoints/\w+)"),
    ("undeploy", "POST", rf"{_PLACE}/(?P<resource>endpoints/\w+):undeployModel"),
    ("delete", "DELETE", rf"{_PLACE}/(?P<resource>(?:endpoints|models)/\w+)"),
    ("operation", "GET", rf"{_PLACE}/operations/(?P<id>\w+)"),
]


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            sent, address = self.rfile.read(self._length()), urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            with cloud.lock:
                if self._control(address.path, sent):
                    return
                for kind, method, pattern in _ROUTES:
                    found = re.fullmatch(pattern, address.path)
                    if found and method == self.command:
                        self._carry_out(kind, {**query, **found.groupdict()}, sent)
                        return
            self._answer(404, {"error": {"code": 404, "message": f"no route {self.command} {address.path}"}})

        def _length(self) -> int:
            return int(self.headers.get("Content-Length", 0))

        def _control(self, path: str, sent: bytes) -> bool:
            if path == "/seen":
                self._answer(200, cloud.told_seen())
            elif path in ("/plan", "/answers", "/faults"):
                setattr(cloud, path[1:], json.loads(sent))
                self._answer(200, {})
            else:
                return False
            return True

        def _carry_out(self, kind: str, part: dict[str, str], sent: bytes) -> None:
            cloud.seen[kind] += 1
            body: Any = sent if kind in ("upload", "token") else json.loads(sent or b"{}")
            if kind in ("create", "generate"):
                cloud.bodies.append({"kind": kind, "body": json.loads(sent)})
            fault = cloud.fault_on(kind)
            if fault is None or fault.get("done"):
                try:
                    status, told = 200, getattr(cloud, kind)(part, body)
                except RefusedError as refused:
                    status, told = refused.status, {"error": {"code": refused.status, "message": str(refused)}}
            if fault is not None:
                if fault.get("reset"):
                    self.close_connection = True
                    return
                status = fault.get("status", 200)
                told = fault.get("text") or {"error": fault.get("message", f"told to answer {status}")}
                if isinstance(told, dict) and kind != "token":
                    told = {"error": {"code": status, "message": told["error"]}}
            self._answer(status, told)

        def _answer(self, status: int, told: Any) -> None:
            content = (told if isinstance(told, str) else json.dumps(told)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(port: int = 0) -> Iterator[tuple[str, Cloud]]:
    """A running server, for as long as the block lasts: its address, and what it keeps."""
    cloud = Cloud()
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(cloud))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", cloud
    finally:
        server.shutdown()
        server.server_close()


def write_service_account(file: Path, address: str, universe: str = "emulated.test") -> None:
    """The key file of a service account.

    In Google's own universe, ``googleapis.com``, its tokens are fetched from this server, but google-auth also asks
    Google in the background where the account may go. In any other it signs its tokens itself and asks nobody.
    """
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
        "token_uri": f"{address}/token",
        "universe_domain": universe,
    }
    file.write_text(json.dumps(account))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--service-account", type=Path, help="Write a key file here for GOOGLE_APPLICATION_CREDENTIALS."
    )
    chosen = parser.parse_args()
    with serving(chosen.port) as (address, _):
        if chosen.service_account:
            write_service_account(chosen.service_account, address)
        threading.Event().wait()


if __name__ == "__main__":
    main()
