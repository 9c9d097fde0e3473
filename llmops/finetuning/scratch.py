"""A small model with random weights and a tokenizer of the data's own text, to be trained in full."""

from collections.abc import Sequence
from pathlib import Path

from llmops.digests import code_digest, content_digest
from llmops.finetuning.config import ScratchRecipe
from llmops.llm.quiet import silence_transformers

END, OUTPUT, PADDING = "<|end|>", "<|output|>", "<|padding|>"

# One token between prompt and answer: in sequences of fifty tokens each one more is felt.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '" + OUTPUT + "' + message['content'] + '" + END + "' }}"
    "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + OUTPUT + "' }}{% endif %}"
)


def scratch_digest(recipe: ScratchRecipe, texts: Sequence[str]) -> str:
    """What the model is made from: sizes and seed, the texts of the tokenizer, and this code."""
    code = code_digest("llmops.finetuning.scratch")
    return content_digest({"recipe": recipe.model_dump(), "texts": content_digest(list(texts)), "code": code})


def build_scratch(folder: Path, recipe: ScratchRecipe, texts: Sequence[str]) -> None:
    """Write a Llama-architecture model with random weights, and a byte-level BPE trained on ``texts``."""
    silence_transformers()
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_train_tokenizer(texts, recipe.vocabulary),
        eos_token=END,
        pad_token=PADDING,
        model_max_length=recipe.positions,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _train_tokenizer(texts: Sequence[str], vocabulary: int) -> object:
    """Byte-level BPE (Radford et al. 2019, section 2.2): every text can be written, whatever was seen."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING, END, OUTPUT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
