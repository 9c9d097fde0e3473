"""What the tests of OpenAI's and Azure OpenAI's fine-tuning share: an emulator, a server of ours, a request."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends import FineTuningBackend, JobSettings, TrainingFiles, TuningRequest, Waiting
from tests.emulators.aimock import Emulator, running_emulator
from tests.emulators.openai_fine_tuning_server import FineTuningServer, serving

KEY = "sk-proj-very-secret-0123456789"
_SETTINGS = (
    *("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_VERSION"),
    *("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "AZURE_SUBSCRIPTION_ID"),
    *("AZURE_RESOURCE_GROUP", "AZURE_MANAGEMENT_TOKEN", "AZURE_MANAGEMENT_ENDPOINT"),
)


@pytest.fixture
def no_openai(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a key or address of OpenAI or Azure."""
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture(scope="session")
def _aimock() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(_aimock: Emulator, no_openai: pytest.MonkeyPatch) -> Emulator:
    """aimock without files and jobs; both SDKs' variables name it."""
    _aimock.reset()
    _point_at(_aimock.url, "v1", no_openai)
    return _aimock


@pytest.fixture
def server(no_openai: pytest.MonkeyPatch) -> Iterator[FineTuningServer]:
    """A server of ours as the API documents it; both SDKs' variables and those of Azure's management name it."""
    with serving() as server:
        _point_at(server.url, "2025-03-01-preview", no_openai)
        yield server


def _point_at(url: str, version: str, environment: pytest.MonkeyPatch) -> None:
    settings = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": KEY,
        "AZURE_OPENAI_ENDPOINT": url,
        "AZURE_OPENAI_API_KEY": KEY,
        "OPENAI_API_VERSION": version,
        "AZURE_MANAGEMENT_ENDPOINT": url,
        "AZURE_MANAGEMENT_TOKEN": "management-secret",
        "AZURE_SUBSCRIPTION_ID": "subscription-1",
        "AZURE_RESOURCE_GROUP": "group-1",
    }
    for name, value in settings.items():
        environment.setenv(name, value)


@pytest.fixture
def settings() -> JobSettings:
    """Short waits."""
    waiting = Waiting(first_poll_s=0.01, longest_poll_s=0.05, patience_s=0.5)
    return JobSettings.model_validate({"waiting": waiting, "azure": {"account": "some-resource"}})


@pytest.fixture
def tuning_request(tmp_path: Path) -> Callable[..., TuningRequest]:
    """A request over two conversations, with settings: ``tuning_request(epochs=2)``."""

    def make(*, validation: bool = True, name: str = "support answers", **settings: Any) -> TuningRequest:
        files = {}
        for split in ("train", "validation"):
            messages = [{"role": "user", "content": f"{split}?"}, {"role": "assistant", "content": "Yes."}]
            files[split] = tmp_path / f"openai-{split}.jsonl"
            files[split].write_text((json.dumps({"messages": messages}) + "\n") * 2)
        return TuningRequest(
            base_model="some-base-model",
            name=name,
            token="llmops-0123456789abcdef-1",
            training=TrainingConfig(**settings),
            files=TrainingFiles(
                training=files["train"],
                validation=files["validation"] if validation else None,
                examples=2,
                validation_examples=2 if validation else 0,
                tokens=40,
                tokens_estimated=True,
            ),
        )

    return make


@pytest.fixture
def submit() -> Callable[..., str]:
    """Submits a request with what has been noted before, and returns the job's id: ``submit(backend, request)``."""

    def submit(backend: FineTuningBackend, request: TuningRequest, noted: Mapping[str, str] = {}) -> str:
        notes = dict(noted)
        job_id = backend.submit(request, notes, notes.__setitem__)
        assert notes["job"] == job_id
        return job_id

    return submit
