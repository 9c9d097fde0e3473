"""Search spaces: what they take, what they refuse in one line, where a dimension counts, the points of a grid."""

import math
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.tuning import SearchSpace
from llmops.tuning.spaces import grid_points, shuffled_grid

LORA = TrainingConfig(method="lora")


def fields(space: SearchSpace, training: TrainingConfig) -> list[str]:
    return [one.field for one in space.active(training)]


def grid(space: dict[str, Any], training: TrainingConfig = LORA) -> list[dict[str, Any]]:
    return grid_points(SearchSpace(space).active(training))


def test_the_default_space_leaves_out_what_has_no_effect() -> None:
    assert fields(SearchSpace(), LORA) == ["learning_rate", "batch_size", "epochs", "rank"]
    assert fields(SearchSpace(), TrainingConfig(method="full")) == ["learning_rate", "batch_size", "epochs"]
    assert fields(SearchSpace(), LORA.model_copy(update={"max_steps": 30})) == ["learning_rate", "batch_size", "rank"]


def test_a_space_of_ones_own_replaces_the_default_whole() -> None:
    assert fields(SearchSpace.model_validate({"warmup_ratio": [0.0, 0.1]}), LORA) == ["warmup_ratio"]


def test_dimensions_become_optunas_distributions() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space = {
        "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
        "weight_decay": {"low": 0.0, "high": 0.25, "step": 0.1},
        "rank": {"low": 4, "high": 64, "log": True},
        "batch_size": {"low": 8, "high": 35, "step": 8},
        "schedule": ["cosine", "linear"],
        "alpha": [None, 32],
    }
    found = {one.field: one.distribution for one in SearchSpace.model_validate(space).active(LORA)}
    assert found == {
        "learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
        "weight_decay": FloatDistribution(0.0, 0.2, step=0.1),  # the last step that fits
        "rank": IntDistribution(4, 64, log=True),
        "batch_size": IntDistribution(8, 32, step=8),
        "schedule": CategoricalDistribution(["cosine", "linear"]),
        "alpha": CategoricalDistribution([None, 32]),
    }


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learnig_rate": [1]}, "learnig_rate is no field of the training settings"),
        ({"learning_rate": {"low": 0.1, "high": 0.01}}, "low (0.1) is above high (0.01)"),
        ({"learning_rate": {"low": 0, "high": 0.01, "log": True}}, "a log scale needs low above 0, and it is 0"),
        ({"learning_rate": {"low": 0.0, "high": 0.01}}, "learning_rate 0.0: Input should be greater than 0"),
        ({"batch_size": [16, 0]}, "batch_size 0: Input should be greater than or equal to 1"),
        ({"batch_size": {"low": 8, "high": 16.5}}, "batch_size takes whole numbers, and high 16.5 is none"),
        ({"batch_size": [True]}, "batch_size True: Input should be a number or a name"),
        ({"rank": {"low": 8, "high": 64, "log": True, "step": 8}}, "a log scale has no step"),
        ({"rank": [8, "8"]}, "the same choice stands there twice"),
        ({"rank": 8}, "8 is neither a list of choices nor a range"),
        ({"learning_rate": {"low": 1e-4}}, "learning_rate: a range needs low and high"),
        (
            {"rank": {"choices": [8], "when": {"method": ["full"]}}},
            "rank: when.method ['full'] never holds where rank has an effect: method [lora, qlora]",
        ),
        ({"rank": []}, "List should have at least 1 item"),
        ({"rank": [8, 8]}, "the same choice stands there twice"),
        ({"rank": {"low": 8, "high": 16, "step": 0}}, "Input should be greater than 0"),
        ({"schedule": {"low": 1, "high": 2}}, "schedule takes names, not a range; list its choices"),
        ({"schedule": ["cosin"]}, "schedule cosin: Input should be 'cosine', 'linear' or 'constant'"),
        ({"seed": [1, 2]}, "seed is no hyperparameter"),
        ({"rank": {"choices": [8], "when": {"metod": ["lora"]}}}, "rank: when.metod is no field"),
        ({"rank": {"choices": [8], "when": {"method": ["lorra"]}}}, "rank: when.method lorra: Input should be"),
        (
            {"method": ["full"], "dropout": {"choices": [0.1], "when": {"method": ["lora"]}}},
            "dropout: when.method ['lora'] is among no choices of method ['full']",
        ),
        (
            {"batch_size": {"low": 8, "high": 16}, "rank": {"choices": [8], "when": {"batch_size": [8]}}},
            "rank: when.batch_size needs batch_size to have choices in the space, and it has a range",
        ),
        (
            {"rank": {"choices": [8], "when": {"alpha": [8]}}, "alpha": {"choices": [8], "when": {"rank": [8]}}},
            "the conditions of rank and alpha wait for each other",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_field_and_the_value(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SearchSpace.model_validate(space)
    assert len(refused.value.errors()) == 1
    error = refused.value.errors()[0]
    assert message in f"{'.'.join(map(str, error['loc']))} {error['msg']}"


def test_a_condition_that_never_holds_is_refused() -> None:
    space = SearchSpace.model_validate({"warmup_ratio": {"choices": [0.1], "when": {"schedule": ["linear"]}}})
    message = r"search.space.warmup_ratio: when.schedule \[linear\] never holds: .* cosine in the training settings"
    with pytest.raises(InputError, match=message):
        space.active(LORA)
    assert fields(space, LORA.model_copy(update={"schedule": "linear"})) == ["warmup_ratio"]


def test_a_dimension_comes_after_what_it_depends_on() -> None:
    space = {"rank": [4, 8], "method": ["full", "lora"]}
    assert fields(SearchSpace.model_validate(space), LORA) == ["method", "rank"]


def test_a_grid_over_conditions_has_only_valid_points_each_once() -> None:
    space = {
        "rank": [4, 8],
        "method": ["full", "lora", "qlora"],
        "dropout": {"choices": [0.0, 0.1], "when": {"method": ["qlora"]}},
        "batch_size": {"low": 8, "high": 16, "step": 8},
    }
    points = grid(space)
    # Written out: full 1, lora with 2 ranks, qlora with 2 ranks and 2 dropouts; times 2 batch sizes.
    expected = [
        *({"batch_size": b, "method": "full"} for b in (8, 16)),
        *({"batch_size": b, "method": "lora", "rank": r} for b in (8, 16) for r in (4, 8)),
        *(
            {"batch_size": b, "method": "qlora", "rank": r, "dropout": d}
            for b in (8, 16)
            for r in (4, 8)
            for d in (0.0, 0.1)
        ),
    ]
    assert len(points) == 14
    assert sorted(map(str, (sorted(p.items()) for p in points))) == sorted(
        map(str, (sorted(p.items()) for p in expected))
    )


def test_a_condition_of_ones_own_cannot_make_count_what_has_no_effect() -> None:
    """The alphas of a full training would be two points that mean the same."""
    space = {"method": ["full", "lora"], "alpha": {"choices": [8, 16], "when": {"method": ["full", "lora"]}}}
    assert sorted(map(str, grid(space))) == sorted(
        map(str, ({"method": "full"}, {"method": "lora", "alpha": 8}, {"method": "lora", "alpha": 16}))
    )


def test_a_grid_counts_out_small_ranges_of_whole_numbers_and_steps() -> None:
    assert [p["rank"] for p in grid({"rank": {"low": 4, "high": 7}})] == [4, 5, 6, 7]
    assert [p["dropout"] for p in grid({"dropout": {"low": 0.1, "high": 0.3, "step": 0.1}})] == [0.1, 0.2, 0.3]
    assert grid({"rank": {"low": 8, "high": 8}}) == [{"rank": 8}]


def test_a_space_without_anything_to_vary_is_refused_and_says_why() -> None:
    with pytest.raises(InputError, match=r"search\.space is empty"):
        SearchSpace({}).active(TrainingConfig())
    short = TrainingConfig(method="full", max_steps=10)
    with pytest.raises(InputError, match=r"epochs has no effect with training\.max_steps 10; rank .*method full"):
        SearchSpace.model_validate({"epochs": [1, 2], "rank": [4, 8]}).active(short)


@pytest.mark.parametrize(
    "space", [{"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}, {"batch_size": {"low": 1, "high": 512}}]
)
def test_a_grid_over_a_range_without_step_is_refused(space: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="a grid needs a step or a list of choices"):
        grid(space)


def test_a_grid_that_nobody_can_mean_is_refused() -> None:
    steps = {"low": 0.0, "high": 0.9, "step": 0.001}
    with pytest.raises(InputError, match="more than 10000 points"):
        grid({"dropout": steps, "warmup_ratio": steps})


def test_the_order_of_a_grid_depends_on_the_seed_alone() -> None:
    dimensions = SearchSpace.model_validate({"rank": {"low": 1, "high": 16}}).active(LORA)
    first = [point["rank"] for point in shuffled_grid(dimensions, 1)]
    assert first == [point["rank"] for point in shuffled_grid(dimensions, 1)]
    assert first != [point["rank"] for point in shuffled_grid(dimensions, 2)]
    assert sorted(first, key=lambda rank: float(str(rank))) == list(range(1, 17))


def test_the_space_comes_as_json_on_a_command_line_and_goes_back() -> None:
    text = '{"learning_rate": {"low": 1e-4, "high": 1e-2, "log": true}, "batch_size": [16, 32]}'
    space = SearchSpace.model_validate_json(text)
    assert SearchSpace.model_validate_json(space.model_dump_json()) == space
    low = space.active(LORA)[0].distribution.low
    assert math.isclose(low, 1e-4)


def test_numbers_that_yaml_takes_for_text_are_numbers() -> None:
    text = "{learning_rate: [1e-4, 1e-3], warmup_ratio: {low: 1e-3, high: 1e-1, log: true}, epochs: [1]}"
    space = SearchSpace.model_validate(yaml.safe_load(text))
    rates, warmup, epochs = (one.distribution for one in space.active(LORA))
    assert rates.choices == (1e-4, 1e-3)
    assert (warmup.low, warmup.high) == (1e-3, 1e-1)
    assert isinstance(epochs.choices[0], float)
