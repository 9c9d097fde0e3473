"""Fine-tuning as OpenAI and Azure OpenAI document it, with what aimock lacks: checkpoints, result files, failures.

One server answers OpenAI's paths (``/v1``), Azure's with a dated version (``/openai``) and the deployments of Azure's
management API (``/subscriptions/…``). Nothing moves by itself: a test sets the states in `files`, `jobs`,
`deployments`.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, Any]


@dataclass
class Fault:
    """What happens to the next request of a method whose path ends like that, instead of or after its work.

    Attributes:
        status: of the answer; 0 closes the connection without one.
        done: the work is done all the same, only its answer is lost.
    """

    method: str
    ending: str
    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    done: bool = False
    times: int = 1


@dataclass
class FineTuningServer:
    """What it keeps and has seen. Lists are in order of creation."""

    url: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checkpoints: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    account: str = "some-resource"
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    # States that each new file goes through, one for each look at it after the upload.
    file_states: list[str] = field(default_factory=lambda: ["processed"])
    file_error: str | None = None
    # The same for a new deployment; the one that is "gone" is not there any more.
    deployment_states: list[str] = field(default_factory=lambda: ["Succeeded"])
    # Whether lists come in pages; else each is whole, without `has_more`.
    pages: bool = True
    largest_page: int = 100
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str, ending: str) -> int:
        """How many requests of a method had a path that ends like that."""
        return sum(1 for one, path in self.seen if one == method and path.endswith(ending))

    def tell(self, job: str, message: str, data: dict[str, Any] | None = None, level: str = "info") -> None:
        """Add an event to a job's log."""
        log = self.events.setdefault(job, [])
        log.append({
            "id": f"ftevent-{len(log)}", "object": "fine_tuning.job.event", "created_at": 1_760_000_000 + len(log) // 2,
            "level": level, "message": message, "data": data, "type": "metrics" if data else "message",
        })  # fmt: skip

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """What a request is answered with."""
        if path.startswith("/subscriptions/") and "/deployments/" not in path:
            if not path.endswith(f"/{self.account}"):
                return _error(404, "no such account")
            return 200, {"name": self.account, "location": "swedencentral"}
        if path.startswith("/subscriptions/"):
            return self._deployment(method, path.rpartition("/")[2], body)
        path = re.sub(r"^/(openai/v1|openai|v1)", "", path)
        for pattern, handler in _ROUTES:
            if (match := re.fullmatch(pattern, f"{method} {path}")) is not None:
                return handler(self, match.groups(), query, body)
        return _error(404, f"no such address: {path}")

    def _page(self, newest_first: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        if not self.pages:
            return 200, {"object": "list", "data": newest_first}
        ids = [one["id"] for one in newest_first]
        start = ids.index(query["after"]) + 1 if "after" in query else 0
        size = min(int(query.get("limit", 20)), self.largest_page)
        return 200, {
            "object": "list", "data": newest_first[start : start + size], "has_more": start + size < len(ids),
        }  # fmt: skip

    def _upload(self, _: Any, __: Any, form: dict[str, Any]) -> Answer:
        name, content = form["file"]
        new = f"file-{len(self.contents)}"
        self.files[new] = {
            "id": new, "object": "file", "bytes": len(content), "created_at": int(time.time()), "filename": name,
            "purpose": form["purpose"][1].decode(), "status": self.file_states[0], "states": self.file_states[1:],
        }  # fmt: skip
        self.contents[new] = content
        return 200, self.files[new]

    def _file(self, ids: tuple[str, ...], *_: Any) -> Answer:
        if ids[0] not in self.files:
            return _error(404, f"No such File object: {ids[0]}")
        file = self.files[ids[0]]
        if file.get("states"):
            file["status"] = file["states"].pop(0)
        return 200, {**file, "status_details": self.file_error if file["status"] == "error" else None}

    def _content(self, ids: tuple[str, ...], *_: Any) -> Answer:
        return (200, self.contents[ids[0]]) if ids[0] in self.contents else _error(404, "No such File object")

    def _files(self, _: Any, query: dict[str, str], __: Any) -> Answer:
        chosen = [file for file in self.files.values() if file["purpose"] == query.get("purpose", file["purpose"])]
        return self._page(chosen[::-1], query)

    def _create(self, _: Any, __: Any, body: dict[str, Any]) -> Answer:
        if body["training_file"] not in self.files:
            return _error(400, f"invalid training_file: {body['training_file']}", param="training_file")
        new = f"ftjob-{len(self.jobs)}"
        self.jobs[new] = {
            "id": new, "object": "fine_tuning.job", "created_at": int(time.time()), "status": "validating_files",
            "result_files": [], "fine_tuned_model": None, "organization_id": "org", "hyperparameters": {}, **body,
        }  # fmt: skip
        self.tell(new, "Created fine-tuning job")
        return 200, self.jobs[new]

    def _jobs(self, _: Any, query: dict[str, str], __: Any) -> Answer:
        wanted = {name[9:-1]: value for name, value in query.items() if name.startswith("metadata[")}
        chosen = [job for job in self.jobs.values() if wanted.items() <= (job.get("metadata") or {}).items()]
        return self._page(chosen[::-1], query)

    def _job(self, ids: tuple[str, ...], *_: Any) -> Answer:
        return (200, self.jobs[ids[0]]) if ids[0] in self.jobs else _error(404, "Could not find fine tune")

    def _cancel(self, ids: tuple[str, ...], *_: Any) -> Answer:
        job = self.jobs.get(ids[0])
        if job is None:
            return _error(404, "Could not find fine tune")
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return _error(400, f"Job has already {job['status']}")
        job["status"] = "cancelled"
        return 200, job

    def _drop(self, ids: tuple[str, ...], *_: Any) -> Answer:
        return (204, None) if self.jobs.pop(ids[0], None) else _error(404, "Could not find fine tune")

    def _events(self, ids: tuple[str, ...], query: dict[str, str], _: Any) -> Answer:
        return self._page(self.events.get(ids[0], [])[::-1], query)

    def _checkpoints(self, ids: tuple[str, ...], query: dict[str, str], _: Any) -> Answer:
        return self._page(self.checkpoints.get(ids[0], [])[::-1], query)

    def _delete_model(self, ids: tuple[str, ...], *_: Any) -> Answer:
        if ids[0] not in self.models:
            return _error(404, "The model does not exist")
        self.models.remove(ids[0])
        return 200, {"id": ids[0], "object": "model", "deleted": True}

    def _deployment(self, method: str, name: str, body: Any) -> Answer:
        if method == "PUT":
            states = list(self.deployment_states)
            self.deployments[name] = {"name": name, **body, "states": states}
            body["properties"]["provisioningState"] = "Accepted"
            return 201, self.deployments[name]
        if name not in self.deployments:
            return 404, {"error": {"code": "DeploymentNotFound", "message": f"The deployment {name} does not exist."}}
        if method == "DELETE":
            del self.deployments[name]
            return 202, None
        found = self.deployments[name]
        if found["states"]:
            found["properties"]["provisioningState"] = found["states"].pop(0)
        if found["properties"].get("provisioningState") == "gone":
            del self.deployments[name]
            return self._deployment(method, name, body)
        return 200, found


_JOB = r"/fine_tuning/jobs/([^/]+)"
_ROUTES: list[tuple[str, Any]] = [
    (r"GET /files", FineTuningServer._files),
    (r"POST /files", FineTuningServer._upload),
    (r"GET /files/([^/]+)", FineTuningServer._file),
    (r"GET /files/([^/]+)/content", FineTuningServer._content),
    (r"GET /fine_tuning/jobs", FineTuningServer._jobs),
    (r"POST /fine_tuning/jobs", FineTuningServer._create),
    (rf"GET {_JOB}", FineTuningServer._job),
    (rf"DELETE {_JOB}", FineTuningServer._drop),
    (rf"POST {_JOB}/cancel", FineTuningServer._cancel),
    (rf"GET {_JOB}/events", FineTuningServer._events),
    (rf"GET {_JOB}/checkpoints", FineTuningServer._checkpoints),
    (r"DELETE /models/([^/]+)", FineTuningServer._delete_model),
]


def _error(status: int, message: str, param: str | None = None) -> Answer:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


def _form(content_type: str, sent: bytes) -> dict[str, Any]:
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + sent)
    return {
        part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_payload(decode=True))
        for part in message.get_payload()
    }


def _handler(server: FineTuningServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else each answer waits 40 ms for the acknowledgement of its headers.
        disable_nagle_algorithm = True

        def _any(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "")
            body = _form(kind, sent) if kind.startswith("multipart/") else json.loads(sent) if sent else None
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query))
            with server.lock:
                server.seen.append((self.command, address.path))
                server.queries.append(query)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.bodies.append(body)
                fault = self._fault(address.path)
                if fault is None or fault.done:
                    status, answer = server.answer(self.command, address.path, query, body)
            if fault is not None:
                if not fault.status:
                    self.close_connection = True
                    return
                status, answer = fault.status, fault.body
            self._send(status, answer, fault.headers if fault else {})

        do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815

        def _fault(self, path: str) -> Fault | None:
            for fault in server.faults:
                if fault.method == self.command and path.endswith(fault.ending) and fault.times > 0:
                    fault.times -= 1
                    return fault
            return None

        def _send(self, status: int, answer: Any, headers: dict[str, str]) -> None:
            content = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            kind = "application/octet-stream" if isinstance(answer, bytes) else "application/json"
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(told: FineTuningServer | None = None) -> Iterator[FineTuningServer]:
    """The server on a free port, until the block ends."""
    told = told or FineTuningServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
