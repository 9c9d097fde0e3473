"""Questions inside a prompt."""

from collections.abc import Sequence
from typing import overload

from llmops.evaluation.questions import Questions
from llmops.llm.completions import Message
from llmops.prompts import PromptTemplate


class PromptedQuestions(Sequence[Sequence[Message]]):
    """What is sent for each question where a prompt stands around it; made when looked at, so that it takes no memory.

    The prompt's variables are ``input``, ``context`` and the names of the metadata.
    """

    def __init__(self, prompt: PromptTemplate, questions: Questions) -> None:
        self.prompt = prompt
        self.questions = questions

    def __len__(self) -> int:
        return len(self.questions)

    @overload
    def __getitem__(self, place: int) -> Sequence[Message]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sequence[Message]]: ...
    def __getitem__(self, place: int | slice) -> Sequence[Message] | Sequence[Sequence[Message]]:
        """The messages of one question, or of those of a slice (InputError: a question lacks a variable)."""
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            return self._rendered(self.questions.slice(start, max(start, stop)))[::step]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        return self._rendered(self.questions.slice(place, place + 1))[0]

    def _rendered(self, part: Questions) -> list[list[Message]]:
        values = zip(part.inputs, part.contexts, part.metadata, strict=True)
        return [
            self.prompt.render({**metadata, "input": text, "context": context}) for text, context, metadata in values
        ]
