"""What becomes of a QLoRA adapter when it is merged: into the base that it was trained beside, or into the full one.

    python -m benchmarks.qlora_merging [--quick]

It trains adapters on `tiny`, quantised to 4 bits, with sample tickets and several seeds, and prints the validation loss
(nats per token) of three models, and how many of their answers are those of the first: the adapter on the quantised
base, merged into the dequantised base (`merge_adapter`), and merged into the base of full precision.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from llmops.finetuning import TrainingConfig, merge_adapter, resolve_base_model, train
from llmops.llm import LocalModel
from llmops.llm.adapter_base import BASE_QUANTIZATION

TICKETS = Path(__file__).parents[1] / "datasets" / "support_tickets.jsonl"
ANSWERED = 50


def on_quantised_base(base: Path, adapter: Path) -> LocalModel:
    """The adapter as it was trained."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    quantization = BitsAndBytesConfig.from_dict(json.loads((adapter / BASE_QUANTIZATION).read_text()))
    model = AutoModelForCausalLM.from_pretrained(base, quantization_config=quantization, device_map={"": "cpu"})
    return LocalModel(PeftModel.from_pretrained(model, adapter), AutoTokenizer.from_pretrained(adapter))


def on_full_base(base: Path, adapter: Path) -> LocalModel:
    """The adapter on weights that it has never met."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    return LocalModel(model.merge_and_unload(), AutoTokenizer.from_pretrained(adapter))


def loss(model: LocalModel, pairs: list[tuple[str, str]]) -> float:
    """Nats per completion token."""
    scores = model.score(pairs)
    return sum(score.nll for score in scores) / sum(score.tokens for score in scores)


def compare(base: Path, seed: int, steps: int, folder: Path) -> None:
    """Train with one seed and print a line."""
    rows = [json.loads(line) for line in TICKETS.read_text().splitlines()]
    pairs = [(row["input"], row["expected"]) for row in rows]
    config = TrainingConfig(method="qlora", max_steps=steps, learning_rate=5e-3, rank=16, seed=seed)
    adapter = train(base, pairs[:400], [], config, folder / "training").model_path
    merge_adapter(base, adapter, folder / "merged")
    models = {
        "quantised base": on_quantised_base(base, adapter),
        "merged, dequantised base": LocalModel.load(folder / "merged"),
        "merged, full base": on_full_base(base, adapter),
    }
    validation = pairs[400:500]
    prompts = [prompt for prompt, _ in validation[:ANSWERED]]
    answers = {name: model.generate(prompts, max_new_tokens=24) for name, model in models.items()}
    first = answers["quantised base"]
    for name, model in models.items():
        same = sum(answer == other for answer, other in zip(answers[name], first, strict=True))
        print(f"seed {seed}, {name}: loss {loss(model, validation):.4f}, {same} of {ANSWERED} answers", flush=True)


def main() -> None:
    """Three seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few steps: does it still run?")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as temporary:
        base = resolve_base_model("tiny", models_dir=Path(temporary)).path
        for seed in range(1 if quick else 3):
            folder = Path(temporary) / str(seed)
            folder.mkdir()
            compare(base, seed, 5 if quick else 60, folder)


if __name__ == "__main__":
    main()
