"""Hyperparameters as each family's page has them, and one error for each way of asking for what it has not."""

from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning.backends.bedrock_families import FAMILIES, family_of, hyperparameters_of

LLAMA = "meta.llama3-1-8b-instruct-v1:0:128k"
NOVA = "amazon.nova-micro-v1:0:128k"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0:200k"
TITAN = "amazon.titan-text-express-v1:0:8k"


@pytest.mark.parametrize(
    ("base_model", "family", "format"),
    [
        # https://docs.aws.amazon.com/bedrock/latest/userguide/custom-model-fine-tuning.html, its table of identifiers
        ("amazon.nova-2-lite-v1:0:256k", "Amazon Nova 2", "bedrock-conversation"),
        ("amazon.nova-lite-v1:0:300k", "Amazon Nova", "bedrock-conversation"),
        ("amazon.nova-micro-v1:0:128k", "Amazon Nova", "bedrock-conversation"),
        ("amazon.nova-pro-v1:0:300k", "Amazon Nova", "bedrock-conversation"),
        (CLAUDE, "Anthropic Claude", "bedrock-claude"),
        ("meta.llama3-1-70b-instruct-v1:0:128k", "Meta Llama 3.1", "bedrock"),
        (LLAMA, "Meta Llama 3.1", "bedrock"),
        ("meta.llama3-2-11b-instruct-v1:0:128k", "Meta Llama 3.2", "bedrock-conversation"),
        ("meta.llama3-2-1b-instruct-v1:0:128k", "Meta Llama 3.2", "bedrock-conversation"),
        ("meta.llama3-3-70b-instruct-v1:0:128k", "Meta Llama 3.3", "bedrock-conversation"),
        (TITAN, "Amazon Titan Text", "bedrock"),
        ("amazon.titan-text-premier-v1:0:32k", "Amazon Titan Text Premier", "bedrock"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "Amazon Nova", "bedrock-conversation"),
        (
            f"arn:aws:bedrock:us-east-1:123456789012:custom-model/{NOVA}/abc123def456",
            *("Amazon Nova", "bedrock-conversation"),
        ),
    ],
)
def test_the_family_of_a_base_model(base_model: str, family: str, format: str) -> None:
    found = family_of(base_model)
    assert (found.name, found.data_format) == (family, format)


@pytest.mark.parametrize(
    "base_model",
    ["amazon.nova-canvas-v1:0", "amazon.nova-premier-v1:0", "anthropic.claude-3-5-haiku-v1:0", "gpt-5", ""],
)
def test_what_cannot_be_tuned(base_model: str) -> None:
    with pytest.raises(InputError, match=r"no way to fine-tune .* is known; there is one for Amazon Nova, .*Claude"):
        family_of(base_model)


@pytest.mark.parametrize(
    ("base_model", "fields", "own", "sent"),
    [
        (
            *(NOVA, {"epochs": 3.0, "learning_rate": 1e-5}, {"learningRateWarmupSteps": 20.0}),
            {"epochCount": "3", "learningRate": "0.00001", "learningRateWarmupSteps": "20"},
        ),
        (
            CLAUDE,
            {"epochs": 10.0, "batch_size": 32, "learning_rate_multiplier": 0.5, "early_stopping_patience": 2},
            {"earlyStoppingThreshold": 0.001},
            {
                "epochCount": "10",
                "batchSize": "32",
                "learningRateMultiplier": "0.5",
                "earlyStoppingPatience": "2",
                "earlyStoppingThreshold": "0.001",
            },
        ),
        (LLAMA, {"epochs": 1.0, "batch_size": 1, "learning_rate": 5e-6}, {}, None),
        (TITAN, {"batch_size": 64, "learning_rate": 1.0}, {"learningRateWarmupSteps": 250}, None),
        (NOVA, {"learning_rate_multiplier": None, "max_steps": None}, {}, {}),
        (CLAUDE, {}, {}, {}),
    ],
)
def test_settings_by_the_familys_names(
    base_model: str, fields: dict[str, Any], own: dict[str, float], sent: dict[str, str] | None
) -> None:
    got = hyperparameters_of(family_of(base_model), fields, own)
    assert sent is None or got == sent
    assert all(isinstance(value, str) and "e" not in value for value in got.values())


@pytest.mark.parametrize(
    ("base_model", "fields", "own", "reason"),
    [
        (NOVA, {"batch_size": 8}, {}, r"Amazon Nova on Bedrock cannot set batch_size: it offers epochs \(1 to 5\)"),
        (NOVA, {"rank": 8}, {}, "cannot set rank"),
        (NOVA, {"warmup_ratio": 0.1}, {}, r"in job.bedrock.hyperparameters learningRateWarmupSteps \(0 to 100\)"),
        (NOVA, {"learning_rate_multiplier": 2.0}, {}, r"it offers .*learning_rate \(1e-06 to 0.0001\)"),
        (NOVA, {"epochs": 6.0}, {}, r"epochs is 6, and Amazon Nova on Bedrock takes a whole number, 1 to 5"),
        (NOVA, {"epochs": 1.5}, {}, "epochs is 1.5, .* a whole number"),
        (NOVA, {"learning_rate": 2e-4}, {}, "learning_rate is 0.0002, .* takes 1e-06 to 0.0001"),
        (NOVA, {}, {"learningRateWarmupSteps": 101}, "job.bedrock.hyperparameters.learningRateWarmupSteps is 101"),
        (NOVA, {}, {"batchSize": 1}, "has no batchSize"),
        (NOVA, {"epochs": 1.0}, {"epochCount": 2}, "epochCount is set twice"),
        (CLAUDE, {"learning_rate": 1e-4}, {}, r"cannot set learning_rate: .*learning_rate_multiplier \(0.1 to 2\)"),
        (CLAUDE, {"batch_size": 2}, {}, "batch_size is 2, .* 4 to 256"),
        (CLAUDE, {"epochs": 11.0}, {}, "1 to 10"),
        (CLAUDE, {}, {"earlyStoppingThreshold": 0.2}, "takes 0 to 0.1"),
        (LLAMA, {"batch_size": 2}, {}, r"batch_size is 2, and Meta Llama 3.1 on Bedrock takes a whole number, 1 \("),
        (LLAMA, {}, {"learningRateWarmupSteps": 5}, "has no learningRateWarmupSteps"),
        (TITAN, {"batch_size": 65}, {}, "1 to 64"),
    ],
)
def test_what_a_family_cannot_do(base_model: str, fields: dict[str, Any], own: dict[str, float], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        hyperparameters_of(family_of(base_model), fields, own)
    assert "\n" not in str(refused.value)


def test_every_default_is_in_its_own_range() -> None:
    for family in FAMILIES:
        assert "epochCount" in family.hyperparameters
        for name, parameter in family.hyperparameters.items():
            assert parameter.low <= parameter.default <= parameter.high, (family.name, name)
