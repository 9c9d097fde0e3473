"""Estimates, computed by hand."""

from pathlib import Path
from typing import Any

import pytest

from llmops.finetuning.backends.backend import Estimate, TrainingFiles, TuningRequest
from llmops.finetuning.config import TrainingConfig
from llmops.finetuning.jobs import JobLedger, JobRecord
from llmops.finetuning.jobs.estimates import estimate, trained_cost
from llmops.finetuning.jobs.prices import TrainingPrice

PRICES = {
    price.name: price
    for price in (
        TrainingPrice(name="openai/gpt-4.1-mini", training_price=5),
        TrainingPrice(name="vertex/gemini", training_price=2, default_epochs=4, minimum_cost=3),
        TrainingPrice(name="bedrock/nova", default_epochs=2),
        TrainingPrice(name="azure/gpt", training_price=5, hosting_price=1.7),
    )
}


def request(base_model: str, tokens: int = 200_000, estimated: bool = False, **training: Any) -> TuningRequest:
    files = TrainingFiles(Path("train.jsonl"), None, 100, 0, tokens, estimated)
    return TuningRequest(base_model, "support", "llmops-0-1", TrainingConfig(**training), files)


def test_tokens_times_epochs_times_price() -> None:
    asked = request("gpt-4.1-mini-2025-04-14", epochs=3)
    found = estimate("openai", asked, prices=PRICES, earlier=[])
    assert (found.tokens, found.cost, found.seconds) == (600_000, 3.0, None)
    assert found.basis == (
        "200,000 tokens x 3 epochs x $5 a million; the time is unknown before a first job of this base model"
    )


def test_the_providers_default_epochs_and_its_minimum() -> None:
    found = estimate("vertex", request("gemini", tokens=1000, estimated=True), prices=PRICES, earlier=[])
    assert (found.tokens, found.cost) == (4000, 3.0)
    assert found.basis.startswith("about 1,000 tokens x 4 epochs (the provider's default) x $2 a million, at least $3")


def test_epochs_that_only_the_provider_knows_leave_the_cost_unknown() -> None:
    found = estimate("openai", request("gpt-4.1-mini"), prices=PRICES, earlier=[])
    assert (found.tokens, found.cost, found.seconds) == (None, None, None)
    assert "epochs that the provider chooses" in found.basis
    known = estimate("openai", request("gpt-4.1-mini"), default_epochs=2, prices=PRICES, earlier=[])
    assert known.cost == 2.0


@pytest.mark.parametrize(("backend", "base_model"), [("openai", "gpt-9"), ("bedrock", "nova")])
def test_an_unknown_price_is_not_nothing(backend: str, base_model: str) -> None:
    found = estimate(backend, request(base_model, epochs=2), prices=PRICES, earlier=[])
    assert (found.tokens, found.cost) == (400_000, None)
    assert "at an unknown price" in found.basis


def test_hosting_is_said() -> None:
    found = estimate("azure", request("gpt", epochs=1), prices=PRICES, earlier=[])
    assert found.basis.endswith("; a deployment costs $1.7 an hour")


@pytest.mark.parametrize("backend", ["local", "ollama"])
def test_a_training_here_costs_nothing_and_has_our_epochs(backend: str) -> None:
    found = estimate(backend, request("tiny"), prices=PRICES, earlier=[])
    assert (found.tokens, found.cost) == (600_000, 0.0)  # three epochs, which nobody has set
    # 25 steps of 2 x 4 examples are two passes over a hundred.
    steps = {"max_steps": 25, "batch_size": 2, "gradient_accumulation": 4}
    assert estimate(backend, request("tiny", **steps), prices=PRICES, earlier=[]).tokens == 400_000


def test_the_time_is_that_of_earlier_jobs_of_the_same_base_model(ledger: JobLedger, job: dict[str, Any]) -> None:
    def ended(number: int, seconds: float, tokens: int | None, state: str = "succeeded", **other: Any) -> JobRecord:
        record = ledger.begin(**{**job, "base_model": "gpt-4.1-mini", "key": f"{number:016x}" * 4, **other})
        return ledger.update(record.id, state=state, seconds=seconds, trained_tokens=tokens)

    # 1, 2 and 9 milliseconds a token: the middle one.
    earlier = [ended(1, 100, 100_000), ended(2, 200, 100_000), ended(3, 900, 100_000)]
    earlier += [
        ended(4, 5000, 10, state="failed"),
        ended(5, 5000, None),
        ended(6, 5000, 10, base_model="another"),
        ended(7, 5000, 10, backend="azure"),
    ]
    found = estimate("openai", request("gpt-4.1-mini", epochs=1), prices=PRICES, earlier=earlier)
    assert found.seconds == pytest.approx(400)
    assert "the time as of 3 earlier jobs" in found.basis
    unknown = estimate("openai", request("gpt-4.1-mini"), prices=PRICES, earlier=earlier)
    assert unknown.seconds is None


def test_where_the_provider_tells_no_tokens_the_time_goes_by_those_that_were_estimated(
    ledger: JobLedger, job: dict[str, Any]
) -> None:
    def ended(backend: str) -> JobRecord:
        begun = {**job, "backend": backend, "base_model": "nova", "estimate": Estimate(tokens=100_000)}
        return ledger.update(ledger.begin(**begun).id, state="succeeded", seconds=200)

    asked = request("nova", epochs=1)
    found = estimate("bedrock", asked, prices=PRICES, earlier=[ended("bedrock")])
    assert found.seconds == pytest.approx(400)
    # Here it means that there was an interruption, and the time has it in it.
    assert estimate("local", asked, prices=PRICES, earlier=[ended("local")]).seconds is None


def test_by_default_it_reads_the_ledger_of_this_home_and_the_prices_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmops.finetuning.jobs.estimates.job_ledger", lambda: JobLedger(tmp_path / "jobs"))
    found = estimate("openai", request("gpt-4.1-mini-2025-04-14", epochs=2))
    assert found.cost == pytest.approx(2.0)
    assert not (tmp_path / "jobs").exists()


def test_what_a_job_has_cost() -> None:
    assert trained_cost("openai", "gpt-4.1-mini", 3_000_000, PRICES) == 15.0
    assert trained_cost("openai", "gpt-4.1-mini", None, PRICES) is None
    assert trained_cost("openai", "gpt-9", 1, PRICES) is None
    assert trained_cost("local", "tiny", 1, PRICES) == 0.0
