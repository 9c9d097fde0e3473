"""The configuration files: every value is one that its flow takes, and the annotated ones stand at the defaults."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from flows.catalogue import find_flows
from flows.lifecycle import lifecycle
from llmops.data.exports.provider_limits import LIMITS, FormatLimits
from llmops.evaluation.suites import read_suites
from llmops.finetuning.jobs.prices import load_prices
from llmops.llm.catalogue import load_catalogue
from tasks.notifications import read_channels

CONFIGS = Path(__file__).parents[1] / "configs"
PARAMETERS = inspect.signature(lifecycle.fn).parameters


def sections(file: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CONFIGS / file).read_text()))


@pytest.mark.parametrize("file", [path.name for path in CONFIGS.glob("*.yaml")])
def test_every_value_is_taken(file: str) -> None:
    flows = find_flows("flows")
    for name, values in sections(file).items():
        if name == "export":  # a command, not a flow
            for format, limits in values["limits"].items():
                FormatLimits.model_validate({**LIMITS[format].model_dump(), **limits})
            continue
        if name == "suites":
            assert list(read_suites(CONFIGS / file)) == list(values)
            continue
        if file == "models.yaml":
            assert load_catalogue(CONFIGS / file)
            continue
        if file == "fine_tuning.yaml":
            assert load_prices(CONFIGS / file)
            continue
        if name == "channels":
            assert list(read_channels(CONFIGS / file)) == list(values)
            continue
        flow = getattr(importlib.import_module(flows[name].module), flows[name].function)
        parameters = inspect.signature(flow.fn).parameters
        for parameter, value in values.items():
            TypeAdapter(parameters[parameter].annotation).validate_python(value)


@pytest.mark.parametrize("name", ["search", "training", "evaluation", "gate"])
def test_the_annotated_file_stands_at_the_defaults(name: str) -> None:
    """So that a deployment, which gives only source and name, runs what `make run` runs."""
    default = PARAMETERS[name].default
    assert isinstance(default, BaseModel)
    assert type(default).model_validate(sections("lifecycle.yaml")["lifecycle"][name]) == default
