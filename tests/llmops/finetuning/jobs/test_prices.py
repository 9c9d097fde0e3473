"""Prices: what is listed, whom a name means, and one's own file."""

from datetime import date
from pathlib import Path

import pytest

from llmops.errors import InputError
from llmops.finetuning.jobs.prices import find_price, load_prices
from llmops.settings import settings

PRICES = load_prices()


def test_every_figure_says_where_it_stands_and_as_of_when() -> None:
    assert len(PRICES) >= 20
    for name, price in PRICES.items():
        assert price.name == name
        assert price.as_of is not None
        assert date(2026, 1, 1) <= price.as_of <= date(2027, 1, 1)
        assert (price.source or "").startswith("https://")
        # US dollars per million, not per thousand or per token.
        assert price.training_price is None or 0.1 <= price.training_price <= 100
        assert price.hosting_price is None or 0.1 <= price.hosting_price <= 1000
        assert price.default_epochs is None or 1 <= price.default_epochs <= 10
        assert {price.training_price, price.default_epochs, price.hosting_price} != {None}


@pytest.mark.parametrize(
    ("backend", "base_model", "listed"),
    [
        ("openai", "gpt-4.1-mini-2025-04-14", "openai/gpt-4.1-mini"),
        ("openai", "gpt-4.1-mini", "openai/gpt-4.1-mini"),
        ("openai", "ft:gpt-4o-2024-08-06:acme:support:9wxYz", "openai/gpt-4o"),
        ("azure", "gpt-4o-mini-2024-07-18", "azure/gpt-4o-mini"),
        ("azure", "gpt-4o-mini-2024-07-18.ft-0123abcd", "azure/gpt-4o-mini"),
        ("vertex", "gemini-2.0-flash-001", "vertex/gemini-2.0-flash"),
        ("vertex", "gemini-2.0-flash-lite-001", "vertex/gemini-2.0-flash-lite"),
        ("bedrock", "amazon.nova-lite-v1:0:300k", "bedrock/amazon.nova-lite-v1:0"),
        (
            "bedrock",
            "arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-8b-instruct-v1:0:128k",
            "bedrock/meta.llama3-1-8b-instruct-v1:0",
        ),
        (
            "anthropic",
            "anthropic.claude-3-haiku-20240307-v1:0:200k",
            "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
        ),
        ("openai", "gpt-9", None),
        ("vertex", "gpt-4.1", None),
        ("openai", "gpt-4.1-mini-turbo", None),
    ],
)
def test_a_name_has_the_price_of_its_model(backend: str, base_model: str, listed: str | None) -> None:
    price = find_price(PRICES, backend, base_model)
    assert (price.name if price else None) == listed


def test_a_file_of_ones_own_adds_and_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("models:\n  azure/gpt-4.1: {training_price: 20}\n  openai/gpt-9: {training_price: 1}\n")
    monkeypatch.setenv("LLMOPS_TRAINING_PRICES", str(own))
    settings.cache_clear()
    try:
        prices = load_prices()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert (prices["azure/gpt-4.1"].training_price, prices["azure/gpt-4.1"].hosting_price) == (20, None)
    assert prices["openai/gpt-9"].training_price == 1
    assert prices["openai/gpt-4.1"] == PRICES["openai/gpt-4.1"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("models: {openai/gpt: {training_price: cheap}}", r"wrong at openai/gpt\.training_price"),
        ("models: {openai/gpt: {price: 1}}", r"wrong at openai/gpt\.price"),
        ("models: {gpt: {training_price: 1}}", r"wrong at gpt\.name"),
        ("models: {openai/gpt: 3}", "wrong at openai/gpt"),
        ("prices: {}", "no mapping `models`"),
        ("models: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=says) as error:
        load_prices(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.yaml cannot be read"):
        load_prices(tmp_path / "nothing.yaml")
