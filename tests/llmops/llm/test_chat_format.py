from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.llm.chat_format import (
    DEFAULT_CHAT_TEMPLATE,
    encode_completions,
    encode_example,
    encode_examples,
    encode_prompt,
    ensure_chat_template,
)


@pytest.fixture
def tokenizer(toy_base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(toy_base)


def test_plain_template_is_given_to_a_tokenizer_without_one(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    ensure_chat_template(tokenizer)
    ids, _ = encode_example(tokenizer, "Ann can run", "run: Ann", max_length=64)
    assert tokenizer.decode(ids) == "Ann can run\n=>run: Ann<|end|>"


def test_own_template_stands(tokenizer: Any) -> None:
    own = tokenizer.chat_template
    ensure_chat_template(tokenizer)
    assert tokenizer.chat_template == own != DEFAULT_CHAT_TEMPLATE


def test_tokenizer_without_end_of_sequence_is_refused(tokenizer: Any) -> None:
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="end-of-sequence"):
        ensure_chat_template(tokenizer)


def test_labels_cover_the_completion_alone(tokenizer: Any) -> None:
    ids, labels = encode_example(tokenizer, "Bob can sing", "sing: Bob", max_length=64)
    prompt = encode_prompt(tokenizer, "Bob can sing")
    assert ids[: len(prompt)] == prompt
    assert labels[: len(prompt)] == [-100] * len(prompt)
    assert labels[len(prompt) :] == ids[len(prompt) :]
    assert tokenizer.decode(ids[len(prompt) :]) == "sing: Bob<|end|>"


def test_end_of_turn_of_a_chatml_template_is_part_of_the_completion(tokenizer: Any) -> None:
    # The format of Qwen and others: the turn's end is the end of sequence, followed by a line break.
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{{ m['content'] + '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    assert tokenizer.decode(encode_completions(tokenizer, ["read"])[0]) == "read<|im_end|>"
    ids, _ = encode_example(tokenizer, "x", "read", max_length=64)
    conversation = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "read"}]
    assert tokenizer.decode(ids) == tokenizer.apply_chat_template(conversation, tokenize=False).rstrip()


def test_template_that_does_not_continue_its_prompt_still_ends_the_sequence(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<think>{% endif %}"
    )
    assert tokenizer.decode(encode_completions(tokenizer, ["read"])[0]) == "read<|end|>"


def test_too_long_prompt_loses_its_left_end_and_too_long_completion_its_example(tokenizer: Any) -> None:
    completion = encode_completions(tokenizer, ["read: Zoe x1"])[0]
    encoded = encode_examples(
        tokenizer,
        [("Ann can run 1 times " * 9, "read: Zoe x1"), ("Ann", "read: Zoe x1" * 9), ("Z", "x1")],
        max_length=len(completion) + 3,
    )
    assert (encoded.truncated, encoded.dropped, len(encoded.examples)) == (1, 1, 2)
    ids, labels = encoded.examples[0]
    whole = encode_prompt(tokenizer, "Ann can run 1 times " * 9)
    assert ids == whole[-3:] + completion
    assert labels == [-100] * 3 + completion
