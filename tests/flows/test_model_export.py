"""`llmops export models:/…`: what is written answers as the registered model, and is there whole or not at all."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from flows.cli import main
from llmops.finetuning import TrainingConfig, train
from llmops.finetuning.backends.local import LocalBackend
from llmops.llm import LocalModel

CONVERTER = """
import pathlib, sys
weights, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[sys.argv.index("--outfile") + 1])
if "broken" in pathlib.Path(__file__).parts[-2]:
    out.write_bytes(b"half")
    sys.exit("INFO loading\\nModel LlamaForCausalLM is not supported")
assert (weights / "model.safetensors").is_file() and (weights / "tokenizer.json").is_file()
out.write_bytes(b"GGUF")
"""
QUESTIONS = ["Ann can run 3 times", "Zoe can cook 8 times"]
Outputs = tuple[int, str, str]


@pytest.fixture(scope="module")
def adapter(half_trained: Path, pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on the model of a small task."""
    config = TrainingConfig(method="lora", epochs=1, rank=4)
    return train(half_trained, pairs[:64], [], config, tmp_path_factory.mktemp("lora")).model_path


@pytest.fixture
def registered(home: Path, half_trained: Path, adapter: Path, tmp_path: Path) -> Path:
    """A registry with `answers`: version 1 of all weights, and 2, its champion, of an adapter and its merge."""
    client = MlflowClient()
    client.create_registered_model("answers")
    for method in ("full", "lora"):
        with mlflow.start_run() as run:
            mlflow.log_params({"method": method, "epochs": 1.0})
            mlflow.log_metric("validation_loss", 0.5)
            if method == "lora":
                mlflow.log_artifacts(str(adapter), "adapter")
        client.create_model_version("answers", str(half_trained), run.info.run_id, tags={"verdict": "better"})
    client.set_registered_model_alias("answers", "champion", "2")
    return tmp_path


@pytest.fixture
def export(registered: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outputs]]:
    """Run the command and give its status and what it printed."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Outputs:
        streams = [os.dup(1), os.dup(2)]
        status = main(["export", *arguments])
        # The redirection of the libraries' output is for the life of a process.
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream, number)
            os.close(stream)
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    yield run
    signal.signal(signal.SIGTERM, before)


Export = Callable[..., Outputs]


def test_weights_and_adapter_answer_as_the_model_does(
    export: Export, registered: Path, half_trained: Path, adapter: Path
) -> None:
    weights, lora = registered / "weights", registered / "lora"
    status, out, _ = export("models:/answers@champion", "--format", "safetensors", "--to", str(weights))
    assert status == 0 and out.startswith(f"Wrote models:/answers/2 as safetensors to {weights}: ")
    assert LocalModel.load(weights).generate(QUESTIONS, 16) == LocalModel.load(half_trained).generate(QUESTIONS, 16)
    status, out, _ = export("models:/answers/2", "--format", "adapter", "--to", str(lora), "--json")
    told = json.loads(out)
    assert told["model"] == "models:/answers/2" and told["bytes"] == sum(file.stat().st_size for file in lora.iterdir())
    merged = LocalModel.load(lora, half_trained).generate(QUESTIONS, 16)
    assert merged == LocalModel.load(adapter, half_trained).generate(QUESTIONS, 16)
    training = json.loads((lora / "training.json").read_text())
    assert training["settings"] == {"method": "lora", "epochs": "1.0"}
    assert training["metrics"] == {"validation_loss": 0.5} and training["tags"] == {"verdict": "better"}


def test_gguf_is_written_by_llama_cpps_converter(
    export: Export, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = registered / "answers.gguf"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    command = ("models:/answers@champion", "--format", "gguf", "--to", str(file))
    status, _, errors = export(*command)
    assert status == 2 and "git clone https://github.com/ggml-org/llama.cpp" in errors and errors.count("\n") == 1
    for name in ("broken", "working"):
        (registered / name).mkdir()
        (registered / name / "convert_hf_to_gguf.py").write_text(CONVERTER)
    before = sorted(registered.iterdir())
    monkeypatch.setenv("LLAMA_CPP", str(registered / "broken"))
    status, _, errors = export(*command)
    assert status == 2 and "Model LlamaForCausalLM is not supported" in errors and errors.count("\n") == 1
    assert sorted(registered.iterdir()) == before
    monkeypatch.setenv("LLAMA_CPP", str(registered / "working" / "convert_hf_to_gguf.py"))
    assert export(*command)[0] == 0
    assert file.read_bytes() == b"GGUF"
    assert json.loads((registered / "answers.gguf.training.json").read_text())["model"] == "models:/answers/2"
    assert export(*command)[0] == 2
    assert export(*command, "--force")[0] == 0


def test_what_it_refuses_and_what_force_replaces(export: Export, registered: Path) -> None:
    to = registered / "out"
    for arguments, complaint in (
        (("models:/answers/1", "--format", "adapter"), "has no adapter"),
        (("models:/answers@old", "--format", "adapter"), "there is no model models:/answers@old"),
        (("models:/answers/1", "--format", "csv"), "the formats are adapter, safetensors and gguf"),
        (("models:/answers/1", "--format", "adapter", "--tokenizer", "x"), "are for datasets"),
    ):
        status, _, errors = export(*arguments, "--to", str(to))
        assert status == 2 and complaint in errors and errors.count("\n") == 1
        assert not to.exists() and not list(registered.glob(".out*"))
    command = ("models:/answers/1", "--format", "safetensors", "--to", str(to))
    assert export(*command)[0] == 0
    (to / "of-the-old-one").touch()
    assert "--force" in export(*command)[2]
    assert export(*command, "--force")[0] == 0
    assert not (to / "of-the-old-one").exists() and (to / "config.json").is_file()
    mine = registered / "mine"
    mine.mkdir()
    (mine / "diary.txt").touch()
    status, _, errors = export(*command[:-1], str(mine), "--force")
    assert status == 2 and "something else than an exported model" in errors and (mine / "diary.txt").exists()
    status, _, errors = export(*command[:-1], str(registered / "no" / "where"))
    assert status == 2 and "create it first" in errors


def test_a_model_that_a_provider_keeps_has_no_weights_here(export: Export, registered: Path, home: Path) -> None:
    client = MlflowClient()
    client.create_registered_model("hosted")
    for backend in ("openai", "ollama"):
        tags = {"llmops.hosted_model": "m", "llmops.backend": backend, "llmops.asked_as": f"{backend}/m"}
        client.create_model_version("hosted", "x", tags={**tags, "llmops.job_id": "job-0"})
    for version, name in (("1", "openai"), ("2", "ollama")):
        command = (f"models:/hosted/{version}", "--format", "safetensors", "--to", str(registered / "out"))
        status, _, errors = export(*command)
        assert status == 2 and f"ask it as {name}/m" in errors


def test_what_ollama_serves_was_trained_here(
    export: Export, registered: Path, home: Path, half_trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "training" / "job-0").mkdir(parents=True)
    (home / "training" / "job-0" / "result.json").write_text("{}")
    monkeypatch.setattr(LocalBackend, "merged", lambda self, job: half_trained)
    tags = {"llmops.hosted_model": "m", "llmops.backend": "ollama", "llmops.job_id": "job-0"}
    MlflowClient().create_registered_model("hosted")
    MlflowClient().create_model_version("hosted", "x", tags=tags)
    command = ("models:/hosted/1", "--format", "safetensors", "--to", str(registered / "out"))
    assert export(*command)[0] == 0
    assert (registered / "out" / "config.json").is_file()
