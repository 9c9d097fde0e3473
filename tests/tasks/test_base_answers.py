"""A base that cannot be asked by its name is found out before anything is paid."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from llmops.errors import InputError, ServiceError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.finetuning.backends import JobSettings
from tasks import planned_jobs
from tasks.base_answers import PATIENCE, require_answer

pytestmark = pytest.mark.service


@pytest.fixture
def endpoint(chat_endpoint: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An endpoint, as OpenAI's SDK finds it; nobody waits long for it."""
    endpoint = chat_endpoint()
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setattr("tasks.base_answers.PATIENCE", PATIENCE.model_copy(update={"max_attempts": 2}))
    return endpoint


def test_one_that_answers_is_asked_once(endpoint: Any) -> None:
    require_answer("openai/base")
    assert endpoint.seen()["total"] == 1


def test_one_that_never_will_is_named_with_what_to_do(endpoint: Any) -> None:
    endpoint.fail({"kind": 404, "times": 9})
    with pytest.raises(InputError, match=r"cannot be asked as openai/base: .*; set job\.baseline"):
        require_answer("openai/base")


def test_one_that_does_not_answer_now_is_no_wrong_input(endpoint: Any) -> None:
    endpoint.fail({"kind": 500, "times": 9})
    with pytest.raises(ServiceError, match="does not answer as openai/base"):
        require_answer("openai/base")


@pytest.mark.parametrize(
    ("backend", "base_model", "baseline", "asked"),
    [
        ("bedrock", "amazon.nova-lite-v1:0:300k", None, "bedrock/amazon.nova-lite-v1:0"),
        ("anthropic", "anthropic.claude-3-haiku-20240307-v1:0:200k", None,
         "bedrock/anthropic.claude-3-haiku-20240307-v1:0"),
        ("bedrock", "amazon.nova-lite-v1:0:300k", "bedrock/us.amazon.nova-lite-v1:0",
         "bedrock/us.amazon.nova-lite-v1:0"),
        ("openai", "a:0:300k", None, "openai/a:0:300k"),
    ],
)  # fmt: skip
def test_the_name_by_which_a_base_is_asked(
    backend: str, base_model: str, baseline: str | None, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/custom-model-fine-tuning.html: tuned with :300k."""
    connected: list[str] = []
    monkeypatch.setattr(planned_jobs, "connect", connected.append)
    place: Any = SimpleNamespace(name=backend, check=lambda *_: None)
    planned_jobs.require_tunable(
        place, base_model, TrainingConfig(), EvaluationConfig(), ScratchRecipe(), JobSettings(baseline=baseline), []
    )
    assert connected == [asked]
