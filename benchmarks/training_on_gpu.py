"""LoRA and QLoRA of a Llama with a billion random weights on one GPU, beside TRL's SFTTrainer.

    python -m benchmarks.training_throughput --gpu

Both train in bfloat16 on the same examples of about 500 tokens, each example once, with the same adapters, batch size
and optimizer; activations are recomputed for QLoRA in both. Printed are tokens per second (padding does not count), the
peak of memory that torch has allocated, and the mean utilisation that the driver tells. TRL is left out where it is not
installed: pip install trl nvidia-ml-py
"""

import importlib.util
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.training_throughput import pairs
from llmops.finetuning import ScratchRecipe, TrainingConfig, resolve_base_model, train
from llmops.llm.chat_format import encode_examples

Method = Literal["lora", "qlora"]
A_BILLION = ScratchRecipe(hidden=2048, intermediate=5632, layers=22, heads=32, positions=1024)
BATCH_SIZE = 8
MESSAGES = 21  # in one prompt, which makes it about 500 tokens


@dataclass
class Measured:
    """What one run took of the GPU."""

    tokens_per_second: float = 0.0
    memory_gib: float = 0.0
    utilisation: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        """A line of the table."""
        busy = f"{sum(self.utilisation) / len(self.utilisation):.0f} %" if self.utilisation else "not told"
        return f"{self.tokens_per_second:,.0f} tokens/s, peak {self.memory_gib:.2f} GiB, utilisation {busy}"


def long_pairs(number: int) -> list[tuple[str, str]]:
    """Examples of several messages and the ticket of the last."""
    short = pairs()
    return [
        ("\n".join(short[(start + offset) % len(short)][0] for offset in range(MESSAGES)), short[start % len(short)][1])
        for start in range(number)
    ]


@contextmanager
def watching() -> Iterator[Measured]:
    """Peak memory and utilisation of the GPU inside the block, asked five times a second."""
    import torch

    measured, over = Measured(), threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            measured.utilisation.append(torch.cuda.utilization())

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    watcher = threading.Thread(target=look, daemon=True)
    if importlib.util.find_spec("pynvml") is not None:
        watcher.start()
    try:
        yield measured
    finally:
        over.set()
        measured.memory_gib = torch.cuda.max_memory_allocated() / 2**30


def ours(base: Path, examples: list[tuple[str, str]], config: TrainingConfig, folder: Path) -> float:
    """Tokens per second of `train`, checkpoints included."""
    return train(base, examples, [], config, folder).tokens_per_second


def with_trl(base: Path, examples: list[tuple[str, str]], config: TrainingConfig, folder: Path) -> float:
    """Tokens per second of TRL's SFTTrainer, without checkpoints."""
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    from datasets import Dataset

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.bfloat16,
        device_map={"": 0},
        quantization_config=quantization if config.method == "qlora" else None,
    )
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [
        {"prompt": [{"role": "user", "content": prompt}], "completion": [{"role": "assistant", "content": answer}]}
        for prompt, answer in examples
    ]
    trainer: Any = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=1,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            lr_scheduler_type=config.schedule,
            max_length=config.max_length,
            bf16=True,
            gradient_checkpointing=config.method == "qlora",
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", target_modules="all-linear", r=config.rank, lora_alpha=config.adapter_alpha
        ),
    )
    tokens = sum(len(ids) for ids, _ in encode_examples(tokenizer, examples, config.max_length).examples)
    started = time.perf_counter()
    trainer.train()
    return tokens / (time.perf_counter() - started)


def compare_on_gpu(steps: int, recipe: ScratchRecipe = A_BILLION) -> None:
    """Print a line for each method and trainer; the first steps of each warm up and count as well."""
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("--gpu: torch finds no GPU here")
    examples = long_pairs(steps * BATCH_SIZE)
    trainers: dict[str, Callable[..., float]] = {"ours": ours}
    if importlib.util.find_spec("trl") is not None:
        trainers["TRL"] = with_trl
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = [text for pair in pairs() for text in pair]
        base = resolve_base_model("scratch", models_dir=folder, scratch=recipe, texts=texts).path
        methods: tuple[Method, ...] = ("lora", "qlora")
        for method in methods:
            config = TrainingConfig(method=method, epochs=1, batch_size=BATCH_SIZE, max_length=1024)
            for name, trainer in trainers.items():
                with watching() as measured:
                    measured.tokens_per_second = trainer(base, examples, config, folder / f"{name}-{method}")
                print(f"{method} {name}: {measured}", flush=True)
