"""Trained here and served by Ollama, from the data to a champion and back; it answers there as it does here."""

from pathlib import Path

import pyarrow as pa
import pytest

from flows.evaluate import evaluate
from flows.fine_tune import fine_tune
from flows.rollback import rollback
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import JobSettings
from llmops.finetuning.backends.local import LocalBackend
from llmops.finetuning.jobs import job_ledger
from tasks.datasets import dataset_store
from tasks.evaluation_result import ComparedWith, EvaluationResult
from tasks.hosted_models import find_hosted_model
from tests.emulators.ollama_server import OllamaServer, full_name

pytestmark = [pytest.mark.service, pytest.mark.slow]

LORA = TrainingConfig(method="lora", epochs=4, learning_rate=1e-2, rank=8, max_length=64)
SHORT = EvaluationConfig(max_new_tokens=20)
# Forty-five inputs cannot tell a few points apart; with these margins a model that answers as well passes.
WIDE = GateConfig(margins={"exact_match": 0.9, "chrf": 90.0})


@pytest.fixture
def small(home: Path, pairs: list[tuple[str, str]]) -> str:
    """The base answers "sing: Ann x3"; here it is taught to answer "sing"."""
    taught = [(asked, right.partition(":")[0]) for asked, right in pairs]
    columns = [pa.chunked_array([list(texts)]) for texts in zip(*taught, strict=True)]
    table = sample_table(input=columns[0], expected=columns[1])
    split = pa.array(["train"] * 180 + ["test"] * 45)
    table = table.set_column(SAMPLE_SCHEMA.get_field_index("split"), "split", split)
    return dataset_store().publish("small", table).uri


def test_from_the_data_to_a_champion_and_back(
    small: str, prefect_server: str, home: Path, half_trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP", raising=False)

    def tune(**ollama: str) -> EvaluationResult:
        job = JobSettings.model_validate({"ollama": ollama})
        base = str(half_trained)
        return fine_tune(small, "small", base, "ollama", training=LORA, evaluation=SHORT, gate=WIDE, job=job)

    with OllamaServer({"toy": half_trained}) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        weights = tune()
        assert (weights.metrics["exact_match"].value, weights.baseline["exact_match"].value) == (1.0, 0.0)
        assert weights.promotion is not None and (weights.promotion.status, weights.exit_status) == ("promoted", 0)
        first = champion()
        assert server.model(first.removeprefix("ollama/")).adapter is None
        [record] = job_ledger().all()
        here = str(LocalBackend(home / "training").merged(str(record.job_id)))
        assert same_answers(evaluate(small, "models:/small@champion", baseline=[here], evaluation=SHORT).comparisons[0])

        adapter = tune(base="toy")
        assert adapter.promotion is not None
        assert (adapter.promotion.status, adapter.promotion.version) == ("promoted", "2")
        second = champion()
        assert second != first and server.model(second.removeprefix("ollama/")).adapter is not None
        assert same_answers(adapter.comparisons[1])

        # Somebody has removed the first meanwhile.
        server.models.pop(full_name(first.removeprefix("ollama/")))
        assert rollback("small").rollback.champion == "1"
        assert champion() == first
        again = evaluate(small, "models:/small@champion", evaluation=SHORT.model_copy(update={"max_new_tokens": 19}))
        assert again.metrics["exact_match"] == weights.metrics["exact_match"]
        assert again.asking is not None
        assert (again.asking.answered, again.asking.reused, again.asking.failed) == (45, 0, {})


def champion() -> str:
    """What the champion is asked as."""
    hosted = find_hosted_model("models:/small@champion")
    assert hosted is not None
    return hosted.require_answer()


def same_answers(compared: ComparedWith) -> bool:
    """Whether two models got the same questions right."""
    assert compared.changes is not None
    return (compared.changes.regressed, compared.changes.fixed) == (0, 0)
