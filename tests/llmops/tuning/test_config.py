"""The settings of a search: combinations that make no sense, and no password where settings are shown."""

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.tuning import SearchConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": ["validation_loss", "seconds"], "pruner": "median"}, "pruned for one objective only"),
        ({"objectives": ["seconds"]}, "validation_loss must be among them"),
        ({"objectives": ["validation_loss", "validation_loss"]}, "validation_loss is named twice"),
        ({"objectives": ["validation_loss", "cost"]}, "the objective cost needs .*--search.cost-per-hour"),
        ({"budget": {"max_cost": 5}}, "budget.max_cost needs .*--search.cost-per-hour"),
        ({"budget": {"max_tokens": 0}}, "greater than or equal to 1"),
        ({"finalists": 1}, "one finalist has nobody to be compared with"),
        ({"sampler": "gp", "pruner": "hyperband"}, "sampler gp with pruner hyperband: gp would learn from"),
        ({"sampler": "cmaes"}, "'tpe', 'random', 'grid' or 'gp'"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SearchConfig.model_validate(settings)


def test_a_password_is_not_in_what_is_logged_and_reaches_other_processes() -> None:
    config = SearchConfig(storage="postgresql://team:s3c:r%40t@db.example:5432/search?password=s3c:r")
    assert config.model_dump()["storage"] == "postgresql://team:***@db.example:5432/search"
    assert "s3c" not in config.model_dump_json()
    assert pickle.loads(pickle.dumps(config)).storage == config.storage
    for unclear in ("postgresql://team:s3c@ret@db.example/s", "postgresql://team:s3/c@db.example", "s3c", "://"):
        assert SearchConfig(storage=unclear).model_dump()["storage"] == "***"
    with pytest.raises(ValidationError) as refused:
        SearchConfig(storage=config.storage, finalists=1)
    assert "s3c" not in str(refused.value)
    without = SearchConfig(storage="postgresql://team@db.example/search")
    assert without.model_dump()["storage"] == without.storage


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": {}}, "search.space is empty"),
        ({"space": {"learning_rate": {"low": 1e-4, "high": 1e-2}}, "sampler": "grid"}, "learning_rate: a grid needs a"),
        ({"storage": "mysql://here/search"}, "search.storage is a mysql address"),
    ],
)
def test_what_cannot_be_searched_is_known_before_anything_is_made(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchConfig.model_validate(settings).require_searchable(TrainingConfig())
    SearchConfig().require_searchable(TrainingConfig())
