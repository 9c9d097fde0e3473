"""Paraphrase: a model says the input in other words."""

from collections.abc import Sequence

from llmops.data.augmentation.config import ParaphraseConfig
from llmops.data.augmentation.task import Task
from llmops.errors import ServiceError
from llmops.llm.text_generator import TextGenerator

_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "„": "“"}


def paraphrase(tasks: Sequence[Task], config: ParaphraseConfig, model: TextGenerator) -> list[str | None]:
    """Ask for a paraphrase of every text, all at once; each copy of a sample takes the next prompt.

    Raises:
        ServiceError: the model answers another number of prompts than it was asked.
    """
    prompts = [filled(config.prompts[task.copy % len(config.prompts)], text=task.text) for task in tasks]
    answers = ask(model, prompts, config.max_new_tokens)
    return [unquoted(answer, task.text) for answer, task in zip(answers, tasks, strict=True)]


def filled(prompt: str, *, text: str, language: str = "") -> str:
    """A prompt with its {language} and {text} filled in; other braces, also those of the text, stay.

    >>> filled("Into {language}, as {json}: {text}", text="Hi {text}", language="French")
    'Into French, as {json}: Hi {text}'
    """
    return text.join(part.replace("{language}", language) for part in prompt.split("{text}"))


def ask(model: TextGenerator, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    """One answer for each prompt.

    Raises:
        ServiceError: the model answers another number of prompts than it was asked.
    """
    if not prompts:
        return []
    answers = model.generate(prompts, max_new_tokens=max_new_tokens)
    if len(answers) != len(prompts):
        raise ServiceError(f"the model gave {len(answers)} answers to {len(prompts)} prompts; try again or change it")
    return answers


def unquoted(answer: str, source: str) -> str:
    """An answer without the quotation marks that a model likes to put around it.

    >>> unquoted(' "Where is my card?" ', "Where's my card?")
    'Where is my card?'
    """
    answer = answer.strip()
    closing = _QUOTES.get(answer[:1])
    if closing and len(answer) > 1 and answer.endswith(closing) and not source.strip().startswith(answer[0]):
        return answer[1:-1].strip()
    return answer
