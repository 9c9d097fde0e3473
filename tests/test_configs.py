"""The configuration files: every value is one that its flow takes, and the annotated one stands at the defaults."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from flows.lifecycle import lifecycle

CONFIGS = Path(__file__).parents[1] / "configs"
PARAMETERS = inspect.signature(lifecycle.fn).parameters


def section(file: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CONFIGS / file).read_text())["lifecycle"])


@pytest.mark.parametrize("file", [path.name for path in CONFIGS.glob("*.yaml")])
def test_every_value_is_taken(file: str) -> None:
    for name, value in section(file).items():
        TypeAdapter(PARAMETERS[name].annotation).validate_python(value)


@pytest.mark.parametrize("name", ["search", "training", "evaluation", "gate"])
def test_the_annotated_file_stands_at_the_defaults(name: str) -> None:
    """So that a deployment, which gives only source and name, runs what `make run` runs."""
    default = PARAMETERS[name].default
    assert isinstance(default, BaseModel)
    assert type(default).model_validate(section("lifecycle.yaml")[name]) == default
