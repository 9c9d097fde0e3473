"""QLoRA at toy size on the CPU: what is trained, beside what, and that it is the same model wherever it is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig, TrainingResult, merge_adapter, train, trainable_model
from llmops.llm import LocalModel
from llmops.llm.adapter_base import BASE_QUANTIZATION

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.slow

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Trained:
    """A finished training with the model as it was in memory at its end."""

    base: Path
    result: TrainingResult
    in_memory: Any
    merged: Path


@pytest.fixture(scope="module")
def trained(half_trained: Path, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("qlora")
    models = []

    def keep(base: Path, config: TrainingConfig) -> Any:
        models.append(load(base, config))
        return models[-1]

    load = trainable_model.load_trainable
    config = TrainingConfig(method="qlora", max_steps=100, learning_rate=1e-2, batch_size=16, rank=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainable_model, "load_trainable", keep)
        result = train(half_trained, pairs[:180], pairs[180:], config, folder)
    merge_adapter(half_trained, result.model_path, folder / "merged")
    yield Trained(half_trained, result, models[0], folder / "merged")


def four_bit_model(base: Path) -> Any:
    """The base quantised by transformers itself, in the way that the QLoRA paper says: NF4, constants quantised too."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return AutoModelForCausalLM.from_pretrained(base, quantization_config=quantization, device_map={"": "cpu"})


def weights_in_4_bits(model: Any) -> dict[str, Any]:
    """The packed weights of each linear layer by the layer's name."""
    named = ((name.replace("base_model.model.", ""), weights) for name, weights in model.named_parameters())
    return {
        name.replace("base_layer.", ""): weights for name, weights in named if type(weights).__name__ == "Params4bit"
    }


def loss(model: LocalModel, pairs: Pairs) -> float:
    scores = model.score(pairs)
    return sum(score.nll for score in scores) / sum(score.tokens for score in scores)


def test_the_loss_falls(trained: Trained, pairs: Pairs) -> None:
    losses = [entry["loss"] for entry in trained.result.log if "loss" in entry]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    validation_loss = trained.result.validation_loss
    assert validation_loss is not None and validation_loss < 0.9 * loss(LocalModel.load(trained.base), pairs[180:])


def test_only_the_adapters_are_trained(trained: Trained) -> None:
    learning = {name: weights for name, weights in trained.in_memory.named_parameters() if weights.requires_grad}
    assert learning and all(".lora_A." in name or ".lora_B." in name for name in learning)
    # Two layers of four projections of attention (64 x 64) and three of the feed-forward layer (64 x 128), rank 16.
    assert trained.result.trainable_parameters == 2 * 16 * (4 * (64 + 64) + 3 * (64 + 128))
    assert trained.result.trainable_parameters == sum(weights.numel() for weights in learning.values())


def test_the_base_is_in_4_bits_and_stays_as_it_was(trained: Trained) -> None:
    import bitsandbytes
    import torch

    packed, fresh = weights_in_4_bits(trained.in_memory), weights_in_4_bits(four_bit_model(trained.base))
    assert packed.keys() == fresh.keys() and len(packed) == 2 * 7
    for name, weights in packed.items():
        rows, columns = weights.quant_state.shape
        assert weights.dtype == torch.uint8 and weights.numel() == rows * columns / 2
        assert torch.equal(weights.data, fresh[name].data)
        assert weights.quant_state.quant_type == "nf4" and weights.quant_state.nested
        blocks = bitsandbytes.functional.dequantize_4bit(weights.data, weights.quant_state).reshape(-1, 64)
        assert max(len(block.unique()) for block in blocks) <= 16


def test_a_reload_answers_as_the_model_did_in_memory(trained: Trained, pairs: Pairs) -> None:
    from peft import PeftModel
    from transformers import AutoTokenizer

    adapter = trained.result.model_path
    prompts = [prompt for prompt, _ in pairs[180:]]
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    answers = LocalModel(trained.in_memory, tokenizer).generate(prompts, max_new_tokens=12)
    right = sum(answer == expected for answer, (_, expected) in zip(answers, pairs[180:], strict=True))
    assert right > len(prompts) / 2
    assert answers != LocalModel.load(trained.base).generate(prompts, max_new_tokens=12)

    on_4_bits = PeftModel.from_pretrained(four_bit_model(trained.base), adapter)
    assert LocalModel(on_4_bits, tokenizer).generate(prompts, max_new_tokens=12) == answers
    # What is evaluated, registered and served, and what `LocalModel` makes of the adapter's folder.
    assert LocalModel.load(trained.merged).generate(prompts, max_new_tokens=12) == answers
    assert LocalModel.load(adapter).generate(prompts, max_new_tokens=12) == answers


def test_merging_takes_the_weights_that_were_trained_beside(trained: Trained, pairs: Pairs) -> None:
    """Merged into the base of full precision, the adapter would be another model."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = trained.result.model_path
    unquantised = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(trained.base), adapter)
    another = LocalModel(unquantised, AutoTokenizer.from_pretrained(adapter))
    in_memory, merged = trained.result.validation_loss, loss(LocalModel.load(trained.merged), pairs[180:])
    assert in_memory is not None and merged == pytest.approx(in_memory, rel=1e-3)
    assert abs(loss(another, pairs[180:]) - in_memory) > 5 * abs(merged - in_memory)


def test_the_merged_weights_need_no_bitsandbytes(trained: Trained) -> None:
    import torch
    from transformers import AutoConfig
    from transformers.utils import cached_file

    assert not hasattr(AutoConfig.from_pretrained(trained.merged), "quantization_config")
    assert not (trained.merged / BASE_QUANTIZATION).exists() and cached_file(trained.merged, "model.safetensors")
    model = LocalModel.load(trained.merged).model
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}
    assert type(model.model.layers[0].mlp.up_proj) is torch.nn.Linear


def test_without_bitsandbytes_it_says_what_to_install(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs bitsandbytes: pip install"):
        merge_adapter(trained.base, trained.result.model_path, tmp_path / "merged")
    assert not list(tmp_path.iterdir())
