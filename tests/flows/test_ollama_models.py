"""A model trained here and imported into Ollama is scored by `evaluate` under its name there, as it is here."""

from pathlib import Path

import pyarrow as pa
import pytest

from flows.evaluate import evaluate
from llmops.data.exports import write_samples
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends.backend import TrainingFiles, TunedModel, TuningRequest, Waiting
from llmops.finetuning.backends.ollama_import import OllamaBackend
from llmops.finetuning.backends.settings import OllamaSettings
from tasks.datasets import dataset_store
from tests.emulators.ollama_server import OllamaServer

pytestmark = [pytest.mark.service, pytest.mark.slow]

TOKEN = "small-0123456789abcdef"
LORA = TrainingConfig(method="lora", epochs=4, learning_rate=1e-2, rank=8, max_length=64)


@pytest.mark.parametrize("base", ["toy", None], ids=["the adapter on its base", "full weights"])
def test_evaluate_scores_by_name_what_was_trained(
    base: str | None,
    prefect_server: str,
    home: Path,
    half_trained: Path,
    pairs: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The base answers "sing: Ann x3"; it is taught to answer "sing".
    taught = [(asked, right.partition(":")[0]) for asked, right in pairs]
    columns = [pa.chunked_array([list(texts)]) for texts in zip(*taught, strict=True)]
    table = sample_table(input=columns[0], expected=columns[1])
    split = pa.array(["train"] * 180 + ["test"] * 45)
    table = table.set_column(SAMPLE_SCHEMA.get_field_index("split"), "split", split)
    version = dataset_store().publish("small", table)
    write_samples(dataset_store().read(version, split="train"), tmp_path / "train.jsonl", "jsonl")

    monkeypatch.delenv("LLAMA_CPP", raising=False)
    with OllamaServer({"toy": half_trained}) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        backend = OllamaBackend(home / "training", OllamaSettings(base=base))
        files = TrainingFiles(tmp_path / "train.jsonl", None, 180, 0, tokens=1000, tokens_estimated=True)
        job = backend.submit(TuningRequest(str(half_trained), "small", TOKEN, LORA, files), {}, lambda *_: None)
        ended = backend.follow(job, lambda status: None, Waiting())
        model = TunedModel(backend="ollama", model=str(ended.model), base_model=str(half_trained), job_id=job)
        deployed = backend.deploy(model, "small-1")
        here = [str(half_trained), str(backend.merged(job))]
        evaluation = EvaluationConfig(max_new_tokens=20)
        result = evaluate(
            "small", str(deployed.asked_as), metrics=["exact_match"], baseline=here, evaluation=evaluation
        )
    untrained, same = result.comparisons
    assert result.model_uri == "ollama/small-1" and result.asking is not None
    assert (result.asking.answered, result.asking.retried, result.asking.failed) == (45, 0, {})
    assert same.changes is not None and (same.changes.regressed, same.changes.fixed) == (0, 0)
    assert untrained.changes is not None and untrained.changes.fixed > 30
