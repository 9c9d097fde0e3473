"""What providers charge for training a model and for keeping it ready to answer.

``configs/fine_tuning.yaml`` holds it. A file of one's own (``LLMOPS_TRAINING_PRICES``) adds base models and replaces
entries by name. A base model that is in neither can be tuned as well; its cost is unknown then, which is not 0.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmops.errors import InputError
from llmops.settings import settings


class TrainingPrice(BaseModel):
    """One base model at one provider. Prices are in US dollars; what is None is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z]+/.+", description="provider/base model")
    training_price: float | None = Field(default=None, ge=0, description="For a million tokens that are trained on.")
    default_epochs: float | None = Field(default=None, gt=0, description="Where nobody sets them; None: it depends.")
    minimum_cost: float | None = Field(default=None, ge=0, description="Of a job, however small.")
    hosting_price: float | None = Field(
        default=None, ge=0, description="For an hour of one deployment or model unit, used or not; 0: asked by token."
    )
    as_of: date | None = Field(default=None, description="When the figures were looked up.")
    source: str | None = Field(default=None, description="Where they stand.")


TrainingPrices = Mapping[str, TrainingPrice]


def load_prices(path: Path | None = None) -> TrainingPrices:
    """The entries by name: those that come with the project, and over them those of one's own file.

    Args:
        path: one's own file; by default what the setting ``training_prices`` names, if it names any.

    Raises:
        InputError: a file cannot be read, or does not hold what it must; says which entry and field.
    """
    own = path or settings().training_prices
    return {**_read(_shipped_file()), **(_read(own) if own else {})}


def find_price(prices: TrainingPrices, backend: str, base_model: str) -> TrainingPrice | None:
    """The entry of a base model, or None.

    A dated snapshot, a context length and an ARN are left out where only the model itself is listed; a model that was
    tuned before is trained at the price of what it was tuned from.

    >>> mini, nova = TrainingPrice(name="openai/gpt-4.1-mini"), TrainingPrice(name="bedrock/amazon.nova-lite-v1:0")
    >>> prices = {price.name: price for price in (mini, nova)}
    >>> find_price(prices, "openai", "ft:gpt-4.1-mini-2025-04-14:acme::9wxYz").name
    'openai/gpt-4.1-mini'
    >>> find_price(prices, "bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0:300k").name
    'bedrock/amazon.nova-lite-v1:0'
    >>> find_price(prices, "azure", "gpt-4.1-mini") is None
    True
    """
    provider = "bedrock" if backend == "anthropic" else backend
    names = (f"{provider}/{name}" for name in _names(base_model))
    return next((prices[name] for name in names if name in prices), None)


_SNAPSHOT = re.compile(r"[-@](20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|default|latest|\d{3,4})$")
_CONTEXT = re.compile(r":\d+k$")


def _names(base_model: str) -> Iterator[str]:
    """The names a base model may be listed under, the most exact first."""
    model = base_model.rpartition("/")[2]
    if model.startswith("ft:"):
        model = model.split(":")[1]
    # Azure puts a fine-tuned model's own name after the base model's.
    model = model.partition(".ft-")[0]
    yield model
    yield (shorter := _CONTEXT.sub("", model))
    yield _SNAPSHOT.sub("", shorter)


def _shipped_file() -> Path:
    """In an installed package it lies beside this module, in a checkout among the configuration files."""
    packaged = Path(__file__).with_name("fine_tuning.yaml")
    return packaged if packaged.is_file() else Path(__file__).parents[3] / "configs" / "fine_tuning.yaml"


def _read(file: Path) -> TrainingPrices:
    try:
        changed_at = file.stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"the training prices {file} cannot be read: {error.strerror}") from error
    return _parse(file, changed_at)


@cache
def _parse(file: Path, changed_at: int) -> TrainingPrices:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the training prices {file} cannot be read: {' '.join(str(error).split())}") from error
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise InputError(f"the training prices {file} have no mapping `models` of names to entries")
    common = {key: value for key, value in content.items() if key != "models"}
    return {name: _entry(file, name, common, values) for name, values in models.items()}


def _entry(file: Path, name: Any, common: Mapping[str, Any], values: Any) -> TrainingPrice:
    try:
        return TrainingPrice.model_validate({**common, **(values or {}), "name": name})
    except (ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "not a mapping"}
        where = ".".join([str(name), *map(str, first["loc"])])
        raise InputError(f"the training prices {file} are wrong at {where}: {first['msg']}") from error
