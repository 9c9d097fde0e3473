"""The project's own small base model: a Llama-architecture model that is trained on the spot, in about a minute.

It has read generic text only (tiny_corpus): everyday messages, chatty replies, details noted in many forms, and
exercises in copying. It makes the examples and tests run anywhere, without a download; it is no model to deploy.
"""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from llmops.digests import code_digest, content_digest
from llmops.finetuning.copying_heads import set_copying_heads
from llmops.finetuning.tiny_corpus import Document, documents

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '" + ASSISTANT + "' + message['content'] + '" + END + "' }}"
    "{% else %}{{ '" + USER + "' + message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + ASSISTANT + "' }}{% endif %}"
)


class TinyRecipe(BaseModel, frozen=True):
    """How the tiny base is made; the defaults are the released recipe, which takes about a minute on two cores."""

    vocabulary: int = Field(default=1024, ge=300, description="Tokens of the byte-level BPE, specials included.")
    hidden: int = Field(default=128, ge=16, description="Width of the residual stream.")
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    feed_forward: int = Field(default=384, ge=16, description="Width inside the feed-forward blocks.")
    positions: int = Field(default=512, ge=32, description="Longest sequence, in tokens.")
    steps: int = Field(default=540, ge=1)
    batch_tokens: int = Field(default=1536, ge=64, description="Tokens a step, padding included.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak; linear warm-up, then cosine to a twentieth.")
    prompt_weight: float = Field(default=0.1, ge=0, le=1, description="Weight of a user token in the loss.")
    initial_scale: float = Field(default=0.05, gt=0, description="Standard deviation of the random weights.")
    seed: int = 0


def tiny_digest(recipe: TinyRecipe) -> str:
    """The digest of everything that decides what :func:`build_tiny` writes: the recipe and the code.

    >>> tiny_digest(TinyRecipe()) == tiny_digest(TinyRecipe(seed=1))
    False
    """
    modules = ("tiny", "tiny_corpus", "tiny_words", "copying_heads")
    code = code_digest(*(f"llmops.finetuning.{module}" for module in modules))
    return content_digest({"recipe": recipe.model_dump(), "code": code})


def build_tiny(
    folder: Path,
    recipe: TinyRecipe,
    on_progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> None:
    """Train the tokenizer and the model and write both as a transformers folder.

    ``on_progress`` is called after every step with the step, their number, and loss and learning rate. The same
    recipe gives the same weights on the same machine with the same number of threads.
    """
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    tokenizer = _train_tokenizer(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = LlamaForCausalLM(llama_config(recipe, tokenizer))
        set_copying_heads(model)
    model.train()
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.learning_rate), betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_peak(step, recipe.steps))
    for step, (tokens, weights) in enumerate(islice(_batches(tokenizer, recipe), recipe.steps), start=1):
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        loss = (losses * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rate = schedule.get_last_lr()[-1]
        optimizer.step()
        schedule.step()
        if on_progress is not None:
            on_progress(step, recipe.steps, {"loss": loss.item(), "learning_rate": rate})
    model.eval()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def llama_config(recipe: TinyRecipe, tokenizer: "PreTrainedTokenizerFast") -> Any:
    """The transformers configuration of a small Llama with tied embeddings for this tokenizer."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=recipe.positions,
        attention_bias=True,
        initializer_range=recipe.initial_scale,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _parameter_groups(model: Any, learning_rate: float) -> list[dict[str, Any]]:
    """The copying heads and the embeddings they compare move slowly, or the first steps would undo them."""
    last = model.config.num_hidden_layers - 1
    slow_names = ("layers.0.self_attn", f"layers.{last}.self_attn", "embed_tokens")
    groups: dict[bool, list[Any]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[any(part in name for part in slow_names)].append(parameter)
    return [{"params": groups[True], "lr": 0.3 * learning_rate}, {"params": groups[False], "lr": learning_rate}]


def _train_tokenizer(recipe: TinyRecipe) -> "PreTrainedTokenizerFast":
    """A byte-level BPE of the corpus that keeps digits apart, so that numbers can be copied digit by digit."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for document in islice(documents(recipe.seed), 10_000) for text in document)
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, eos_token=END, additional_special_tokens=[USER, ASSISTANT]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _batches(tokenizer: Any, recipe: TinyRecipe) -> Iterator[tuple["Tensor", "Tensor"]]:
    """Token ids and loss weights, both (documents, length), of documents of similar length, without end."""
    import torch

    stream = documents(recipe.seed)
    chance = torch.Generator().manual_seed(recipe.seed)
    pad = tokenizer.pad_token_id
    while True:
        encoded = _encode(tokenizer, list(islice(stream, 2048)), recipe)
        encoded.sort(key=lambda example: len(example[0]))
        groups = list(_groups(encoded, recipe.batch_tokens))
        for index in torch.randperm(len(groups), generator=chance).tolist():
            group = groups[index]
            length = len(group[-1][0])
            tokens = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in group])
            weights = torch.tensor([each + [0.0] * (length - len(each)) for _, each in group])
            yield tokens, weights


def _encode(tokenizer: Any, batch: list[Document], recipe: TinyRecipe) -> list[tuple[list[int], list[float]]]:
    """Token ids of whole conversations, as the chat template writes them, with the weight of each token."""
    prompts = tokenizer([f"{USER}{document.user}{ASSISTANT}" for document in batch])["input_ids"]
    answers = tokenizer([f"{document.assistant}{END}" for document in batch])["input_ids"]
    return [
        (
            (prompt + answer)[: recipe.positions],
            ([recipe.prompt_weight] * len(prompt) + [1.0] * len(answer))[: recipe.positions],
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def _groups(
    encoded: list[tuple[list[int], list[float]]], batch_tokens: int
) -> Iterator[list[tuple[list[int], list[float]]]]:
    """Runs of examples, sorted by length, that padded to the longest hold at most `batch_tokens` tokens."""
    group: list[tuple[list[int], list[float]]] = []
    for example in encoded:
        if group and (len(group) + 1) * len(example[0]) > batch_tokens:
            yield group
            group = []
        group.append(example)
    if group:
        yield group


def _share_of_peak(step: int, steps: int) -> float:
    """The learning rate at a step as a share of its peak: warm-up over a twentieth, then cosine to 0.05."""
    warmup = max(1, steps // 20)
    if step < warmup:
        return (step + 1) / warmup
    return 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
