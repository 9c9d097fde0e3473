"""A causal language model on this machine: generate answers, and score given ones.

Reads a transformers folder or a PEFT adapter folder. Answers do not depend on how inputs are batched, up to
the rounding of the weights' number format.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops.errors import InputError
from llmops.llm.adapter_base import load_base_of
from llmops.llm.chat_format import encode_completions, encode_prompts, ensure_chat_template
from llmops.llm.completions import Prompt
from llmops.llm.quiet import silence_transformers


@dataclass(frozen=True)
class TokenScore:
    """How well a model predicts one given completion, token by token.

    Attributes:
        nll: negative log-likelihood in nats, summed over the completion and its end of sequence.
        tokens: number of these tokens.
        correct: how many of them were the model's first choice, given the true ones before.
    """

    nll: float
    tokens: int
    correct: int


class LocalModel:
    """A model and its tokenizer, on the GPU where there is one.

    ``LocalModel.load(folder).generate(["..."], max_new_tokens=64)`` answers one prompt.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        from transformers import GenerationConfig

        ensure_chat_template(tokenizer)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.positions = positions_of(model.config)
        # Sampling settings that came with the model must not touch greedy search.
        self.model.generation_config = GenerationConfig(
            eos_token_id=_ends(model, tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            do_sample=False,
            use_cache=True,
        )

    @classmethod
    def load(cls, path: Path, base: Path | None = None) -> "LocalModel":
        """Load full weights, or an adapter, which is merged into its base in memory.

        Args:
            path: a transformers folder, or a PEFT adapter folder.
            base: for an adapter, its base where it is no longer the folder that the adapter names.

        Raises:
            InputError: there is no model in the folder, or the adapter's base is gone.
        """
        silence_transformers()
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        adapter = path / "adapter_config.json"
        weights = path
        if adapter.is_file():
            weights = base or Path(json.loads(adapter.read_text())["base_model_name_or_path"])
            if not (weights / "config.json").is_file():
                raise InputError(f"the base model {weights} of the adapter {path} is gone; name its folder")
        elif not (path / "config.json").is_file():
            raise InputError(f"{path} holds no model: neither config.json nor adapter_config.json is there")
        on_gpu = torch.cuda.is_available()
        dtype = "auto" if on_gpu else torch.float32
        if adapter.is_file():
            from peft import PeftModel

            model = PeftModel.from_pretrained(load_base_of(path, weights, dtype), path).merge_and_unload()
        else:
            model = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
        tokenizer_folder = path if (path / "tokenizer_config.json").is_file() else weights
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
        return cls(model.to("cuda" if on_gpu else "cpu"), tokenizer)

    def generate(
        self,
        inputs: Sequence[Prompt],
        max_new_tokens: int,
        batch_size: int = 32,
        num_beams: int = 1,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        """Answer each input by greedy search (``num_beams=1``) or beam search, in the order given.

        A prompt that leaves no room for ``max_new_tokens`` loses its left end.

        Args:
            on_batch: called after each batch with (inputs answered, inputs in all).

        Raises:
            InputError: ``max_new_tokens`` leaves no room for a prompt in what the model can attend to.
        """
        import torch

        room = self.positions - max_new_tokens
        if room < 1:
            raise InputError(
                f"max_new_tokens {max_new_tokens} leaves no room for a prompt in the model's {self.positions} "
                f"positions; set it below {self.positions}"
            )
        prompts = [ids[-room:] for ids in encode_prompts(self.tokenizer, inputs)]
        answers = [""] * len(prompts)
        done = 0
        for batch in _by_length(prompts, batch_size):
            width = max(len(prompts[index]) for index in batch)
            padding = [width - len(prompts[index]) for index in batch]
            ids = [
                [self.tokenizer.pad_token_id] * pad + prompts[index] for pad, index in zip(padding, batch, strict=True)
            ]
            mask = [[0] * pad + [1] * (width - pad) for pad in padding]
            with torch.inference_mode():
                output = self.model.generate(
                    input_ids=torch.tensor(ids, device=self.model.device),
                    attention_mask=torch.tensor(mask, device=self.model.device),
                    max_new_tokens=max_new_tokens,
                    num_beams=num_beams,
                )
            texts = self.tokenizer.batch_decode(
                output[:, width:], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            for index, text in zip(batch, texts, strict=True):
                answers[index] = text.strip()
            done += len(batch)
            if on_batch:
                on_batch(done, len(prompts))
        return answers

    def score(self, pairs: Sequence[tuple[Prompt, str]], batch_size: int = 32) -> list[TokenScore]:
        """Score the expected answer of each (prompt, expected) pair, teacher-forced, in the order given.

        A pair too long for the model loses the left end of its prompt; a completion that alone is too long
        is scored up to where the model ends.
        """
        import torch

        completions = [
            ids[: self.positions - 1] for ids in encode_completions(self.tokenizer, [text for _, text in pairs])
        ]
        prompts = [
            ids[-(self.positions - len(completion)) :]
            for ids, completion in zip(
                encode_prompts(self.tokenizer, [text for text, _ in pairs]), completions, strict=True
            )
        ]
        sequences = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        scores: dict[int, TokenScore] = {}
        for batch in _by_length(sequences, batch_size):
            width = max(len(sequences[index]) for index in batch)
            ids = torch.full((len(batch), width), self.tokenizer.pad_token_id)
            mask = torch.zeros((len(batch), width), dtype=torch.long)
            for row, index in enumerate(batch):
                ids[row, : len(sequences[index])] = torch.tensor(sequences[index])
                mask[row, : len(sequences[index])] = 1
            with torch.inference_mode():
                logits = self.model(
                    input_ids=ids.to(self.model.device),
                    attention_mask=mask.to(self.model.device),
                    use_cache=False,
                ).logits
            for row, index in enumerate(batch):
                scores[index] = _score(logits[row], completions[index], start=len(prompts[index]))
        return [scores[index] for index in range(len(pairs))]


def positions_of(config: Any) -> int:
    """Longest sequence, in tokens, for a model with this transformers configuration; no limit where it names none.

    >>> from types import SimpleNamespace
    >>> positions_of(SimpleNamespace(max_position_embeddings=512))
    512
    """
    return getattr(config, "max_position_embeddings", None) or sys.maxsize


def _score(logits: Any, completion: list[int], start: int) -> TokenScore:
    """Score a completion that begins at position ``start``, from logits (positions x vocabulary)."""
    import torch

    target = torch.tensor(completion, device=logits.device)
    predicted = logits[start - 1 : start - 1 + len(completion)].float()
    nll = torch.nn.functional.cross_entropy(predicted, target, reduction="sum")
    correct = (predicted.argmax(dim=-1) == target).sum()
    return TokenScore(nll=float(nll), tokens=len(completion), correct=int(correct))


def _by_length(sequences: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Indices in batches of like length, the longest first, so that a lack of memory shows at once."""
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """The ids that end an answer: the tokenizer's end of sequence and those the model's settings name."""
    named = getattr(model.generation_config, "eos_token_id", None)
    ends = named if isinstance(named, list) else [] if named is None else [named]
    return sorted({tokenizer.eos_token_id, *ends})
