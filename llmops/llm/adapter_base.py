"""The base that an adapter belongs on: the one it was trained on, which for QLoRA is the quantised one.

An adapter of QLoRA has learnt beside weights of 4 bits, whose rounding errors it partly makes up for. On the base of
full precision it is another model. So its folder says how its base was quantised, and whoever puts the two together
rounds the base in the same way first.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

from llmops.errors import InputError

BASE_QUANTIZATION = "base_quantization.json"


def note_base_quantization(model: Any, adapter: Path) -> None:
    """Write into an adapter's folder how the model it sits in is quantised; nothing where it is not."""
    quantization = getattr(model.config, "quantization_config", None)
    if quantization is not None:
        (adapter / BASE_QUANTIZATION).write_text(json.dumps(quantization.to_dict(), indent=1))


def load_base_of(adapter: Path, base: Path, dtype: Any) -> Any:
    """The base of an adapter in a number format of full or half precision, to merge the adapter into.

    Where the adapter was trained on a quantised base, the weights are those of that base: quantised and dequantised.

    Args:
        adapter: folder of the adapter.
        base: folder of its base, as it was before quantisation.
        dtype: torch's number format, or ``"auto"`` for the one that the base is stored in.

    Raises:
        InputError: a quantised base without bitsandbytes.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    if not (adapter / BASE_QUANTIZATION).is_file():
        return AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(
            f"{adapter} was trained on a base of 4 bits, which needs bitsandbytes: pip install bitsandbytes"
        )
    quantization = BitsAndBytesConfig.from_dict(json.loads((adapter / BASE_QUANTIZATION).read_text()))
    model = AutoModelForCausalLM.from_pretrained(
        base,
        quantization_config=quantization,
        dtype=quantization.bnb_4bit_compute_dtype,
        device_map={"": 0 if torch.cuda.is_available() else "cpu"},
    ).dequantize()
    return model.to(AutoConfig.from_pretrained(base).dtype or torch.float32 if dtype == "auto" else dtype)
