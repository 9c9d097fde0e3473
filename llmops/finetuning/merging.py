"""Make full weights of a base and its adapter."""

import shutil
from pathlib import Path

from llmops.errors import InputError
from llmops.llm.adapter_base import load_base_of
from llmops.llm.quiet import silence_transformers


def merge_adapter(base: Path, adapter: Path, out: Path) -> None:
    """Add a LoRA adapter to its base's weights and write them to ``out`` with the adapter's tokenizer.

    The sum is taken in float32 and stored in the base's own number format. An adapter of QLoRA is added to the
    weights that it was trained beside: those of the quantised base, dequantised. Full weights reload anywhere, also
    where peft and bitsandbytes are not installed.

    Raises:
        InputError: one of the folders is not what it should be, ``out`` exists, or bitsandbytes is missing for an
            adapter of QLoRA.
    """
    for folder, file in ((base, "config.json"), (adapter, "adapter_config.json")):
        if not (folder / file).is_file():
            raise InputError(f"cannot merge: {folder} holds no {file}")
    if out.exists():
        raise InputError(f"cannot merge into {out}: it exists already; remove it or name another folder")
    silence_transformers()
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoTokenizer

    stored_dtype = AutoConfig.from_pretrained(base).dtype or torch.float32
    model = load_base_of(adapter, base, torch.float32)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True).to(stored_dtype)
    temporary = out.with_name(f".{out.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    merged.save_pretrained(temporary)
    AutoTokenizer.from_pretrained(adapter).save_pretrained(temporary)
    temporary.replace(out)
