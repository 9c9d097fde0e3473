"""Chat models of every provider, each through the provider's own SDK.

=====================  ==============================================================================
``openai_models``      ``openai/…`` (and anything compatible, by ``OPENAI_BASE_URL``), ``azure/DEPLOYMENT``
``anthropic_models``   ``anthropic/…``
``google_models``      ``vertex/…``, ``gemini/…``
``bedrock_models``     ``bedrock/…`` (Converse)
``ollama_models``      ``ollama/…``
``conversation``       messages as turns of two speakers, for the providers that want them so
``stainless``          one request through the SDKs of OpenAI and Anthropic, which have one generator
``addresses``          an endpoint's address without the user and password in it
``http_failures``      statuses, headers and exceptions as a `ModelError`; the deadline of a request
=====================  ==============================================================================

A model is named ``provider/model``; what follows the first slash is the name the provider knows. Keys, addresses and
regions come from the environment variables of each SDK, and its own retries are off. ``Parameters.extra`` holds more
parameters of the provider's call, by their names there.

An answer that only calls tools has those calls as its text, as JSON: ``[{"name": …, "arguments": {…}}]``. A request
that the provider's filter refuses is an answer too: its finish reason is ``refusal``.
"""

from importlib import import_module

from llmops.errors import InputError
from llmops.llm.completions import ChatModel

_PROVIDERS = {
    # The provider of a name: (module, function that connects, the SDK, the extra that installs it).
    "openai": ("openai_models", "connect_openai", "openai", "openai"),
    "azure": ("openai_models", "connect_azure", "openai", "openai"),
    "anthropic": ("anthropic_models", "connect_anthropic", "anthropic", "anthropic"),
    "vertex": ("google_models", "connect_vertex", "google.genai", "google"),
    "gemini": ("google_models", "connect_gemini", "google.genai", "google"),
    "bedrock": ("bedrock_models", "connect_bedrock", "boto3", "bedrock"),
    "ollama": ("ollama_models", "connect_ollama", "ollama", "ollama"),
}
PROVIDERS = tuple(_PROVIDERS)
"""What stands before the slash in a model's name."""


def is_endpoint(name: str) -> bool:
    """Whether a model's name is ``provider/model`` of one of the providers.

    >>> is_endpoint("openai/gpt-5-mini"), is_endpoint("models:/support/3"), is_endpoint("openai")
    (True, False, False)
    """
    provider, _, model = name.partition("/")
    return provider in _PROVIDERS and bool(model.strip())


def connect(name: str) -> ChatModel:
    """The model of that name, ready to be asked. It belongs to the event loop that asks it first.

    Raises:
        InputError: no such provider, its SDK is not installed, or the environment lacks what it needs.
    """
    if not is_endpoint(name):
        known = ", ".join(f"{provider}/…" for provider in _PROVIDERS)
        raise InputError(f"{name!r} names no model of a provider: write {known}")
    provider, _, model = name.partition("/")
    module, function, sdk, extra = _PROVIDERS[provider]
    try:
        import_module(sdk)
    except ImportError as error:
        raise InputError(f"{name} needs the {sdk} SDK: pip install 'llmops[{extra}]'") from error
    connected: ChatModel = getattr(import_module(f"{__name__}.{module}"), function)(model)
    return connected


__all__ = ["connect", "is_endpoint"]
