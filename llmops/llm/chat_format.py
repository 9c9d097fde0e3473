"""Prompts and completions as token ids, in the format that travels with a model as its chat template.

What is asked is one user message or a whole conversation, the expected output the assistant's answer. Prompt and
completion are encoded apart from each other and joined, so that the prompt's ids in training are exactly those at
generation.

A tokenizer without a chat template gets a plain one, ``input``, a line break and ``=>``:

    name[The Vaults], eatType[pub]
    =>The Vaults is a pub.<end of sequence>
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from llmops.errors import InputError
from llmops.llm.completions import Prompt, as_messages

IGNORED_LABEL = -100  # what torch's cross entropy leaves out of the loss

DEFAULT_CHAT_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '=>' + message['content'] + eos_token }}"
    "{% else %}{{ message['content'] + '\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '=>' }}{% endif %}"
)


@dataclass(frozen=True)
class EncodedExamples:
    """Training examples as ids, and what the length limit did to them.

    Attributes:
        examples: (input ids, labels) of each example that was kept, in the order given.
        truncated: how many of them lost the left end of their prompt.
        dropped: how many examples were left out because their completion alone is too long.
    """

    examples: list[tuple[list[int], list[int]]]
    truncated: int
    dropped: int


def ensure_chat_template(tokenizer: Any) -> None:
    """Give the tokenizer a chat template and a padding token if it has none; it is changed in place.

    Raises:
        InputError: the tokenizer has no end-of-sequence token, so that an answer could never end.
    """
    if tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {tokenizer.name_or_path} has no end-of-sequence token; add one to it")
    if tokenizer.chat_template is None:
        tokenizer.chat_template = DEFAULT_CHAT_TEMPLATE
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def encode_prompt(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The ids of one prompt, ending where the answer begins."""
    return encode_prompts(tokenizer, [prompt])[0]


def encode_prompts(tokenizer: Any, prompts: Sequence[Prompt]) -> list[list[int]]:
    """The ids of each prompt, ending where the answer begins.

    Raises:
        InputError: the chat template does not take such a conversation.
    """
    if not prompts:
        return []
    conversations = [list(as_messages(prompt)) for prompt in prompts]
    try:
        rendered = tokenizer.apply_chat_template(conversations, add_generation_prompt=True, tokenize=False)
    except TemplateError as error:
        raise InputError(f"the chat template of {tokenizer.name_or_path} refuses a conversation: {error}") from error
    return _encode(tokenizer, rendered)


def encode_completions(tokenizer: Any, completions: Sequence[str]) -> list[list[int]]:
    """The ids of each completion, ending with the end of the assistant's turn."""
    end = _end_of_turn(tokenizer)
    return [ids + end for ids in _encode(tokenizer, completions)]


def encode_example(
    tokenizer: Any, prompt: Prompt, expected: str, max_length: int
) -> tuple[list[int], list[int]] | None:
    """The (input ids, labels) of one example; None where its completion alone exceeds ``max_length``."""
    examples = encode_examples(tokenizer, [(prompt, expected)], max_length).examples
    return examples[0] if examples else None


def encode_examples(tokenizer: Any, pairs: Sequence[tuple[Prompt, str]], max_length: int) -> EncodedExamples:
    """Encode (prompt, expected) pairs; labels are -100 on the prompt, so that only the completion is learnt.

    An example longer than ``max_length`` tokens loses the left end of its prompt and keeps its completion
    whole, because an answer cut short teaches the model to stop anywhere. Where the completion leaves no room
    for a single prompt token, the example is dropped.
    """
    prompts = encode_prompts(tokenizer, [prompt for prompt, _ in pairs])
    completions = encode_completions(tokenizer, [expected for _, expected in pairs])
    examples, truncated = [], 0
    for prompt, completion in zip(prompts, completions, strict=True):
        room = max_length - len(completion)
        if room < 1:
            continue
        if len(prompt) > room:
            truncated += 1
            prompt = prompt[-room:]
        examples.append((prompt + completion, [IGNORED_LABEL] * len(prompt) + completion))
    return EncodedExamples(examples, truncated, dropped=len(pairs) - len(examples))


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return encoded


def _end_of_turn(tokenizer: Any) -> list[int]:
    """What the template puts behind an answer, up to and always including the end of the sequence."""
    question = {"role": "user", "content": "x"}
    prompt = tokenizer.apply_chat_template([question], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([question, {"role": "assistant", "content": "y"}], tokenize=False)
    # Templates that add thinking or strip the prompt do not continue it; then the end of sequence alone ends
    # it.
    tail = whole.removeprefix(prompt + "y").rstrip() if whole.startswith(prompt + "y") else ""
    ids = _encode(tokenizer, [tail])[0] if tail else []
    end: int = tokenizer.eos_token_id
    return ids[: ids.index(end) + 1] if end in ids else [*ids, end]
