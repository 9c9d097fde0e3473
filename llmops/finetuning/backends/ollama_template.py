"""A model's chat template as Ollama writes it, and the Modelfile.

Ollama's templates are Go's, a tokenizer's are Jinja's. Most of them only put each message between two texts of its
role; those two texts are found by rendering conversations, and the translation is used only if it renders a longer
conversation as the original does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

Turns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TurnTexts:
    """What stands before and behind a message of each role, at the very beginning, and before the answer."""

    beginning: str
    around: Mapping[str, tuple[str, str]]
    answer: str

    def render(self, turns: Turns) -> str:
        """A conversation that waits for the assistant's answer."""
        said = [self.around[role][0] + content + self.around[role][1] for role, content in turns]
        return "".join([self.beginning, *said, self.answer])


def turn_texts(tokenizer: Any) -> TurnTexts | None:
    """The texts of a tokenizer's chat template; None where it is more than texts around messages."""

    def render(*turns: tuple[str, str], answer: bool = False) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        rendered: str = tokenizer.apply_chat_template(messages, add_generation_prompt=answer, tokenize=False)
        return rendered

    first, reply, second, system = ("user", "A1"), ("assistant", "B2"), ("user", "C3"), ("system", "D4")
    try:
        one, two, three = render(first), render(first, reply), render(first, reply, second)
        if not (two.startswith(one) and three.startswith(two)):
            return None
        before_user, behind_user = three.removeprefix(two).split("C3")
        beginning = one.removesuffix(before_user + "A1" + behind_user)
        before_reply, behind_reply = two.removeprefix(one).split("B2")
        asked = render(system, first)
        before_system, behind_system = (
            asked.removeprefix(beginning).removesuffix(before_user + "A1" + behind_user).split("D4")
        )
        around = {
            "system": (before_system, behind_system),
            "user": (before_user, behind_user),
            "assistant": (before_reply, behind_reply),
        }
        found = TurnTexts(beginning, around, render(first, answer=True).removeprefix(one))
        probe = [system, ("user", "x y\nz"), ("assistant", "1"), ("user", "2"), ("assistant", "3 "), ("user", "4")]
        return found if found.render(probe) == render(*probe, answer=True) else None
    except (TemplateError, ValueError):
        # It refuses a role, or says a message twice or not at all.
        return None


def ollama_template(tokenizer: Any) -> str | None:
    """The tokenizer's chat template in Ollama's language; None where it cannot be said there.

    The token at the very beginning is left out where the tokenizer puts it there itself, because Ollama does so too.
    """
    texts = turn_texts(tokenizer)
    if texts is None:
        return None
    beginning = texts.beginning
    if tokenizer.bos_token and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id:
        beginning = beginning.removeprefix(tokenizer.bos_token)
    branches = "{{ else ".join(
        f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{behind}'
        for role, (before, behind) in texts.around.items()
    )
    template = f"{beginning}{{{{ range .Messages }}}}{{{{ {branches}{{{{ end }}}}{{{{ end }}}}{texts.answer}"
    fixed = [beginning, texts.answer, *(text for pair in texts.around.values() for text in pair)]
    # Braces or quotation marks that would mean something else in a template or a Modelfile.
    return None if any("{{" in text or "}}" in text or '"""' in text for text in fixed) else template


def stop_texts(tokenizer: Any) -> list[str]:
    """What ends an answer: the end of the sequence, and the special token that ends the assistant's turn."""
    texts = turn_texts(tokenizer)
    behind = texts.around["assistant"][1].strip() if texts else ""
    special = behind if behind in tokenizer.get_added_vocab() else ""
    return list(dict.fromkeys(text for text in (tokenizer.eos_token, special) if text))


def modelfile(
    source: str,
    adapter: str | None,
    template: str | None,
    system: str | None,
    parameters: Mapping[str, Any],
) -> str:
    """What one would write to do the same by hand: ``ollama create NAME -f Modelfile``.

    >>> print(modelfile("llama3.2:1b", "./model", None, None, {"temperature": 0, "stop": ["</s>"]}))
    FROM llama3.2:1b
    ADAPTER ./model
    PARAMETER temperature 0
    PARAMETER stop "</s>"
    <BLANKLINE>
    """
    lines = [f"FROM {source}"]
    lines += [f"ADAPTER {adapter}"] if adapter else []
    lines += [f'TEMPLATE """{template}"""'] if template else []
    lines += [f'SYSTEM """{system}"""'] if system else []
    for name, value in parameters.items():
        for one in value if isinstance(value, list) else [value]:
            lines.append(f"PARAMETER {name} {json.dumps(one, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
