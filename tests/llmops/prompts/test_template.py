"""A prompt of the registry becomes the messages that are sent."""

from pathlib import Path

import mlflow
import pytest

from llmops.errors import InputError
from llmops.prompts import PromptTemplate, load_prompt

CHAT = [{"role": "system", "content": "You sell {{ product }}."}, {"role": "user", "content": "{{input}}"}]


def test_prompts_of_the_registry_by_version_and_by_alias(home: Path) -> None:
    mlflow.genai.register_prompt("sell", CHAT)
    mlflow.genai.register_prompt("sell", "Sell {{product}}: {{input}}")
    mlflow.genai.set_prompt_alias("sell", "best", 1)
    best, second = load_prompt("prompts:/sell@best"), load_prompt("prompts:/sell/2")
    assert (best.uri, second.uri) == ("prompts:/sell/1", "prompts:/sell/2")
    values = {"input": "How much?", "product": "tea", "context": None}
    assert best.render(values) == [
        {"role": "system", "content": "You sell tea."},
        {"role": "user", "content": "How much?"},
    ]
    assert second.render(values) == [{"role": "user", "content": "Sell tea: How much?"}]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sell", "write prompts:/NAME@ALIAS"),
        ("prompts:/nothing/1", "prompts:/nothing/1 is not in the MLflow registry"),
        ("prompts:/nothing@best", "prompts:/nothing@best is not in the MLflow registry"),
    ],
)
def test_a_prompt_that_is_not_there(home: Path, uri: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_prompt(uri)


def test_a_variable_without_a_value_is_named() -> None:
    prompt = PromptTemplate("prompts:/p/1", (("user", "{{input}} {{tone}} {{context}}"),))
    with pytest.raises(InputError, match="wants context, tone, which a sample lacks; it has input"):
        prompt.render({"input": "x", "context": None})
