"""The catalogue: what is listed, whom a name means, what a request costs."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llmops.errors import InputError
from llmops.llm.catalogue import CatalogueEntry, LongContextPrice, cost, find_entry, load_catalogue
from llmops.settings import settings

CATALOGUE = load_catalogue()


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    file = tmp_path / "own.yaml"
    file.write_text(
        "models:\n"
        "  azure/our-deployment: {input_price: 1.5, output_price: 6}\n"
        "  openai/gpt-4o: {input_price: 1, output_price: 2, as_of: 2026-11-01}\n"
    )
    return file


def test_the_providers_are_there_with_sizes_prices_and_where_they_stand() -> None:
    for provider in ("openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "ollama"):
        assert sum(name.startswith(f"{provider}/") for name in CATALOGUE) >= 8
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.input_price is not None
        assert entry.output_price is not None
        assert entry.context_window is not None
        assert isinstance(entry.as_of, date)
        assert (entry.source or "").startswith("https://")


def test_no_figure_is_absurd() -> None:
    for entry in CATALOGUE.values():
        assert entry.input_price is not None
        assert entry.output_price is not None
        if entry.name.startswith("ollama/"):
            assert (entry.input_price, entry.output_price) == (0, 0)
        else:
            assert 0.01 <= entry.input_price <= entry.output_price <= 200  # US dollars per million, not per token
        assert entry.cached_input_price is None or entry.cached_input_price < entry.input_price
        assert entry.long_context is None or entry.long_context.input_price > entry.input_price


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("openai/gpt-5-mini", "openai/gpt-5-mini"),
        ("openai/gpt-5-mini-2025-08-07", "openai/gpt-5-mini"),
        ("openai/gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),  # it was dearer than its successors
        ("openai/ft:gpt-4.1-mini-2025-04-14:acme:tickets:9wxYz", "openai/ft:gpt-4.1-mini-2025-04-14"),
        ("azure/gpt-6-sol-2026-09-22", "azure/gpt-6-sol"),
        ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("ollama/llama3.2:3b-instruct-q4_K_M", "ollama/llama3.2"),
        ("ollama/gpt-oss:120b-cloud", None),  # paid for
        ("openai/gpt-5-mini-experimental", None),
        ("openai/gpt-5-mini-0613", None),
        ("openai/ft:gpt-3.5-turbo:acme::1", None),
        ("bedrock/ap-northeast-9.anthropic.claude-opus-5-5", None),
        ("azure/our-deployment", None),
        ("gpt-5-mini", None),
        ("", None),
    ],
)
def test_whom_a_name_means(name: str, known_as: str | None) -> None:
    entry = find_entry(CATALOGUE, name)
    assert (entry and entry.name) == known_as


def test_a_published_price() -> None:
    """OpenAI's page gives 2.50 and 10 US dollars for gpt-4o: 1,234 tokens in and 567 out are 0.003085 + 0.00567."""
    entry = find_entry(CATALOGUE, "openai/gpt-4o-2024-08-06")
    assert cost(entry, 1_234, 567) == pytest.approx(0.008755)


def test_a_long_request_is_charged_whole_at_the_long_price() -> None:
    long = LongContextPrice(above=200_000, input_price=4, output_price=15)
    entry = CatalogueEntry(name="x/y", input_price=2, output_price=10, long_context=long)
    assert cost(entry, 200_000, 1_000) == pytest.approx(0.41)
    assert cost(entry, 200_001, 1_000) == pytest.approx(0.815004)


@given(st.none() | st.floats(0, 100), st.none() | st.floats(0, 100), st.none() | st.integers(0, 10**7))
def test_a_cost_is_unknown_exactly_where_a_figure_is(
    input_price: float | None, output_price: float | None, tokens: int | None
) -> None:
    entry = CatalogueEntry(name="x/y", input_price=input_price, output_price=output_price)
    spent = cost(entry, tokens, 10)
    assert (spent is None) == (None in (input_price, output_price, tokens))
    assert spent is None or spent >= 0


def test_on_your_own_machine_a_request_is_free() -> None:
    assert cost(find_entry(CATALOGUE, "ollama/llama3.1"), 10**6, 10**6) == 0


def test_a_file_of_ones_own_adds_and_replaces_by_name(own_file: Path) -> None:
    catalogue = load_catalogue(own_file)
    assert len(catalogue) == len(CATALOGUE) + 1
    assert cost(find_entry(catalogue, "azure/our-deployment"), 10**6, 10**6) == 7.5
    replaced = catalogue["openai/gpt-4o"]
    assert (replaced.input_price, replaced.context_window, replaced.as_of) == (1, None, date(2026, 11, 1))


def test_the_setting_names_it(own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_MODEL_CATALOGUE", str(own_file))
    settings.cache_clear()
    try:
        assert "azure/our-deployment" in load_catalogue()
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_a_changed_file_is_read_again(own_file: Path) -> None:
    load_catalogue(own_file)
    own_file.write_text("models: {x/other-name: {input_price: 3}}")
    assert load_catalogue(own_file)["x/other-name"].input_price == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: {openai/x: {input_price: -1}}", "openai/x.input_price"),
        ("models: {openai/x: {inputprice: 1}}", "openai/x.inputprice"),
        ("models: {x: {}}", "at x.name"),
        ("models: {openai/x: 3}", "openai/x"),
        ("models: [openai/x]", "no mapping `models`"),
        ("- 1", "no mapping `models`"),
        ("models: {", "cannot be read"),
        ("", "no mapping `models`"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        load_catalogue(file)
    assert says in str(raised.value)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_catalogue(tmp_path / "none.yaml")


def test_the_file_lists_each_model_once() -> None:
    """YAML lets the later of two equal keys win without a word."""
    file = Path(__file__).parents[3] / "configs" / "models.yaml"
    mapping = next(value for key, value in yaml.compose(file.read_text()).value if key.value == "models")
    names = [key.value for key, _ in mapping.value]
    assert len(names) == len(set(names)) == len(CATALOGUE)
