"""Anything that answers prompts with text: a model on this machine, or one behind an API."""

from collections.abc import Sequence
from typing import Protocol


class TextGenerator(Protocol):
    """What a step needs of a model that writes; `llmops.llm.LocalModel` is one."""

    def generate(self, inputs: Sequence[str], /, max_new_tokens: int) -> list[str]:
        """Answer each input, in the order given, in at most ``max_new_tokens`` tokens each."""
        ...
