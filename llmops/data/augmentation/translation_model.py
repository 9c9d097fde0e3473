"""A translation model on this machine: a transformers folder of an encoder-decoder model such as Marian."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmops.errors import InputError
from llmops.llm.quiet import silence_transformers


class TranslationModel:
    """A model and its tokenizer that translate one way, on the GPU where there is one.

    The folder must translate what it is given without being told the languages, as the OPUS-MT models do.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_size: int = 32) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.batch_size = batch_size

    @classmethod
    def load(cls, folder: Path) -> "TranslationModel":
        """Load weights and tokenizer.

        Raises:
            InputError: there is no encoder-decoder model in the folder, or it cannot be loaded.
        """
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder} holds no translation model: config.json is not there; name its folder")
        silence_transformers()
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
        except (OSError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{folder} cannot be loaded as a translation model: {reason}") from error
        return cls(model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)

    def generate(self, inputs: Sequence[str], /, max_new_tokens: int) -> list[str]:
        """Translate each text, in the order given, by the beam search that came with the model, without chance."""
        import torch

        answers = [""] * len(inputs)
        order = sorted(range(len(inputs)), key=lambda index: -len(inputs[index]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            encoded = self.tokenizer(
                [inputs[index] for index in batch], padding=True, truncation=True, return_tensors="pt"
            ).to(self.model.device)
            with torch.inference_mode():
                output = self.model.generate(
                    input_ids=encoded["input_ids"],
                    attention_mask=encoded["attention_mask"],
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                )
            for index, text in zip(batch, self.tokenizer.batch_decode(output, skip_special_tokens=True), strict=True):
                answers[index] = text.strip()
        return answers
