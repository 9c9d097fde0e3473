"""What makes two requests the same request, which is paid once."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from llmops.llm.completions import Message, Parameters


class RequestKeys:
    """The keys of all requests to one model with the same parameters.

    A key is a BLAKE2b digest of 128 bits: among 10^12 requests two share one with a probability below 10^-14.
    Parameters that stand at their defaults are no part of it, so that a new one leaves the old keys as they are.
    """

    def __init__(self, model: str, parameters: Parameters) -> None:
        fixed = [model, parameters.model_dump(mode="json", exclude_defaults=True)]
        self._fixed = blake2b(_sorted_json(fixed), digest_size=16)

    def key(self, messages: Sequence[Message], repeat: int) -> str:
        """The key (32 hexadecimal digits) of asking these messages for the `repeat`-th time (from 0)."""
        digest = self._fixed.copy()
        # A raw NUL stands in no JSON text, so the parts cannot run into each other.
        digest.update(b"\0%d\0" % repeat)
        digest.update(_sorted_json(messages))
        return digest.hexdigest()


def request_key(model: str, messages: Sequence[Message], parameters: Parameters, repeat: int = 0) -> str:
    """The key of one request.

    Args:
        model: identity of the model, such as ``openai/gpt-5@https://api.openai.com/v1``.
        messages: the conversation; the order of the keys of a message does not matter.
        parameters: how it is asked.
        repeat: asked for the how many-th time, from 0.

    >>> asked = [{"role": "user", "content": "Why?"}]
    >>> turned = [{"content": "Why?", "role": "user"}]
    >>> request_key("m", asked, Parameters(), 0) == request_key("m", turned, Parameters(max_tokens=None), 0)
    True
    >>> request_key("m", asked, Parameters(), 0) == request_key("m", asked, Parameters(), 1)
    False
    """
    return RequestKeys(model, parameters).key(messages, repeat)


def messages_json(messages: Sequence[Message]) -> str:
    """Messages as they are sent, keys in the order they have."""
    try:
        return orjson.dumps(messages, default=_plain).decode()
    except TypeError:
        return json.dumps(messages, default=_plain, separators=(",", ":"))


def _sorted_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=_plain)
    except TypeError:  # half a surrogate pair, or an integer over 64 bits: orjson has no JSON for these
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
