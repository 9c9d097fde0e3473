"""`llmops serve-model support --port 8000`, with a free port: the real server as a process, asked by the real SDK."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from openai import OpenAI

from flows.cli import main
from flows.serve_command import choose_engine, command_of
from llmops.errors import InputError
from llmops.llm import LocalModel
from llmops.llm.completions import Parameters
from llmops.llm.providers import connect

ROOT = Path(__file__).parents[2]
QUESTIONS = ["Ann can run 3 times", "Zoe can cook 8 times", "Max can read 0 times", "Eve can sing 5 times"]
VLLM = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([*sys.argv[1:], sorted(os.listdir("."))]).encode())
    def log_message(self, *_): pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def registered(home: Path, half_trained: Path) -> Path:
    """A home whose registry has the model as champion of `answers`, and a reference to a hosted one as `hosted`."""
    client = MlflowClient()
    client.create_registered_model("answers")
    client.create_model_version("answers", str(half_trained))
    client.set_registered_model_alias("answers", "champion", "1")
    client.create_registered_model("hosted")
    tags = {"llmops.hosted_model": "ft:gpt-1", "llmops.backend": "openai", "llmops.asked_as": "openai/ft:gpt-1"}
    client.create_model_version("hosted", "openai", tags=tags)
    client.set_registered_model_alias("hosted", "champion", "1")
    return home


Serve = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def serve(free_port: int) -> Iterator[Serve]:
    """Starts the command and gives it with what it said when it was ready."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "flows.cli", "serve-model", *arguments, "--port", str(free_port)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None and process.stderr is not None
        said = process.stdout.readline() + process.stdout.readline()
        assert said, process.stderr.read()
        return process, said

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def asked_as_an_evaluation_does(name: str) -> list[str]:
    """All questions at once, through our own client."""
    model = connect(name)
    try:
        messages = [[{"role": "user", "content": question}] for question in QUESTIONS]
        answers = [model.complete(one, Parameters(max_tokens=20), 60.0) for one in messages]
        return [answer.text.strip() for answer in await asyncio.gather(*answers)]
    finally:
        await model.close()


@pytest.mark.service
@pytest.mark.slow
def test_a_registered_model_answers_the_openai_sdk_as_it_was_evaluated(
    registered: Path, serve: Serve, free_port: int, half_trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, said = serve("answers", HF_HUB_CACHE="/nowhere")
    address = f"http://127.0.0.1:{free_port}/v1"
    assert said.startswith(f"answers answers at {address} (transformers); Ctrl-C ends it.")
    assert f"OPENAI_BASE_URL={address} llmops run evaluate --dataset NAME --model openai/answers" in said
    client = OpenAI(base_url=address, api_key="none")
    answers = [
        client.chat.completions.create(
            model="answers", messages=[{"role": "user", "content": question}], max_tokens=20, temperature=0
        )
        for question in QUESTIONS
    ]
    texts = [(answer.choices[0].message.content or "").strip() for answer in answers]
    assert texts == LocalModel.load(half_trained).generate(QUESTIONS, 20)
    assert {answer.choices[0].finish_reason for answer in answers} == {"stop"}
    assert [one.id for one in client.models.list()] == ["answers"]

    monkeypatch.setenv("OPENAI_BASE_URL", address)
    assert asyncio.run(asked_as_an_evaluation_does("openai/answers")) == texts

    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.splitlines() == ["Loading answers with transformers…", "Stopping…"]
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_vllm_serves_where_it_is_installed(
    home: Path, serve: Serve, free_port: int, half_trained: Path, tmp_path: Path
) -> None:
    package = tmp_path / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(VLLM)
    process, said = serve(f"{half_trained.parent}/model", PYTHONPATH=str(tmp_path))
    assert "(vllm)" in said and "openai/model" in said
    import httpx

    arguments = httpx.get(f"http://127.0.0.1:{free_port}/health").json()
    assert arguments == [*command_of("vllm", "model", "127.0.0.1", free_port)[1], ["model"]]
    # A server that ends by itself ends the command, too, with its last words.
    psutil.Process(process.pid).children()[0].kill()
    assert process.wait(timeout=60) == 3


def test_what_it_refuses(
    registered: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], free_port: int, half_trained: Path
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    silent = tmp_path / "silent"
    silent.mkdir()
    for file in half_trained.iterdir():
        if file.name != "chat_template.jinja":
            (silent / file.name).symlink_to(file)
    # The redirection of the libraries' output is for the life of a process.
    streams = [os.dup(1), os.dup(2)]
    try:
        for model, complaint in (
            ("hosted", "its weights are not on this machine: ask it as openai/ft:gpt-1"),
            ("nobody", "there is no model nobody in the registry"),
            ("models:/answers@challenger", "there is no model models:/answers@challenger in the registry"),
            (str(tmp_path), "holds no config.json"),
            (str(silent), "no chat template"),
        ):
            status = main(["serve-model", model, "--port", str(free_port)])
            for number, stream in enumerate(streams, start=1):
                os.dup2(stream, number)
            errors = capfd.readouterr().err.splitlines()
            assert status == 2 and len(errors) == 1 and complaint in errors[0], errors
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            assert main(["serve-model", "answers", "--port", port]) == 2
            assert f"127.0.0.1:{port} cannot be used" in capfd.readouterr().err
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine("auto") == "transformers"
    monkeypatch.setattr("flows.serve_command._installed", lambda package: package not in ("vllm", "uvicorn"))
    with pytest.raises(InputError, match=r"serving needs uvicorn: pip install 'llmops\[local,openai\]'"):
        choose_engine("transformers")
    with pytest.raises(InputError, match="pip install vllm"):
        choose_engine("vllm")
