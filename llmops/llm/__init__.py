"""Talk to a model: behind a provider's API, or with its weights on this machine.

========================  ==============================================================================
``completions``           what is asked and what comes back: messages, parameters, completions, `ChatModel`
``failures``              why a model did not answer, in the same few kinds for every provider
``providers``             the chat models of OpenAI, Azure, Anthropic, Google, Bedrock and Ollama by name
``client``                ask one model many things at once; ``open_client("openai/…")`` begins here
``endpoint_gate``         who may send a request to an endpoint, and when
``adaptive_concurrency``  how many requests an endpoint is given at once, learnt from how it answers
``circuit_breaker``       leave an endpoint alone that is down, and notice when it is back
``retries``               how long a failed request waits before it is sent again
``catalogue``             what models can do and what they charge (configs/models.yaml)
``local_model``           generate answers and score given ones with a transformers or PEFT folder
``adapter_base``          the base that an adapter belongs on: quantised, where it was trained so
``chat_format``           prompts and completions as token ids, in the format of the tokenizer's chat template
``text_generator``        what a step needs of anything that writes
``quiet``                 keep transformers' warnings and progress bars off the terminal
========================  ==============================================================================
"""

from llmops.llm.chat_format import EncodedExamples, encode_example, encode_examples, encode_prompt
from llmops.llm.client import ClientConfig, ClientReport, ModelClient, open_client
from llmops.llm.local_model import LocalModel, TokenScore, positions_of

__all__ = [
    "ClientConfig",
    "ClientReport",
    "EncodedExamples",
    "LocalModel",
    "ModelClient",
    "TokenScore",
    "encode_example",
    "encode_examples",
    "encode_prompt",
    "open_client",
    "positions_of",
]
