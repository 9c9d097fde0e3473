"""What a search may vary: dimensions for fields of the training settings, and where each of them counts."""

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, RootModel, field_validator, model_validator

from llmops.errors import InputError
from llmops.finetuning.config import TrainingConfig
from llmops.tuning.dimensions import (
    Choices,
    Conditions,
    Dimension,
    Range,
    Value,
    as_setting,
    distribution,
    is_whole,
    numeric,
    values_of,
    whole_numbers,
)

ADAPTERS: Conditions = {"method": ("lora", "qlora")}

# Where a field has an effect at all; elsewhere it is left out, so that no two points mean the same training.
EFFECTIVE: Mapping[str, Conditions] = {
    "rank": ADAPTERS,
    "alpha": ADAPTERS,
    "dropout": ADAPTERS,
    "epochs": {"max_steps": (None,)},
}
LARGEST_GRID = 10_000


@dataclass(frozen=True)
class ActiveDimension:
    """A dimension that counts with the training settings of a search.

    Attributes:
        field: of the training settings.
        dimension: its choices or its range.
        when: fields varied before it, and the values that they must have for it to count.
    """

    field: str
    dimension: Choices | Range
    when: Conditions

    def counts(self, chosen: Mapping[str, Value]) -> bool:
        """Whether it counts where these values are chosen; a field that is not among them does not count itself."""
        return all(field in chosen and chosen[field] in allowed for field, allowed in self.when.items())

    @property
    def distribution(self) -> Any:
        """The dimension as Optuna knows it."""
        return distribution(self.field, self.dimension)


class SearchSpace(RootModel[dict[str, Dimension]]):
    """Choices and ranges for fields of a :class:`~llmops.finetuning.config.TrainingConfig`.

    A list is choices, ``{low, high, log, step}`` a range (whole numbers where the field takes whole numbers), and
    ``{choices: […], when: {method: [lora]}}`` counts only where another field has one of these values. A space
    that somebody gives replaces the default one whole.

    >>> space = SearchSpace({"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "batch_size": [8, 16]})
    >>> [one.field for one in space.active(TrainingConfig())]
    ['learning_rate', 'batch_size']
    """

    model_config = ConfigDict(frozen=True)

    root: dict[str, Dimension] = {
        "learning_rate": Range(low=4e-3, high=1e-2, log=True),
        "batch_size": Choices(choices=[16, 32]),
        "epochs": Choices(choices=[5, 7]),
        "rank": Choices(choices=[16, 32]),
    }

    @field_validator("root", mode="before")
    @classmethod
    def _whole_ranges(cls, root: Any) -> Any:
        for field, value in root.items() if isinstance(root, Mapping) else ():
            if isinstance(value, Mapping) and "choices" not in value and not {"low", "high"} <= value.keys():
                raise ValueError(f"{field}: a range needs low and high; choices are a list")
        return root

    @field_validator("root")
    @classmethod
    def _as_the_training_settings_take_it(cls, root: dict[str, Choices | Range]) -> dict[str, Choices | Range]:
        return {field: _checked(field, dimension) for field, dimension in root.items()}

    @model_validator(mode="after")
    def _conditions_that_can_hold(self) -> "SearchSpace":
        for field, dimension in self.root.items():
            for other, allowed in dimension.when.items():
                parent = self.root.get(other)
                if isinstance(parent, Range):
                    raise ValueError(
                        f"{field}: when.{other} needs {other} to have choices in the space, and it has a range"
                    )
                if isinstance(parent, Choices) and not any(value in allowed for value in parent.choices):
                    raise ValueError(f"{field}: when.{other} {allowed} is among no choices of {other} {parent.choices}")
                effective = EFFECTIVE.get(field, {}).get(other, allowed)
                possible = parent.choices if isinstance(parent, Choices) else allowed
                if not any(value in allowed and value in effective for value in possible):
                    raise ValueError(
                        f"{field}: when.{other} {allowed} never holds where {field} has an effect: {other} "
                        f"{_listed(list(effective))}"
                    )
        list(self._ordered(self.root))
        return self

    def __contains__(self, field: str) -> bool:
        return field in self.root

    def active(self, training: TrainingConfig) -> tuple[ActiveDimension, ...]:
        """The dimensions that count with these training settings, each after those that it depends on.

        Left out is what has no effect: rank, alpha and dropout where there is no adapter, epochs where
        ``max_steps`` sets the length.

        Raises:
            InputError: a condition on a field that is not in the space and that the settings do not fulfil; or no
                dimension counts, so that every trial would be the same.
        """
        if not self.root:
            raise InputError(
                "search.space is empty: there is nothing to search; name at least one field of the training settings"
            )
        kept = {field: one for field, one in self.root.items() if self._effective(field, training)}
        found = []
        for field in self._ordered(kept):
            for other, allowed in kept[field].when.items():
                if other not in kept and getattr(training, other) not in allowed:
                    raise InputError(
                        f"search.space.{field}: when.{other} {_listed(allowed)} never holds: {other} is not in the "
                        f"space and {getattr(training, other)} in the training settings"
                    )
            conditions = _conditions(field, kept[field])
            when = {other: allowed for other, allowed in conditions.items() if other in kept}
            found.append(ActiveDimension(field, kept[field], when))
        if not found:
            why = "; ".join(_without_effect(field, training) for field in self.root)
            raise InputError(f"search.space: there is nothing to search with these training settings ({why})")
        return tuple(found)

    def _effective(self, field: str, training: TrainingConfig) -> bool:
        for other, allowed in EFFECTIVE.get(field, {}).items():
            parent = self.root.get(other)
            possible = parent.choices if isinstance(parent, Choices) else [getattr(training, other)]
            if isinstance(parent, Range) or not any(value in allowed for value in possible):
                return False
        return True

    def _ordered(self, dimensions: Mapping[str, Choices | Range]) -> Iterator[str]:
        """The fields, each after those in its conditions."""
        left = dict(dimensions)
        while left:
            ready = [one for one in left if not any(o in left for o in (*left[one].when, *EFFECTIVE.get(one, {})))]
            if not ready:
                raise ValueError(f"the conditions of {' and '.join(left)} wait for each other")
            for field in ready:
                yield field
                del left[field]


def _without_effect(field: str, training: TrainingConfig) -> str:
    """Why a field has no effect, as a part of a sentence."""
    return ", ".join(
        f"{field} has no effect with training.{other} {getattr(training, other)}" for other in EFFECTIVE.get(field, {})
    )


def _conditions(field: str, dimension: Choices | Range) -> dict[str, tuple[Value, ...]]:
    """Where a dimension counts: where it has an effect at all, and of that where a person wants it."""
    conditions = {other: tuple(allowed) for other, allowed in EFFECTIVE.get(field, {}).items()}
    for other, wanted in dimension.when.items():
        conditions[other] = tuple(value for value in conditions.get(other, tuple(wanted)) if value in wanted)
    return conditions


def grid_points(dimensions: tuple[ActiveDimension, ...]) -> list[dict[str, Value]]:
    """Every distinct point of a grid; a dimension is left out of a point where its condition does not hold.

    Raises:
        InputError: a range without a step, or a grid too large to be meant.
    """
    points: list[dict[str, Value]] = [{}]
    for one in dimensions:
        values = values_of(one.field, one.dimension)
        if values is None:
            raise InputError(
                f"search.space.{one.field}: a grid needs a step or a list of choices, and this range has neither"
            )
        if len(points) * len(values) > LARGEST_GRID:
            raise InputError(f"the grid has more than {LARGEST_GRID} points; use larger steps or sampler tpe")
        points = list(
            itertools.chain.from_iterable(
                [{**point, one.field: value} for value in values] if one.counts(point) else [point] for point in points
            )
        )
    return points


def shuffled_grid(dimensions: tuple[ActiveDimension, ...], seed: int) -> list[dict[str, Value]]:
    """The points of a grid in a random order that depends on the seed alone, so that a part of it covers the space.

    Raises:
        InputError: see :func:`grid_points`.
    """
    points = grid_points(dimensions)
    random.Random(seed).shuffle(points)
    return points


def _check_field(field: str, where: str = "") -> None:
    if field not in TrainingConfig.model_fields:
        raise ValueError(f"{where}{field} is no field of the training settings")
    if field == "seed":
        raise ValueError(f"{where}seed is no hyperparameter; `finalists` trains the best again with new seeds")


def _checked(field: str, dimension: Choices | Range) -> Choices | Range:
    """A dimension with its values as the training settings keep them."""
    _check_field(field)
    when: dict[str, list[Value]] = {}
    for other, allowed in dimension.when.items():
        _check_field(other, f"{field}: when.")
        try:
            when[other] = [as_setting(other, value) for value in allowed]
        except ValueError as error:
            raise ValueError(f"{field}: when.{error}") from None
    if isinstance(dimension, Range):
        _check_range(field, dimension)
        return dimension.model_copy(update={"when": when})
    choices = [as_setting(field, value) for value in dimension.choices]
    if len(set(choices)) < len(choices):
        raise ValueError(f"{field}: the same choice stands there twice")
    return Choices(choices=choices, when=when)


def _check_range(field: str, dimension: Range) -> None:
    if not numeric(field):
        raise ValueError(f"{field} takes names, not a range; list its choices")
    bounds = {"low": dimension.low, "high": dimension.high, "step": dimension.step}
    fraction = next((f"{name} {value}" for name, value in bounds.items() if value and not is_whole(value)), None)
    if whole_numbers(field) and fraction:
        raise ValueError(f"{field} takes whole numbers, and {fraction} is none")
    as_setting(field, dimension.low)
    as_setting(field, dimension.high)


def _listed(values: list[Value]) -> str:
    return "[" + ", ".join(map(str, values)) + "]"
