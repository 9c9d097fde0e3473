"""Ollama's HTTP interface over transformers, for machines where Ollama itself cannot be installed.

    python -m tests.emulators.ollama_server --port 11434 --model toy=FOLDER

Written from the requests of the `ollama` SDK 0.6 and Ollama's own server (server/create.go, convert/convert.go). It
keeps blobs by their digest, creates models from safetensors or from a base and an adapter, and answers with what was
uploaded: the adapter on its base, or the full weights, through the template and with the parameters it was given.

It differs from Ollama in that it does not quantise, keeps models in memory, pulls none, and answers no GGUF.
"""

import argparse
import hashlib
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment

# What Ollama does where neither the model nor the request says it (api/types.go, DefaultOptions).
DEFAULTS = {"temperature": 0.8, "repeat_penalty": 1.1, "num_predict": -1, "num_ctx": 4096}
CONVERTED = ("LlamaForCausalLM", "MistralForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "Qwen2ForCausalLM")
NO_ADAPTERS_SINCE = (0, 34, 1)


class RefusedError(Exception):
    """An error as Ollama words it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class StoredModel:
    """A model as it was created: a folder of weights, maybe an adapter on it, and how it is asked."""

    weights: Path
    adapter: Path | None = None
    template: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()


class OllamaServer:
    """Models, blobs, and the HTTP server that gives them out; used as a context.

    Args:
        models: name and transformers folder of the models that are there from the beginning.
        version: what it says it is; from 0.34.1 on it takes no adapters, and safetensors only with a runtime that it
            has not.
        room: bytes of blobs that it has room for.
    """

    def __init__(
        self, models: Mapping[str, Path] | None = None, version: str = "0.30.0", room: int = 10**12, port: int = 0
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ollama-"))
        self.models = {full_name(name): StoredModel(path) for name, path in (models or {}).items()}
        self.version, self.room = version, room
        self.seen: list[str] = []
        self._loaded: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"ollama": self})
        self._server = _Listener(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "OllamaServer":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def serve_forever(self) -> None:
        self._server.serve_forever()

    # Blobs.

    def blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "-")

    def store_blob(self, digest: str, content: bytes) -> None:
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise RefusedError("digest mismatch")
        blobs = self.folder / "blobs"
        blobs.mkdir(exist_ok=True)
        if sum(file.stat().st_size for file in blobs.iterdir()) + len(content) > self.room:
            raise RefusedError(f"write {self.blob(digest)}: no space left on device", 500)
        self.blob(digest).write_bytes(content)

    # Models.

    def model(self, name: str) -> StoredModel:
        try:
            return self.models[full_name(name)]
        except KeyError:
            raise RefusedError(f"model '{name}' not found", 404) from None

    def create(self, request: Mapping[str, Any]) -> Iterator[str]:
        """Create a model; the states on the way, or what is wrong."""
        files, adapters = request.get("files") or {}, request.get("adapters") or {}
        new = _version(self.version) >= NO_ADAPTERS_SINCE
        if adapters and new:
            raise RefusedError("LoRA adapters are no longer supported")
        if not files and not request.get("from"):
            raise RefusedError("neither 'from' or 'files' was specified")
        if request.get("from"):
            if full_name(request["from"]) not in self.models:
                yield "pulling manifest"
                raise RefusedError("pull model manifest: file does not exist")
            made = self.model(request["from"])
            yield "using existing layer"
        else:
            folder = self._staged(files)
            if not any(name.endswith(".gguf") for name in files):
                if new:
                    raise RefusedError("MLX runtime is not available", 503)
                yield "converting model"
                architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
                if architecture not in CONVERTED:
                    raise RefusedError(f'unsupported architecture "{architecture}"')
            made = StoredModel(folder)
        if adapters:
            adapter = self._staged(adapters)
            yield "converting adapter"
            if not (adapter / "adapter_config.json").is_file():
                raise RefusedError("open adapter_config.json: file does not exist")
            made = replace(made, adapter=adapter)
        if request.get("quantize"):
            yield f"quantizing F16 model to {request['quantize']}"
        given = {name: request[name] for name in ("template", "system") if request.get(name)}
        parameters = {**made.parameters, **(request.get("parameters") or {})}
        yield "writing manifest"
        self.models[full_name(request["model"])] = replace(made, **given, parameters=parameters)
        self._loaded.pop(full_name(request["model"]), None)
        yield "success"

    def _staged(self, files: Mapping[str, str]) -> Path:
        """Blobs under their names in a folder."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        for name, digest in files.items():
            if not self.blob(digest).is_file():
                raise RefusedError(f"blob not found for {name} (digest {digest}): no such file or directory")
            (folder / name).symlink_to(self.blob(digest))
        return folder

    # Answers.

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a model to messages, as the last part of a stream says it."""
        import torch

        stored = self.model(request["model"])
        options = {**DEFAULTS, **stored.parameters, **(request.get("options") or {})}
        with self._lock:
            model, tokenizer = self._load(full_name(request["model"]))
            messages = list(request["messages"])
            if stored.system and messages[0]["role"] != "system":
                messages.insert(0, {"role": "system", "content": stored.system})
            if stored.template:
                text = render(stored.template, messages)
            else:
                text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
            room = min(int(options["num_ctx"]), model.config.max_position_embeddings) - ids.shape[1]
            wanted = int(options["num_predict"])
            sampling = {"do_sample": True, "temperature": options["temperature"]} if options["temperature"] else {}
            with torch.inference_mode():
                output = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=min(wanted, room) if wanted > 0 else room,
                    repetition_penalty=float(options["repeat_penalty"]),
                    pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
                    **(sampling or {"do_sample": False}),
                )[0][ids.shape[1] :]
        said = tokenizer.decode(output, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for stop in options.get("stop") or ():
            said = said.partition(stop)[0]
        ended = bool(len(output)) and int(output[-1]) == tokenizer.eos_token_id
        return {
            "model": request["model"],
            "created_at": "2026-01-01T00:00:00Z",
            "done": True,
            "done_reason": "stop" if ended else "length",
            "prompt_eval_count": ids.shape[1],
            "eval_count": len(output),
            "said": said,
        }

    def _load(self, name: str) -> tuple[Any, Any]:
        if name not in self._loaded:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            stored = self.models[name]
            if next(stored.weights.glob("*.gguf"), None):
                raise RefusedError("this emulator answers no GGUF", 500)
            model = AutoModelForCausalLM.from_pretrained(stored.weights)
            if stored.adapter:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, stored.adapter)
            self._loaded[name] = (model.eval(), AutoTokenizer.from_pretrained(stored.weights))
        return self._loaded[name]


class _Listener(ThreadingHTTPServer):
    request_queue_size = 512  # an evaluation opens many connections at once


class _Handler(BaseHTTPRequestHandler):
    ollama: ClassVar[OllamaServer]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._handle(self._blob if self.path.startswith("/api/blobs/") else lambda: self._send(200, {}))

    def do_GET(self) -> None:
        self._handle({"/api/version": self._version, "/api/tags": self._tags}.get(self.path, self._unknown))

    def do_DELETE(self) -> None:
        self._handle(self._delete)

    def do_POST(self) -> None:
        routes = {
            "/api/create": self._create,
            "/api/show": self._show,
            "/api/chat": self._chat,
            "/api/generate": self._generate,
            "/api/copy": self._copy,
        }
        upload = self._upload if self.path.startswith("/api/blobs/") else self._unknown
        self._handle(routes.get(self.path, upload))

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def _handle(self, route: Callable[[], None]) -> None:
        self.ollama.seen.append(f"{self.command} {self.path}")
        try:
            route()
        except RefusedError as error:
            self._send(error.status, {"error": str(error)})

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._content())
        return content

    def _send(self, status: int, body: Any, kind: str = "application/json") -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _unknown(self) -> None:
        self._content()
        raise RefusedError("404 page not found", 404)

    def _version(self) -> None:
        self._send(200, {"version": self.ollama.version})

    def _tags(self) -> None:
        models = [
            {"name": name, "model": name, "digest": stored.digest, "size": 0, "details": {"format": "gguf"}}
            for name, stored in self.ollama.models.items()
        ]
        self._send(200, {"models": models})

    def _blob(self) -> None:
        self._send(200 if self.ollama.blob(self.path.rpartition("/")[2]).is_file() else 404, b"")

    def _upload(self) -> None:
        self.ollama.store_blob(self.path.rpartition("/")[2], self._content())
        self._send(201, b"")

    def _create(self) -> None:
        request = self._json()
        states = self.ollama.create(request)
        told = [{"status": next(states)}]  # what is wrong from the beginning has a status of its own
        try:
            told += [{"status": state} for state in states]
        except RefusedError as error:
            told.append({"error": str(error)})
        if request.get("stream") is False:
            self._send(400 if "error" in told[-1] else 200, told[-1])
        else:
            self._send(200, "".join(json.dumps(one) + "\n" for one in told).encode(), "application/x-ndjson")

    def _show(self) -> None:
        stored = self.ollama.model(self._json()["model"])
        parameters = "\n".join(f"{name} {json.dumps(value)}" for name, value in stored.parameters.items())
        self._send(200, {"template": stored.template or "", "parameters": parameters, "details": {}, "model_info": {}})

    def _delete(self) -> None:
        name = self._json()["model"]
        self.ollama.model(name)
        del self.ollama.models[full_name(name)]
        self._send(200, {})

    def _copy(self) -> None:
        request = self._json()
        self.ollama.models[full_name(request["destination"])] = self.ollama.model(request["source"])
        self._send(200, {})

    def _chat(self) -> None:
        answer = self.ollama.answer(self._json())
        said = answer.pop("said")
        self._send(200, {**answer, "message": {"role": "assistant", "content": said}})

    def _generate(self) -> None:
        request = self._json()
        answer = self.ollama.answer({**request, "messages": [{"role": "user", "content": request["prompt"]}]})
        self._send(200, {**answer, "response": answer.pop("said")})


def full_name(name: str) -> str:
    """A model's name with its tag."""
    return name if ":" in name else f"{name}:latest"


def render(template: str, messages: list[dict[str, Any]]) -> str:
    """Messages through a template of Go, as far as one about messages goes: range, if eq, else, end and two fields."""
    jinja, open_blocks = "", []
    for text, action in re.findall(r"(.*?)(?:\{\{-?\s*(.*?)\s*-?\}\}|$)", template, re.S):
        jinja += "{% raw %}" + text + "{% endraw %}" if text else ""
        if action == "range .Messages":
            open_blocks.append("for")
            jinja += "{% for message in messages %}"
        elif found := re.fullmatch(r'(else )?if eq \.Role "(\w+)"', action):
            open_blocks += [] if found[1] else ["if"]
            jinja += f"{{% {'elif' if found[1] else 'if'} message.role == '{found[2]}' %}}"
        elif action == "else":
            jinja += "{% else %}"
        elif action == "end":
            jinja += f"{{% end{open_blocks.pop()} %}}"
        elif action in (".Role", ".Content"):
            jinja += f"{{{{ message.{action[1:].lower()} }}}}"
        elif action:
            raise RefusedError(f'template: :1: function "{action}" not defined')
    return Environment(keep_trailing_newline=True).from_string(jinja).render(messages=messages)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=11434)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--version", default="0.30.0")
    arguments = parser.parse_args()
    models = {name: Path(folder) for name, _, folder in (one.partition("=") for one in arguments.model)}
    OllamaServer(models, arguments.version, port=arguments.port).serve_forever()


if __name__ == "__main__":
    main()
