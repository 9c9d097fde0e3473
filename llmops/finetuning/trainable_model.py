"""The model that a method trains: all weights, adapters on a frozen base, or adapters on a quantised base."""

import importlib.util
from pathlib import Path
from typing import Any

from llmops.errors import InputError
from llmops.finetuning.config import TrainingConfig


def load_trainable(base: Path, config: TrainingConfig) -> Any:
    """Load a base and make it trainable by ``config.method``; adapters start from torch's random state.

    Full weights train in float32 (under bfloat16 autocast on a GPU), frozen ones are kept in bfloat16 on a
    GPU.

    Raises:
        InputError: QLoRA without bitsandbytes.
    """
    import torch
    from transformers import AutoModelForCausalLM

    frozen_dtype = torch.bfloat16 if trains_in_bfloat16() else torch.float32
    if config.method == "full":
        return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if config.method == "lora":
        return _with_adapters(AutoModelForCausalLM.from_pretrained(base, dtype=frozen_dtype), config)
    return _with_adapters(_load_in_4_bits(base, frozen_dtype), config)


def trains_in_bfloat16() -> bool:
    """Whether there is a GPU that computes in bfloat16; on a CPU it is no faster than float32."""
    import torch

    return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported())


def _with_adapters(model: Any, config: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            target_modules="all-linear",
            r=config.rank,
            lora_alpha=config.adapter_alpha,
            lora_dropout=config.dropout,
        ),
    )


def _load_in_4_bits(base: Path, dtype: Any) -> Any:
    """QLoRA's base: NF4 with double quantisation (Dettmers et al. 2023, section 3)."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError("method qlora needs bitsandbytes: pip install bitsandbytes, or use method lora")
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    on_gpu = torch.cuda.is_available()
    model = AutoModelForCausalLM.from_pretrained(
        base, quantization_config=quantization, dtype=dtype, device_map={"": 0 if on_gpu else "cpu"}
    )
    # Recomputing activations saves the memory of a GPU; on a CPU it only costs time.
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=on_gpu)
