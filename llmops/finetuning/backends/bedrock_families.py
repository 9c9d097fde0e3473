"""The model families that Amazon Bedrock fine-tunes: their data, and their hyperparameters by their own names.

Names, ranges and defaults are those of
https://docs.aws.amazon.com/bedrock/latest/userguide/custom-models-hp.html and its pages for each family
(cm-hp-nova-mm, cm-hp-anth-claude-3, cm-hp-meta-llama31, cm-hp-meta-llama32, cm-hp-titan-text); which models can be
tuned, of https://docs.aws.amazon.com/bedrock/latest/userguide/custom-model-fine-tuning.html; which of them answer on
demand afterwards, of https://docs.aws.amazon.com/bedrock/latest/userguide/deploy-custom-model-on-demand.html.

No page was found for the hyperparameters of Nova 2 Lite and of Llama 3.3, nor for the data of Llama 3.3: they are taken
to be those of the models before them. Titan Text is documented but has left the newest list of models.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llmops.errors import InputError


@dataclass(frozen=True)
class Hyperparameter:
    """What a family takes: from `low` to `high`, `default` where nothing is sent."""

    low: float
    high: float
    default: float
    whole: bool = True

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Family:
    """Models that are tuned alike.

    Attributes:
        name: as people call it.
        models: matches the model's identifier, after any part of an ARN that stands before it.
        data_format: of `llmops.data.exports`.
        hyperparameters: by the names that `CreateModelCustomizationJob` takes.
        on_demand: whether a tuned model can answer without provisioned throughput.
        validates: whether a validation file is taken.
    """

    name: str
    models: str
    data_format: str
    hyperparameters: Mapping[str, Hyperparameter]
    on_demand: bool = False
    validates: bool = True


_NOVA = {
    "epochCount": Hyperparameter(1, 5, 2),
    "learningRate": Hyperparameter(1e-6, 1e-4, 1e-5, whole=False),
    "learningRateWarmupSteps": Hyperparameter(0, 100, 10),
}
_CLAUDE = {
    "epochCount": Hyperparameter(1, 10, 2),
    "batchSize": Hyperparameter(4, 256, 32),
    "learningRateMultiplier": Hyperparameter(0.1, 2, 1, whole=False),
    "earlyStoppingThreshold": Hyperparameter(0, 0.1, 0.001, whole=False),
    "earlyStoppingPatience": Hyperparameter(1, 10, 2),
}
_LLAMA = {
    "epochCount": Hyperparameter(1, 10, 5),
    "batchSize": Hyperparameter(1, 1, 1),
    "learningRate": Hyperparameter(5e-6, 0.1, 1e-4, whole=False),
}
_TITAN = {
    "epochCount": Hyperparameter(1, 10, 5),
    "batchSize": Hyperparameter(1, 64, 1),
    "learningRate": Hyperparameter(0, 1, 1e-5, whole=False),
    "learningRateWarmupSteps": Hyperparameter(0, 250, 5),
}
_TITAN_PREMIER = {
    "epochCount": Hyperparameter(1, 5, 2),
    "batchSize": Hyperparameter(1, 1, 1),
    "learningRate": Hyperparameter(1e-7, 1e-5, 1e-6, whole=False),
    "learningRateWarmupSteps": Hyperparameter(0, 20, 5),
}

FAMILIES = (
    Family("Amazon Nova", r"amazon\.nova-(micro|lite|pro)-v", "bedrock-conversation", _NOVA, on_demand=True),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/nova-2-sft-data-prep.html: no validation set.
    Family("Amazon Nova 2", r"amazon\.nova-2-lite-v", "bedrock-conversation", _NOVA, on_demand=True, validates=False),
    Family("Anthropic Claude", r"anthropic\.claude-3-haiku-20240307-v", "bedrock-claude", _CLAUDE),
    Family("Meta Llama 3.1", r"meta\.llama3-1-(8b|70b)-instruct-v", "bedrock", _LLAMA),
    Family("Meta Llama 3.2", r"meta\.llama3-2-(1b|3b|11b|90b)-instruct-v", "bedrock-conversation", _LLAMA),
    Family("Meta Llama 3.3", r"meta\.llama3-3-70b-instruct-v", "bedrock-conversation", _LLAMA, on_demand=True),
    Family("Amazon Titan Text Premier", r"amazon\.titan-text-premier-v", "bedrock", _TITAN_PREMIER),
    Family("Amazon Titan Text", r"amazon\.titan-text-(lite|express)-v", "bedrock", _TITAN),
)

_NAMES = {
    # Our word for a setting: the families'.
    "epochs": "epochCount",
    "batch_size": "batchSize",
    "learning_rate": "learningRate",
    "learning_rate_multiplier": "learningRateMultiplier",
    "early_stopping_patience": "earlyStoppingPatience",
}
OWN_SETTING = "job.bedrock.hyperparameters"
"""Where a person sets what our vocabulary has no word for."""


def invoked_as(base_model: str) -> str:
    """How a model is asked that is tuned by that name: without the length of context, which a variant ends in.

    >>> invoked_as("amazon.nova-lite-v1:0:300k"), invoked_as("amazon.nova-lite-v1:0")
    ('amazon.nova-lite-v1:0', 'amazon.nova-lite-v1:0')
    """
    return re.sub(r":\d+k$", "", base_model)


def family_of(base_model: str) -> Family:
    """The family of a base model, named by its identifier or ARN (a custom model's ARN names its base).

    >>> family_of("amazon.nova-micro-v1:0:128k").name
    'Amazon Nova'
    >>> family_of("arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-8b-instruct-v1:0:128k").name
    'Meta Llama 3.1'

    Raises:
        InputError: Bedrock tunes no such model, or none that this project knows how to.
    """
    identifier = base_model
    if base_model.startswith("arn:"):
        _, _, identifier = base_model.partition("/")
    for family in FAMILIES:
        if re.match(family.models, identifier):
            return family
    known = ", ".join(family.name for family in FAMILIES)
    example = "amazon.nova-micro-v1:0:128k"
    raise InputError(f"Bedrock: no way to fine-tune {base_model!r} is known; there is one for {known}, e.g. {example}")


def hyperparameters_of(family: Family, fields: Mapping[str, Any], own: Mapping[str, float]) -> dict[str, str]:
    """What is sent to Bedrock, where every value is a text.

    Args:
        family: of the base model.
        fields: settings in our vocabulary that a person has set.
        own: settings by the family's own names.

    Raises:
        InputError: the family cannot do one of them, or not to that value; says which, and what it offers.

    >>> hyperparameters_of(family_of("amazon.nova-lite-v1:0"), {"epochs": 3.0, "learning_rate": 1e-5}, {})
    {'epochCount': '3', 'learningRate': '0.00001'}
    """
    given: dict[str, str] = {}
    for field, value in fields.items():
        if value is None:
            continue
        name = _NAMES.get(field, "")
        if name not in family.hyperparameters:
            raise InputError(f"{family.name} on Bedrock cannot set {field}: {_offered(family)}")
        given[name] = _text(family, name, field, value)
    for name, value in own.items():
        if name not in family.hyperparameters:
            raise InputError(f"{family.name} on Bedrock has no {name} ({OWN_SETTING}): {_offered(family)}")
        if name in given:
            raise InputError(f"{name} is set twice, by {OWN_SETTING} and as a training setting: leave one out")
        given[name] = _text(family, name, f"{OWN_SETTING}.{name}", value)
    return given


def _text(family: Family, name: str, field: str, value: Any) -> str:
    range = family.hyperparameters[name]
    whole = not range.whole or float(value).is_integer()
    if not (whole and range.low <= value <= range.high):
        kind = "a whole number, " if range.whole else ""
        raise InputError(f"{field} is {value:g}, and {family.name} on Bedrock takes {kind}{range} ({name})")
    # No exponent: the pages show 0.00001, and nothing says that 1e-05 is read.
    return f"{Decimal(repr(int(value) if range.whole else float(value))):f}"


def _offered(family: Family) -> str:
    ours = {theirs: field for field, theirs in _NAMES.items()}
    usual = [f"{ours[name]} ({range})" for name, range in family.hyperparameters.items() if name in ours]
    own = [f"{name} ({range})" for name, range in family.hyperparameters.items() if name not in ours]
    also = f", and in {OWN_SETTING} {', '.join(own)}" if own else ""
    return f"it offers {', '.join(usual)}{also}"
