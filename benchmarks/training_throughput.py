"""Tokens per second of the fine-tuning back end against a bare PyTorch loop over the same model and batches.

    python -m benchmarks.training_throughput [--quick] [--methods lora qlora] [--gpu]

Ours is everything a user gets: progress events, every metric logged to an MLflow run on SQLite, checkpoints.
The bare loop is forward, backward, clipping, AdamW and the schedule. Both start from the same weights and
take the same batches in the same order; padding counts for neither. Runs are interleaved, because the
machine's speed changes while they run.

With --gpu it trains a Llama of a billion random weights instead, see `benchmarks.training_on_gpu`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from llmops.finetuning import ScratchRecipe, TrainingConfig, TrainingEvent, resolve_base_model, train
from llmops.finetuning.batches import LengthGroupedBatches, collate
from llmops.llm.chat_format import encode_examples

Method = Literal["full", "lora", "qlora"]
METHODS: tuple[Method, ...] = ("full", "lora", "qlora")
BATCH_SIZE = 32
COLOURS = ("red", "green", "blue", "yellow", "white", "black", "purple", "orange")
THINGS = ("bicycle", "lamp", "printer", "kettle", "camera", "keyboard", "suitcase", "umbrella")
FAULTS = (
    "arrived broken",
    "is missing a part",
    "does not switch on",
    "came in the wrong size",
    "was never delivered",
)


def order(colour: int, thing: int) -> int:
    """A made-up order number."""
    return 4000 + 7 * colour + thing


def pairs() -> list[tuple[str, str]]:
    """Support messages of 40 to 60 tokens with their tickets."""
    return [
        (
            f"Hello, my order {order(i, j)}: the {colour} {thing} I bought last week {fault}. Please help.",
            f"item: {thing}; colour: {colour}; problem: {fault}; order: {order(i, j)}; reply: within a day",
        )
        for i, colour in enumerate(COLOURS)
        for j, thing in enumerate(THINGS)
        for fault in FAULTS
    ]


def bare_loop(base: Path, config: TrainingConfig, steps: int) -> float:
    """Tokens per second of a plain PyTorch loop."""
    import torch
    from transformers import AutoTokenizer, get_cosine_schedule_with_warmup

    from llmops.finetuning.trainable_model import load_trainable

    tokenizer = AutoTokenizer.from_pretrained(base)
    examples = encode_examples(tokenizer, pairs(), config.max_length).examples
    lengths = [len(ids) for ids, _ in examples]
    torch.manual_seed(config.seed)
    model = load_trainable(base, config).train()
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, int(config.warmup_ratio * steps), steps)
    tokens = 0
    started = time.perf_counter()
    for indices in LengthGroupedBatches(lengths, config.batch_size, steps, config.seed):
        batch = collate([examples[index] for index in indices], tokenizer.pad_token_id)
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens += sum(lengths[index] for index in indices)
    return tokens / (time.perf_counter() - started)


def ours(base: Path, config: TrainingConfig, folder: Path, on_event: Callable[[TrainingEvent], None]) -> float:
    """Tokens per second of ``train``, from its first step to its last checkpoint."""
    return train(base, pairs(), [], config, folder, on_event).tokens_per_second


def log_to_mlflow(client: Any, run_id: str) -> Callable[[TrainingEvent], None]:
    """Log each event's metrics as the fine-tune flow does."""
    from mlflow.entities import Metric

    def on_event(event: TrainingEvent) -> None:
        now = int(time.time() * 1000)
        client.log_batch(
            run_id, metrics=[Metric(name, value, now, event.step) for name, value in event.metrics.items()]
        )

    return on_event


def ratio_of_pair(base: Path, method: Method, steps: int, number: int, folder: Path) -> tuple[float, float]:
    """(our speed, the bare loop's) in tokens per second; which goes first alternates."""
    import mlflow

    config = TrainingConfig(method=method, batch_size=BATCH_SIZE, max_steps=steps, learning_rate=2e-3, seed=number)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    run_id = client.create_run("0").info.run_id
    training_folder = folder / f"{method}-{number}"
    if number % 2:
        bare = bare_loop(base, config, steps)
        return ours(base, config, training_folder, log_to_mlflow(client, run_id)), bare
    speed = ours(base, config, training_folder, log_to_mlflow(client, run_id))
    return speed, bare_loop(base, config, steps)


def compare(methods: Sequence[Method], number_of_pairs: int, steps: int) -> None:
    """Print each ratio and the median for each method."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = [text for pair in pairs() for text in pair]
        base = resolve_base_model("scratch", models_dir=folder, scratch=ScratchRecipe(), texts=texts).path
        for method in methods:
            warm_up = TrainingConfig(method=method, batch_size=BATCH_SIZE, max_steps=3)
            ours(base, warm_up, folder / f"{method}-warm-up", lambda event: None)
            ratios = []
            for number in range(number_of_pairs):
                speed, bare = ratio_of_pair(base, method, steps, number, folder)
                ratios.append(speed / bare)
                speeds = f"{speed:,.0f} against {bare:,.0f} tokens/s"
                print(f"{method} {number + 1}: {speeds}, ratio {ratios[-1]:.3f}", flush=True)
            median = statistics.median(ratios)
            print(f"{method}: median ratio {median:.3f} ({number_of_pairs} pairs of {steps} steps)", flush=True)


def main() -> None:
    """Compare on the CPU, or on a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short pair of each kind: does it still run?")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--gpu", action="store_true", help="a billion weights beside TRL's SFTTrainer, on a GPU")
    chosen = parser.parse_args()
    if chosen.gpu:
        from benchmarks.training_on_gpu import compare_on_gpu

        compare_on_gpu(steps=5 if chosen.quick else 40)
    else:
        compare(chosen.methods, *((1, 10) if chosen.quick else (5, 80)))


if __name__ == "__main__":
    main()
