"""Trainings on this machine as jobs: what they tell, what they leave, and what another process sees of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llmops.data import DatasetVersion
from llmops.data.exports import write_samples
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.errors import InputError
from llmops.finetuning import TrainingConfig, TrainingDivergedError, train
from llmops.finetuning.backends.backend import (
    BackendError,
    JobStatus,
    TrainingFiles,
    TunedModel,
    TuningRequest,
    Waiting,
)
from llmops.finetuning.backends.local import LocalBackend
from llmops.llm import LocalModel
from llmops.settings import settings
from tasks.datasets import dataset_store, training_pairs

Pairs = list[tuple[str, str]]
TOKEN = "small-0123456789abcdef"
LORA = TrainingConfig(method="lora", epochs=1, learning_rate=5e-3, batch_size=16, rank=4)
CONVERSATION = (
    '{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"Ann can sing 3 times"},'
    '{"role":"assistant","content":"sing: Ann x3"}]}'
)


def publish(pairs: Pairs) -> DatasetVersion:
    """The small task as a dataset version, with one conversation and one context among the training samples."""
    extra = [("Ann can sing 3 times", "sing: Ann x3"), ("Who sings?", "Ann")]
    rows = [*pairs[:60], *extra, *pairs[180:190]]
    table = sample_table(
        input=pa.chunked_array([[asked for asked, _ in rows]]),
        expected=pa.chunked_array([[right for _, right in rows]]),
        context=pa.chunked_array([[None] * 61 + ["Ann can sing."] + [None] * 10], pa.string()),
        messages=pa.chunked_array([[None] * 60 + [CONVERSATION] + [None] * 11], pa.string()),
    )
    split = pa.array(["train"] * 62 + ["validation"] * 10)
    return dataset_store().publish("small", table.set_column(SAMPLE_SCHEMA.get_field_index("split"), "split", split))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home; no training needs MLflow."""
    monkeypatch.setenv("LLMOPS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def request_of(home: Path, tmp_path: Path, toy_base: Path, pairs: Pairs) -> Any:
    """Makes a request for training the toy model on the small task."""
    version = publish(pairs)
    files = {}
    for split in ("train", "validation"):
        files[split] = tmp_path / f"{split}.jsonl"
        write_samples(dataset_store().read(version, split=split), files[split], "jsonl")
    counted = TrainingFiles(files["train"], files["validation"], 62, 10, tokens=1000, tokens_estimated=True)

    def request(training: TrainingConfig = LORA, base: Path = toy_base) -> TuningRequest:
        return TuningRequest(str(base), "small", TOKEN, training, counted)

    request.version = version  # type: ignore[attr-defined]
    return request


def test_it_trains_what_a_training_from_the_store_trains(request_of: Any, tmp_path: Path, toy_base: Path) -> None:
    stored = training_pairs(request_of.version)
    directly = train(toy_base, stored.train, stored.validation, LORA, tmp_path / "home" / "training" / TOKEN)
    backend = LocalBackend(tmp_path / "home" / "training")
    told: list[JobStatus] = []
    status = backend.follow(backend.submit(request_of(), {}, lambda *_: None), told.append, Waiting())
    # The folder's digest agrees, so the finished training is taken as it is; another pair would be refused.
    assert told == []
    assert status.state == "succeeded" and status.model == str(directly.model_path)
    assert [point.step for point in status.metrics] == [entry["step"] for entry in directly.log]


def test_a_job_from_its_request_to_its_weights(request_of: Any, tmp_path: Path, toy_base: Path) -> None:
    backend = LocalBackend(tmp_path / "training")
    assert backend.status(TOKEN).state == "unknown"
    job = backend.submit(request_of(), {}, lambda *_: None)
    assert job == TOKEN and backend.status(job).state == "queued"
    told: list[JobStatus] = []
    ended = backend.follow(job, told.append, Waiting())
    assert told[0].metrics == told[-1].metrics[:1] and told[-1].metrics == ended.metrics
    assert [status.progress for status in told] == sorted(status.progress or 0 for status in told)
    assert "loss" in told[0].detail and told[-1].progress == 1.0
    assert {status.total_steps for status in told} == {told[-1].metrics[-1].step}
    assert backend.status(job) == ended

    model = TunedModel(backend="local", model=ended.model or "", base_model=str(toy_base), job_id=job)
    deployed = backend.deploy(model, "small")
    assert deployed.asked_as == str(tmp_path / "training" / TOKEN / "fine-tuned-0123456789abcdef")
    assert backend.deploy(model, "small") == deployed
    asked = ["Ann can run 3 times", "Zoe can cook 8 times"]
    adapter = LocalModel.load(Path(model.model), toy_base).generate(asked, 12)
    assert LocalModel.load(Path(deployed.asked_as)).generate(asked, 12) == adapter

    written = backend.fetch(job, tmp_path / "fetched")
    names = {path.relative_to(tmp_path / "fetched").as_posix() for path in written}
    assert {
        "metrics.json",
        "training.json",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    } <= names
    assert json.loads((tmp_path / "fetched" / "metrics.json").read_text())["steps"] == 4
    backend.delete(deployed)
    assert not (tmp_path / "training" / TOKEN).exists()


def test_all_weights_are_their_own_merge(request_of: Any, tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "training")
    job = backend.submit(request_of(LORA.model_copy(update={"method": "full"})), {}, lambda *_: None)
    ended = backend.follow(job, lambda status: None, Waiting())
    deployed = backend.deploy(TunedModel(backend="local", model=ended.model or "", base_model="", job_id=job), "small")
    assert Path(deployed.asked_as or "").resolve() == Path(ended.model or "").resolve()
    assert [path.name for path in backend.fetch(job, tmp_path / "fetched")] == ["metrics.json", "training.json"]


class KilledError(BaseException):
    """Ends a training in the middle; tests/llmops/finetuning/test_training.py has the real kill -9."""


def test_an_interrupted_training_says_how_it_goes_on_and_does(request_of: Any, tmp_path: Path) -> None:
    request = request_of(LORA.model_copy(update={"checkpoint_steps": 1, "eval_steps": 1}))
    backend, elsewhere = LocalBackend(tmp_path / "training"), LocalBackend(tmp_path / "training")
    job = backend.submit(request, {}, lambda *_: None)

    def tell(status: JobStatus) -> None:
        assert elsewhere.status(job).state == "running"
        if (status.progress or 0) > 0.5:
            raise KilledError

    with pytest.raises(KilledError):
        backend.follow(job, tell, Waiting())
    left = elsewhere.status(job)
    assert left.state == "unknown" and "run the same command again" in (left.reason or "")
    assert left.progress and left.metrics
    ended = backend.follow(backend.submit(request, {}, lambda *_: None), lambda status: None, Waiting())
    assert ended.state == "succeeded" and ended.metrics[: len(left.metrics)] == left.metrics
    assert "resumed from step" in ended.detail and ended.trained_tokens is None


def test_a_training_over_its_deadline_stops_and_goes_on_from_its_checkpoint(request_of: Any, tmp_path: Path) -> None:
    request = request_of(LORA.model_copy(update={"checkpoint_steps": 1, "eval_steps": 1}))
    backend = LocalBackend(tmp_path / "training")
    job = backend.submit(request, {}, lambda *_: None)
    with pytest.raises(BackendError, match=r"hours \(--job\.waiting\.deadline-hours\) and was stopped: run the"):
        backend.follow(job, lambda status: None, Waiting(deadline_hours=1e-9))
    assert backend.status(job).state in ("unknown", "queued")
    backend.submit(request, {}, lambda *_: None)
    assert backend.follow(job, lambda status: None, Waiting(deadline_hours=1)).state == "succeeded"


def test_a_cancelled_training_stops_and_can_be_taken_up_again(request_of: Any, tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "training")
    job = backend.submit(request_of(), {}, lambda *_: None)
    elsewhere = LocalBackend(tmp_path / "training")
    stopped = backend.follow(job, lambda status: elsewhere.cancel(job), Waiting())
    assert stopped.state == "cancelled" and elsewhere.status(job).state == "cancelled"
    assert backend.submit(request_of(), {}, lambda *_: None) == job
    ended = backend.follow(job, lambda status: None, Waiting())
    assert ended.state == "succeeded"
    backend.cancel(job)
    assert backend.status(job) == ended


def test_a_diverged_training_has_failed(request_of: Any, tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "training")
    wild = LORA.model_copy(update={"learning_rate": 1e30, "warmup_ratio": 0.0})
    job = backend.submit(request_of(wild), {}, lambda *_: None)
    with pytest.raises(TrainingDivergedError):
        backend.follow(job, lambda status: None, Waiting())
    failed = backend.status(job)
    assert failed.state == "failed" and "lower the learning rate" in (failed.reason or "")


def test_what_it_refuses(request_of: Any, tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "training")
    with pytest.raises(InputError, match=r"config\.json"):
        backend.submit(request_of(base=tmp_path), {}, lambda *_: None)
    with pytest.raises(InputError, match=r"set training\.learning_rate"):
        backend.check("tiny", TrainingConfig(learning_rate_multiplier=2.0))
    with pytest.raises(InputError, match="start it again"):
        backend.follow(TOKEN, lambda status: None, Waiting())
    assert not (tmp_path / "training").exists()
    backend.check("tiny", LORA)
    assert backend.hyperparameters("tiny", TrainingConfig(rank=8)) == {"rank": 8}
    estimate = backend.estimate(request_of(TrainingConfig(epochs=2.5)))
    assert (estimate.tokens, estimate.cost) == (2500, 0.0)
