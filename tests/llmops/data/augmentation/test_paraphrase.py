"""Paraphrase and back-translation by models whose answers are known."""

from collections.abc import Sequence

import pytest

from llmops.data.augmentation import BackTranslationConfig, ParaphraseConfig
from llmops.data.augmentation.back_translation import ask_there_and_back
from llmops.data.augmentation.paraphrase import paraphrase, unquoted
from llmops.data.augmentation.task import Task
from llmops.errors import ServiceError


class Scripted:
    """Answers from a table, and keeps what it was asked."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []

    def generate(self, inputs: Sequence[str], /, max_new_tokens: int) -> list[str]:
        self.asked.append(list(inputs))
        return [self.answers[prompt] for prompt in inputs]


def test_each_copy_takes_the_next_prompt_and_all_are_asked_at_once() -> None:
    model = Scripted({"A hi {text} {x}!": '"hello"', "B hi {text} {x}": "«hey» you"})
    config = ParaphraseConfig(prompts=("A {text}!", "B {text}"))
    tasks = [Task("hi {text} {x}", "", copy, "") for copy in (0, 1, 2)]
    assert paraphrase(tasks, config, model) == ["hello", "«hey» you", "hello"]
    assert len(model.asked) == 1


def test_quotation_marks_of_the_source_stay() -> None:
    assert unquoted('"Go" she said "now"', '"Go" and "now"') == '"Go" she said "now"'
    assert unquoted("“Gehen Sie.”", "Geh.") == "Gehen Sie."
    assert unquoted('"', "x") == '"'


def test_back_translation_goes_there_and_back() -> None:
    model = Scripted(
        {
            "German: the cat": "die Katze",
            "English: die Katze": "this cat",
            "French: the cat": "le chat",
            "English: le chat": "cat",
        }
    )
    config = BackTranslationConfig(prompt="{language}: {text}", through=("German", "French"))
    tasks = [Task("the cat", "", copy, "") for copy in (0, 1)]
    assert ask_there_and_back(tasks, config, model) == ["this cat", "cat"]
    assert model.asked == [["German: the cat", "French: the cat"], ["English: die Katze", "English: le chat"]]


def test_a_model_that_loses_answers() -> None:
    class Lossy:
        def generate(self, inputs: Sequence[str], /, max_new_tokens: int) -> list[str]:
            return list(inputs)[1:]

    with pytest.raises(ServiceError, match="1 answers to 2 prompts"):
        paraphrase([Task("a", "", 0, ""), Task("b", "", 0, "")], ParaphraseConfig(), Lossy())


def test_nothing_to_ask() -> None:
    assert paraphrase([], ParaphraseConfig(), Scripted({})) == []
