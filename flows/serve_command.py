"""`llmops serve-model …`: a registered model, or a folder, behind an OpenAI-compatible endpoint, until Ctrl-C.

The server is vLLM's where it is installed, else transformers' own (`transformers serve`). Both run in a process of
their own that ends with this one.
"""

import importlib.util
import os
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Literal, NamedTuple

from flows.free_ports import require_free_port
from flows.registered_weights import find_version, find_weights
from flows.supervised import Supervised
from flows.terminal import Terminal, log_file
from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.settings import settings

Engine = Literal["auto", "transformers", "vllm"]
# Of transformers' server: its own extra `serving`, in terms of ours.
NEEDED = ("torch", "transformers", "accelerate", "fastapi", "uvicorn", "openai")


class Served(NamedTuple):
    """Full weights with a tokenizer, and what requests call them."""

    name: str
    folder: Path


class Stopped(BaseException):
    """Ctrl-C or SIGTERM."""


def serve_model(model: str, host: str, port: int, engine: Engine) -> int:
    """Serve a model until Ctrl-C, which is how one ends it: the exit status is then 0.

    Args:
        model: ``NAME`` (its champion), ``models:/NAME@ALIAS``, ``models:/NAME/VERSION`` or a transformers folder.
        host: address to listen on.
        port: where it answers.
        engine: which server; auto takes vLLM where it is installed.
    """
    terminal = Terminal()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _stop)
    with ExitStack() as at_the_end:
        try:
            chosen = choose_engine(engine)
            require_free_port(host, port, named=f"{host}:{port}", advice="choose another --port, or --host")
            log = log_file(settings().require_home(), "serve-model")
            terminal.quiet_the_libraries(log)
            served = find_served(model)
            # Transformers' server calls a model what it is asked to load: a folder of its name in the working folder.
            workplace = Path(at_the_end.enter_context(tempfile.TemporaryDirectory(prefix="llmops-serve-")))
            (workplace / served.name).symlink_to(served.folder, target_is_directory=True)
            module, arguments = command_of(chosen, served.name, host, port)
            hub = Path(at_the_end.enter_context(tempfile.TemporaryDirectory(prefix="llmops-hub-")))
            child = Supervised(chosen, module, arguments, log, _environment(served, hub), cwd=workplace)
            at_the_end.callback(child.stop)
            terminal.say(f"Loading {model} with {chosen}…")
            address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
            _wait_until_ready(child, f"{address}/health")
            terminal.out.print(_ready(served.name, chosen, address), markup=False, soft_wrap=True)
            while child.status is None:
                time.sleep(0.2)
            raise ServiceError(f"{chosen} ended by itself (status {child.status}); {_end_of(child)}")
        except Stopped:
            terminal.say("Stopping…")
            return 0
        except LlmopsError as error:
            terminal.error(str(error))
            return error.exit_status


def find_served(model: str) -> Served:
    """The weights that a name stands for.

    Raises:
        InputError: there is no such model, its provider serves it, or it cannot chat.
    """
    if "/" in model and not model.startswith("models:/"):
        folder = Path(model).expanduser().absolute()
        if not (folder / "config.json").is_file():
            raise InputError(f"{model}: there is no model in this folder: it holds no config.json")
        served = Served(folder.name.replace("@", "-"), folder)
    else:
        version = find_version(model)
        served = Served(version.name, find_weights(version))
    settings_file = served.folder / "tokenizer_config.json"
    in_settings = settings_file.is_file() and "chat_template" in settings_file.read_text()
    if not in_settings and not (served.folder / "chat_template.jinja").is_file():
        raise InputError(f"{model}: its tokenizer has no chat template, so that it cannot take messages")
    return served


def choose_engine(engine: Engine) -> Literal["transformers", "vllm"]:
    """The server that will run.

    Raises:
        InputError: it is not installed.
    """
    if engine == "vllm" or (engine == "auto" and _installed("vllm")):
        if not _installed("vllm"):
            raise InputError("engine vllm needs vLLM: pip install vllm, or take --engine transformers")
        return "vllm"
    for package in NEEDED:
        if not _installed(package):
            raise InputError(f"serving needs {package}: pip install 'llmops[local,openai]'")
    return "transformers"


def command_of(engine: Literal["transformers", "vllm"], name: str, host: str, port: int) -> tuple[str, list[str]]:
    """The module that serves the folder `name` of the working folder, and its arguments."""
    where = ["--host", host, "--port", str(port)]
    if engine == "vllm":
        return "vllm.entrypoints.openai.api_server", ["--model", f"./{name}", "--served-model-name", name, *where]
    return "transformers.cli.transformers", ["serve", name, *where]


def _environment(served: Served, hub: Path) -> Mapping[str, str]:
    """The model is on this machine: nothing is looked up elsewhere.

    Transformers' server lists (``/v1/models``) what is in the folder of models from the hub, and fails where there is
    none: it has one of its own, which holds the served model alone.
    """
    known = hub / f"models--{served.name}"
    (known / "refs").mkdir(parents=True)
    (known / "refs" / "main").write_text("main")
    (known / "snapshots" / "main").mkdir(parents=True)
    (known / "snapshots" / "main" / "config.json").symlink_to(served.folder / "config.json")
    here = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_CACHE": str(hub),
        "VLLM_NO_USAGE_STATS": "1",
    }
    return {"PYTHONPATH": os.pathsep.join(filter(None, here)), **quiet}


def _wait_until_ready(child: Supervised, url: str) -> None:
    """A large model takes minutes to load: there is no limit as long as the process lives."""
    while True:
        if child.status is not None:
            raise ServiceError(f"{child.name} ended while it loaded the model; {_end_of(child)}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)


def _end_of(child: Supervised) -> str:
    said = [line.strip() for line in child.last_lines() if line.strip()]
    return f"its last words in {child.log}: {said[-1] if said else 'none'}"


def _ready(name: str, engine: str, address: str) -> str:
    return (
        f"{name} answers at {address}/v1 ({engine}); Ctrl-C ends it. In another terminal:\n"
        f"  OPENAI_BASE_URL={address}/v1 llmops run evaluate --dataset NAME --model openai/{name}"
    )


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # Once: a second Ctrl-C must not leave the server running.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    raise Stopped
