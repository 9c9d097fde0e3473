"""What is known of the models behind an API: what they can do, how much they read and write, what they charge.

``configs/models.yaml`` holds it. A file of one's own (``LLMOPS_MODEL_CATALOGUE``) adds models, such as the
deployments of an Azure account, and replaces entries by name. A model that is in neither works as well; its cost is
unknown then, which is not 0.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmops.errors import InputError
from llmops.settings import settings

Capability = Literal["vision", "audio", "video", "pdf", "tools", "json_schema", "reasoning"]


class LongContextPrice(BaseModel):
    """What a request costs, all of its tokens, whose input exceeds a number of tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    above: int = Field(ge=1, description="Input tokens up to which the ordinary price holds.")
    input_price: float = Field(ge=0)
    output_price: float = Field(ge=0)
    cached_input_price: float | None = Field(default=None, ge=0)


class CatalogueEntry(BaseModel):
    """One model. Prices are in US dollars per million tokens; what is None is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z]+/.+", description="provider/model")
    context_window: int | None = Field(default=None, ge=1, description="Most tokens that it reads.")
    max_output_tokens: int | None = Field(default=None, ge=1)
    input_price: float | None = Field(default=None, ge=0)
    cached_input_price: float | None = Field(default=None, ge=0, description="For input that the provider still holds.")
    output_price: float | None = Field(default=None, ge=0)
    long_context: LongContextPrice | None = None
    capabilities: tuple[Capability, ...] = ()
    requests_per_minute: int | None = Field(default=None, ge=1, description="What a paying account has to begin with.")
    tokens_per_minute: int | None = Field(default=None, ge=1)
    as_of: date | None = Field(default=None, description="When the figures were looked up.")
    source: str | None = Field(default=None, description="Where they stand.")


Catalogue = Mapping[str, CatalogueEntry]


def load_catalogue(path: Path | None = None) -> Catalogue:
    """The entries by name: those that come with the project, and over them those of one's own file.

    Args:
        path: one's own file; by default what the setting ``model_catalogue`` names, if it names any.

    Raises:
        InputError: a file cannot be read, or does not hold what it must; says which entry and field.
    """
    own = path or settings().model_catalogue
    return {**_read(_shipped_file()), **(_read(own) if own else {})}


def find_entry(catalogue: Catalogue, name: str) -> CatalogueEntry | None:
    """The entry of a model, or None.

    A dated snapshot without an entry of its own has that of its model, because it costs and can the same; where that
    is not so, the catalogue lists both. Likewise a fine-tuned model has the entry of what it was tuned from as a
    fine-tuned one, and a tag in Ollama that of its model.

    >>> gpt, tuned = CatalogueEntry(name="openai/gpt-4o"), CatalogueEntry(name="openai/ft:gpt-4o-2024-08-06")
    >>> catalogue = {entry.name: entry for entry in (gpt, tuned)}
    >>> find_entry(catalogue, "openai/gpt-4o-2024-08-06").name
    'openai/gpt-4o'
    >>> find_entry(catalogue, "openai/ft:gpt-4o-2024-08-06:acme::9wxYz").name
    'openai/ft:gpt-4o-2024-08-06'
    >>> find_entry(catalogue, "openai/gpt-4o-mini") is None
    True
    """
    return next((catalogue[known] for known in _names(name) if known in catalogue), None)


def cost(entry: CatalogueEntry | None, input_tokens: int | None, output_tokens: int | None) -> float | None:
    """US dollars for one request; None where a price or a count is not known.

    Input is charged at the full price: which part of it a provider still held, and charges less for, is not told in
    the same way by all. So this is what the request cost at most.

    >>> cost(CatalogueEntry(name="openai/m", input_price=2.0, output_price=10.0), 1_000, 500)
    0.007
    >>> cost(None, 1_000, 500) is None
    True
    """
    if entry is None or input_tokens is None or output_tokens is None:
        return None
    if entry.input_price is None or entry.output_price is None:
        return None
    price: CatalogueEntry | LongContextPrice = entry
    if entry.long_context is not None and input_tokens > entry.long_context.above:
        price = entry.long_context
    assert price.input_price is not None and price.output_price is not None
    return (input_tokens * price.input_price + output_tokens * price.output_price) / 1e6


_SNAPSHOT = re.compile(r"[-@](20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|default|latest)$")


def _names(name: str) -> Iterator[str]:
    """The names a model may be listed under, the most exact first."""
    yield name
    yield _SNAPSHOT.sub("", name)
    provider, _, model = name.partition("/")
    if provider == "ollama" and not model.endswith("-cloud"):
        yield f"ollama/{model.partition(':')[0]}"
    if model.startswith("ft:"):
        yield f"{provider}/{':'.join(model.split(':')[:2])}"


def _shipped_file() -> Path:
    """In an installed package it lies beside this module, in a checkout among the configuration files."""
    packaged = Path(__file__).with_name("models.yaml")
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "configs" / "models.yaml"


def _read(file: Path) -> Catalogue:
    try:
        changed_at = file.stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"the model catalogue {file} cannot be read: {error.strerror}") from error
    return _parse(file, changed_at)


@cache
def _parse(file: Path, changed_at: int) -> Catalogue:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_loader())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the model catalogue {file} cannot be read: {' '.join(str(error).split())}") from error
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise InputError(f"the model catalogue {file} has no mapping `models` of names to entries")
    common = {key: value for key, value in content.items() if key != "models"}
    return {name: _entry(file, name, common, values) for name, values in models.items()}


def _entry(file: Path, name: Any, common: Mapping[str, Any], values: Any) -> CatalogueEntry:
    try:
        return CatalogueEntry.model_validate({**common, **(values or {}), "name": name})
    except (ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "not a mapping"}
        where = ".".join([str(name), *map(str, first["loc"])])
        raise InputError(f"the model catalogue {file} is wrong at {where}: {first['msg']}") from error


def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
