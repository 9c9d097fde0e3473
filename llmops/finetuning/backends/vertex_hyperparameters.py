"""A training configuration as the settings of a Gemini tuning job."""

from typing import Any

from llmops.errors import InputError
from llmops.finetuning.backends.backend import set_fields
from llmops.finetuning.config import TrainingConfig

_ADAPTER_SIZES = {
    1: "ADAPTER_SIZE_ONE",
    2: "ADAPTER_SIZE_TWO",
    4: "ADAPTER_SIZE_FOUR",
    8: "ADAPTER_SIZE_EIGHT",
    16: "ADAPTER_SIZE_SIXTEEN",
    32: "ADAPTER_SIZE_THIRTY_TWO",
}


def vertex_hyperparameters(base_model: str, training: TrainingConfig) -> dict[str, Any]:
    """``epoch_count``, ``learning_rate_multiplier`` and ``adapter_size``: all that Gemini lets one set.

    Raises:
        InputError: anything else was set, epochs are a fraction, or the rank is no adapter size.
    """
    chosen = set_fields(training)
    method = chosen.pop("method", "lora")
    if method != "lora":
        raise InputError(f"vertex tunes {base_model} with adapters only: method {method} is not offered; use lora")
    known = {"epochs", "learning_rate_multiplier", "rank"}
    if unknown := sorted(name for name, value in chosen.items() if name not in known and value is not None):
        can = "epochs, learning_rate_multiplier and rank"
        raise InputError(f"vertex cannot set {', '.join(unknown)} of {base_model}: leave it out; it takes {can}")
    translated: dict[str, Any] = {}
    if "epochs" in chosen:
        if chosen["epochs"] != int(chosen["epochs"]):
            raise InputError(f"vertex counts whole epochs, not {chosen['epochs']:g}: set epochs to a whole number")
        translated["epoch_count"] = int(chosen["epochs"])
    if chosen.get("learning_rate_multiplier") is not None:
        translated["learning_rate_multiplier"] = chosen["learning_rate_multiplier"]
    if "rank" in chosen:
        if chosen["rank"] not in _ADAPTER_SIZES:
            sizes = ", ".join(map(str, _ADAPTER_SIZES))
            raise InputError(f"vertex has no adapters of rank {chosen['rank']}: set rank to one of {sizes}")
        translated["adapter_size"] = _ADAPTER_SIZES[chosen["rank"]]
    return translated
