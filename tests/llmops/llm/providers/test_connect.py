"""Which names are models of a provider, and what connecting to one needs."""

import sys

import pytest

from llmops.errors import InputError
from llmops.llm.providers import connect, is_endpoint

CREDENTIALS = {
    "openai": {"OPENAI_API_KEY": "k"},
    "azure": {
        "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com",
        "AZURE_OPENAI_API_KEY": "k",
        "OPENAI_API_VERSION": "1",
    },
    "anthropic": {"ANTHROPIC_API_KEY": "k"},
    "gemini": {"GEMINI_API_KEY": "k"},
    "vertex": {"GOOGLE_API_KEY": "k"},
    "bedrock": {"AWS_REGION": "eu-central-1"},
}


@pytest.mark.parametrize("name", ["foo/bar", "openai", "openai/", "openai/ ", "models:/support/3", "replay:answer", ""])
def test_what_names_no_model_of_a_provider_is_refused_with_the_providers_there_are(name: str) -> None:
    assert not is_endpoint(name)
    with pytest.raises(InputError, match=r"openai/…, azure/…, anthropic/…"):
        connect(name)


def test_the_model_is_all_that_follows_the_first_slash(no_settings: pytest.MonkeyPatch) -> None:
    no_settings.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/")
    model = connect("openai/meta-llama/Llama-4:free")
    assert model.name == "openai/meta-llama/Llama-4:free"
    assert model.endpoint == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("name", "sdk", "extra"),
    [
        ("openai/m", "openai", "openai"),
        ("azure/m", "openai", "openai"),
        ("anthropic/m", "anthropic", "anthropic"),
        ("gemini/m", "google.genai", "google"),
        ("vertex/m", "google.genai", "google"),
        ("bedrock/m", "boto3", "bedrock"),
        ("ollama/m", "ollama", "ollama"),
    ],
)
def test_a_missing_sdk_names_the_extra_that_installs_it(
    name: str, sdk: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, sdk, None)
    with pytest.raises(InputError, match=rf"pip install 'llmops\[{extra}\]'"):
        connect(name)


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("azure", "AZURE_OPENAI_ENDPOINT"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
        ("vertex", "GOOGLE_CLOUD_PROJECT"),
        ("bedrock", "AWS_REGION"),
    ],
)
def test_a_missing_setting_is_one_line_that_names_it(
    provider: str, words: str, no_settings: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=words) as refused:
        connect(f"{provider}/m")
    assert str(refused.value).startswith(f"{provider}/m: ")
    assert "\n" not in str(refused.value)


def test_azure_without_a_key_or_a_version_says_so(no_settings: pytest.MonkeyPatch) -> None:
    no_settings.setenv("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com")
    with pytest.raises(InputError, match="AZURE_OPENAI_API_KEY and OPENAI_API_VERSION"):
        connect("azure/m")


@pytest.mark.parametrize("provider", CREDENTIALS)
def test_models_with_limits_of_their_own_are_endpoints_of_their_own(
    provider: str, no_settings: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS[provider].items():
        no_settings.setenv(name, value)
    first, second = (connect(f"{provider}/{model}") for model in ("one", "two"))
    assert first.endpoint != second.endpoint
    assert first.endpoint.startswith("https://")


@pytest.mark.parametrize(
    ("provider", "setting"),
    [
        ("openai", "OPENAI_BASE_URL"),
        ("azure", "AZURE_OPENAI_ENDPOINT"),
        ("anthropic", "ANTHROPIC_BASE_URL"),
        ("gemini", "GOOGLE_GEMINI_BASE_URL"),
        ("vertex", "GOOGLE_VERTEX_BASE_URL"),
        ("bedrock", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        ("ollama", "OLLAMA_HOST"),
    ],
)
def test_a_login_in_an_address_is_no_part_of_the_endpoints_name(
    provider: str, setting: str, no_settings: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.get(provider, {}).items():
        no_settings.setenv(name, value)
    no_settings.setenv(setting, "https://ann:secret@gateway.example.com:8443/v1")
    assert connect(f"{provider}/m").endpoint.startswith("https://gateway.example.com:8443/v1")


def test_a_compatible_server_has_one_limit_for_all_its_models_and_needs_no_key(
    no_settings: pytest.MonkeyPatch,
) -> None:
    no_settings.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert connect("openai/one").endpoint == connect("openai/two").endpoint
