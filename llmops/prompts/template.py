"""A prompt of the MLflow registry, and a question put into it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmops.errors import InputError
from llmops.llm.completions import Message

_VARIABLE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


@dataclass(frozen=True)
class PromptTemplate:
    """Messages with ``{{variables}}``: ``input``, ``context``, and the names of a sample's metadata.

    Attributes:
        uri: ``prompts:/NAME/VERSION``, whatever alias it was named by.
        messages: role and text of each message.
    """

    uri: str
    messages: tuple[tuple[str, str], ...]

    @property
    def variables(self) -> frozenset[str]:
        """The names of its variables."""
        return frozenset(name for _, text in self.messages for name in _VARIABLE.findall(text))

    def render(self, values: Mapping[str, str | None]) -> list[Message]:
        """The messages with every variable replaced; what is put in is not looked at for variables again.

        >>> prompt = PromptTemplate("prompts:/greet/1", (("system", "Be brief."), ("user", "{{ input }} ({{lang}})")))
        >>> prompt.render({"input": "Why {{x}}?", "lang": "en"})[1]
        {'role': 'user', 'content': 'Why {{x}}? (en)'}

        Raises:
            InputError: a variable has no value.
        """
        missing = sorted(name for name in self.variables if values.get(name) is None)
        if missing:
            given = ", ".join(name for name, value in values.items() if value is not None)
            raise InputError(
                f"the prompt {self.uri} wants {', '.join(missing)}, which a sample lacks; it has {given}: "
                "change the prompt or map the column when preparing the dataset"
            )
        return [
            {"role": role, "content": _VARIABLE.sub(lambda found: str(values[found[1]]), text)}
            for role, text in self.messages
        ]


def load_prompt(uri: str) -> PromptTemplate:
    """A prompt of the MLflow registry.

    A text prompt that holds ``{{input}}`` is the user's message; one that does not is the system's, and the user's is
    the input. A chat prompt is taken as it is.

    Args:
        uri: ``prompts:/NAME@ALIAS`` or ``prompts:/NAME/VERSION``.

    Raises:
        InputError: there is no such prompt.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    if not re.fullmatch(r"prompts:/[^/@]+(@[^/@]+|/[^/@]+)", uri):
        raise InputError(f"prompt {uri!r} is no name of a prompt: write prompts:/NAME@ALIAS or prompts:/NAME/VERSION")
    try:
        found = mlflow.genai.load_prompt(uri)
    except MlflowException as error:
        raise InputError(f"prompt {uri} is not in the MLflow registry ({str(error).splitlines()[0]})") from error
    return PromptTemplate(f"prompts:/{found.name}/{found.version}", messages_of(found.template))


def messages_of(template: str | Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """A template of the registry as messages.

    >>> messages_of("Answer in French.")
    (('system', 'Answer in French.'), ('user', '{{input}}'))
    """
    if not isinstance(template, str):
        return tuple((message["role"], message["content"]) for message in template)
    if "input" in _VARIABLE.findall(template):
        return (("user", template),)
    return (("system", template), ("user", "{{input}}"))
