"""Talk to a model: here, to one whose weights are on this machine.

=================  ==============================================================================
``chat_format``    prompts and completions as token ids, in the format of the tokenizer's chat template
``local_model``    generate answers and score given ones with a transformers or PEFT folder
``quiet``          keep transformers' warnings and progress bars off the terminal
=================  ==============================================================================
"""

from llmops.llm.chat_format import EncodedExamples, encode_example, encode_examples, encode_prompt
from llmops.llm.local_model import LocalModel, TokenScore, positions_of

__all__ = [
    "EncodedExamples",
    "LocalModel",
    "TokenScore",
    "encode_example",
    "encode_examples",
    "encode_prompt",
    "positions_of",
]
