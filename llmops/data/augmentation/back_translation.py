"""Back-translation: into another language and back, by a model that is asked or by two translation models.

After Sennrich, Haddow & Birch, "Improving Neural Machine Translation Models with Monolingual Data" (2016).
"""

from collections.abc import Sequence

from llmops.data.augmentation.config import BackTranslationConfig
from llmops.data.augmentation.paraphrase import ask, filled, unquoted
from llmops.data.augmentation.task import Task
from llmops.llm.text_generator import TextGenerator


def ask_there_and_back(tasks: Sequence[Task], config: BackTranslationConfig, model: TextGenerator) -> list[str | None]:
    """Ask a model for both translations; each copy of a sample goes through the next language.

    Raises:
        ServiceError: the model answers another number of prompts than it was asked.
    """
    there = [
        filled(config.prompt, text=task.text, language=config.through[task.copy % len(config.through)])
        for task in tasks
    ]
    foreign = ask(model, there, config.max_new_tokens)
    back = [filled(config.prompt, text=text, language=config.language) for text in foreign]
    answers = ask(model, back, config.max_new_tokens)
    return [unquoted(answer, task.text) for answer, task in zip(answers, tasks, strict=True)]


def translate_there_and_back(
    tasks: Sequence[Task], config: BackTranslationConfig, there: TextGenerator, back: TextGenerator
) -> list[str | None]:
    """Translate by two models that know nothing but translating."""
    foreign = ask(there, [task.text for task in tasks], config.max_new_tokens)
    return [text.strip() for text in ask(back, foreign, config.max_new_tokens)]
