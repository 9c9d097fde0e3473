"""Trained here, imported into Ollama through its SDK, and asked there by name: what answers is what was trained."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llmops.data.exports import write_samples
from llmops.data.samples import sample_table
from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends.backend import BackendError, TrainingFiles, TunedModel, TuningRequest, Waiting
from llmops.finetuning.backends.ollama_import import OllamaBackend
from llmops.finetuning.backends.ollama_template import modelfile, ollama_template, stop_texts, turn_texts
from llmops.finetuning.backends.settings import OllamaSettings
from llmops.llm import LocalModel
from llmops.llm.completions import Parameters
from llmops.llm.providers import connect
from tests.emulators.ollama_server import OllamaServer, render

Pairs = list[tuple[str, str]]
TOKEN = "small-0123456789abcdef"
LORA = TrainingConfig(method="lora", epochs=3, learning_rate=1e-2, batch_size=16, rank=8, max_length=64)
MODEL = TunedModel(backend="ollama", model="", base_model="", job_id=TOKEN)
QUESTIONS = ["Ann can run 3 times", "Zoe can cook 8 times", "Max can read 0 times", "Eve can sing 5 times"]


@pytest.fixture(scope="module")
def folder(half_trained: Path, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished training: adapters that have a model answer `sing` instead of `sing: Ann x3`."""
    folder = tmp_path_factory.mktemp("training")
    table = sample_table(
        input=pa.chunked_array([[asked for asked, _ in pairs[:180]]]),
        expected=pa.chunked_array([[right.partition(":")[0] for _, right in pairs[:180]]]),
    )
    write_samples(table, folder / "train.jsonl", "jsonl")
    files = TrainingFiles(folder / "train.jsonl", None, 180, 0, tokens=1000, tokens_estimated=True)
    backend = OllamaBackend(folder)
    job = backend.submit(TuningRequest(str(half_trained), "small", TOKEN, LORA, files), {}, lambda *_: None)
    assert backend.follow(job, lambda status: None, Waiting()).state == "succeeded"
    return folder


@pytest.fixture
def ollama(half_trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """A server that has the base model as `toy`."""
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    with OllamaServer({"toy": half_trained}) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def fresh(folder: Path) -> Iterator[Path]:
    """The folder, with nothing imported yet."""
    yield folder
    (folder / TOKEN / "ollama.json").unlink(missing_ok=True)


def asked(name: str | None) -> list[str]:
    async def ask() -> list[str]:
        model = connect(name or "")
        try:
            answers = [
                await model.complete([{"role": "user", "content": one}], Parameters(), 30.0) for one in QUESTIONS
            ]
        finally:
            await model.close()
        assert {answer.finish_reason for answer in answers} == {"stop"}
        return [answer.text.strip() for answer in answers]

    return asyncio.run(ask())


@pytest.mark.parametrize("base", ["toy", None], ids=["the adapter on its base", "full weights"])
def test_what_ollama_answers_is_what_was_trained(
    base: str | None, fresh: Path, ollama: OllamaServer, half_trained: Path
) -> None:
    said: list[str] = []
    backend = OllamaBackend(fresh, OllamaSettings(base=base), said.append)
    backend.check("tiny", LORA)
    deployed = backend.deploy(MODEL, "small")
    assert deployed.asked_as == "ollama/small"
    local = LocalModel.load(fresh / TOKEN / "model", half_trained).generate(QUESTIONS, 20)
    assert asked(deployed.asked_as) == local
    assert local == ["run", "cook", "read", "sing"]
    assert said[-1] == "success" and any(text.startswith("uploading") for text in said)

    ollama.seen.clear()
    assert backend.deploy(MODEL, "small") == deployed
    assert ollama.seen == ["GET /api/tags"]

    assert backend.undeploy(deployed).asked_as is None
    assert "small:latest" not in ollama.models
    backend.undeploy(deployed)
    ollama.seen.clear()
    assert backend.deploy(MODEL, "small") == deployed
    # The files are there still: nothing is uploaded a second time.
    assert [one for one in ollama.seen if one.startswith("POST")] == ["POST /api/create"]


def test_the_modelfile_says_the_same(fresh: Path, ollama: OllamaServer, tmp_path: Path) -> None:
    backend = OllamaBackend(fresh, OllamaSettings(base="toy", system="Be short."))
    backend.deploy(MODEL, "small")
    written = (fresh / TOKEN / "Modelfile").read_text()
    assert written.startswith("# ollama create small -f Modelfile\nFROM toy\nADAPTER ./model\n")
    assert 'SYSTEM """Be short."""\nPARAMETER temperature 0\n' in written
    assert "PARAMETER num_predict 64\n" in written and "PARAMETER num_ctx 96\n" in written
    stored = ollama.models["small:latest"]
    assert f'TEMPLATE """{stored.template}"""' in written and stored.system == "Be short."
    assert tmp_path / "Modelfile" in backend.fetch(TOKEN, tmp_path)
    # What is fetched lies together: the adapter is in the folder that the file names.
    assert "ADAPTER ./adapter\n" in (tmp_path / "Modelfile").read_text()
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


def test_a_converter_makes_one_gguf_file(
    fresh: Path, ollama: OllamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "convert_hf_to_gguf.py"
    script.write_text("import sys\nopen(sys.argv[sys.argv.index('--outfile') + 1], 'wb').write(b'GGUF')\n")
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    ollama.version = "0.34.1"
    OllamaBackend(fresh).deploy(MODEL, "small")
    weights = ollama.models["small:latest"].weights
    assert [file.name for file in weights.iterdir()] == ["fine-tuned-0123456789abcdef.gguf"]
    assert "FROM ./fine-tuned-0123456789abcdef.gguf\n" in (fresh / TOKEN / "Modelfile").read_text()
    (fresh / TOKEN / "fine-tuned-0123456789abcdef.gguf").unlink()


def test_what_is_refused_before_training(folder: Path, ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match=r"has no base llama9 .*: `ollama pull llama9`") as unknown:
        OllamaBackend(folder, OllamaSettings(base="llama9")).check("tiny", LORA)
    assert unknown.value.kind == "missing" and "\n" not in str(unknown.value)
    with pytest.raises(InputError, match="method full trains none"):
        OllamaBackend(folder, OllamaSettings(base="toy")).check("tiny", TrainingConfig(method="full"))
    ollama.version = "0.34.1"
    with pytest.raises(InputError, match=r"unset job\.ollama\.base"):
        OllamaBackend(folder, OllamaSettings(base="toy")).check("tiny", LORA)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(BackendError, match="ollama serve") as nobody:
        OllamaBackend(folder).check("tiny", LORA)
    assert nobody.value.kind == "unreachable"


def test_what_ollama_refuses_is_one_line_and_leaves_no_model(fresh: Path, ollama: OllamaServer) -> None:
    backend = OllamaBackend(fresh)
    ollama.room = 1000
    with pytest.raises(BackendError, match="no space left on device; make room"):
        backend.deploy(MODEL, "small")
    ollama.room = 10**9
    ollama.version = "0.34.1"
    with pytest.raises(BackendError, match="LLAMA_CPP") as refused:
        backend.deploy(MODEL, "small")
    assert refused.value.kind == "refused" and "\n" not in str(refused.value)
    config = fresh / TOKEN / "fine-tuned-0123456789abcdef" / "config.json"
    before = config.read_text()
    config.write_text(before.replace("LlamaForCausalLM", "MambaForCausalLM"))
    ollama.version = "0.30.0"
    with pytest.raises(BackendError, match='unsupported architecture "MambaForCausalLM"'):
        backend.deploy(MODEL, "small")
    config.write_text(before)
    assert list(ollama.models) == ["toy:latest"]


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
TALK = [("system", "Be short."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Who?")]


@pytest.fixture
def tokenizer(half_trained: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(half_trained)


@pytest.mark.parametrize("template", [None, CHATML], ids=["ours", "ChatML"])
def test_a_template_says_in_ollama_what_it_says_in_jinja(template: str | None, tokenizer: Any) -> None:
    tokenizer.chat_template = template or tokenizer.chat_template
    messages = [{"role": role, "content": content} for role, content in TALK]
    translated = ollama_template(tokenizer)
    assert translated is not None
    wanted = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert render(translated, messages) == wanted


def test_chatml_is_written_as_ollamas_own_library_writes_it(tokenizer: Any) -> None:
    tokenizer.chat_template = CHATML
    assert ollama_template(tokenizer) == (
        '{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n'
        "{{ end }}{{ end }}<|im_start|>assistant\n"
    )


def test_a_template_that_changes_what_is_said_is_not_guessed(tokenizer: Any) -> None:
    for template in (
        LLAMA3,  # trims
        "{% for message in messages %}{{ message['content'] | upper }}{% endfor %}",
        "{{ raise_exception('no') }}",
        "{{ messages[-1]['content'] }}",
    ):
        tokenizer.chat_template = template
        assert turn_texts(tokenizer) is None
        assert stop_texts(tokenizer) == [tokenizer.eos_token]


def test_a_modelfile_repeats_what_has_several_values() -> None:
    text = modelfile("./weights", None, None, None, {"stop": ["<a>", '"b"']})
    assert [json.loads(line.split(" ", 2)[2]) for line in text.splitlines()[1:]] == ["<a>", '"b"']
