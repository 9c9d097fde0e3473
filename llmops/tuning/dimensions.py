"""One dimension of a search space: the choices or the range that a field of the training settings may take."""

import math
import types
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from llmops.finetuning.config import TrainingConfig

Value = bool | int | float | str | None
Conditions = Mapping[str, tuple[Value, ...]]

# More values than this are not what somebody means by a grid; a range of whole numbers then needs a step.
FEW_VALUES = 20


class _Dimension(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    when: Mapping[str, list[Value]] = Field(
        default={}, description="Only where each of these fields has one of these values, e.g. method: [lora, qlora]."
    )


class Choices(_Dimension):
    """Some values to choose from, in no order."""

    choices: list[Value] = Field(min_length=1, description="The values.")


class Range(_Dimension):
    """All values from ``low`` to ``high``, both included; whole numbers where the field takes whole numbers."""

    low: int | float = Field(description="Lowest value.")
    high: int | float = Field(description="Highest value.")
    log: bool = Field(default=False, description="Search on a logarithmic scale.")
    step: int | float | None = Field(default=None, gt=0, description="Only low, low + step, low + 2 * step, …")

    @model_validator(mode="after")
    def _sensible(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale needs low above 0, and it is {self.low}")
        if self.log and self.step is not None:
            raise ValueError("a log scale has no step; list the values as choices instead")
        return self

    def stepped(self) -> list[int | float] | None:
        """Every value where there are few: from ``low`` in steps, as exact as written; None where it has no step.

        >>> Range(low=0, high=0.3, step=0.1).stepped()
        [0.0, 0.1, 0.2, 0.3]
        """
        if self.step is None:
            return None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        count = int((Decimal(str(self.high)) - low) / step) + 1
        whole = isinstance(self.low, int) and isinstance(self.step, int)
        return [int(low + i * step) if whole else float(low + i * step) for i in range(count)]


def _short_forms(value: Any) -> Any:
    return {"choices": value} if isinstance(value, list | tuple) else value


def _either(value: Any) -> Any:
    """Parse as what it looks like, so that an error is about that and not about both."""
    value = _short_forms(value)
    if isinstance(value, Mapping):
        return (Choices if "choices" in value else Range).model_validate(value)
    if not isinstance(value, Choices | Range):
        raise ValueError(f"{value!r} is neither a list of choices nor a range {{low, high}}")
    return value


Dimension = Annotated[Choices | Range, BeforeValidator(_either, json_schema_input_type=list[Value] | Choices | Range)]


def whole_numbers(field: str) -> bool:
    """Whether a field of the training settings takes whole numbers only."""
    return int in _types_of(field)


def numeric(field: str) -> bool:
    """Whether a field of the training settings takes numbers."""
    return bool({int, float} & _types_of(field))


def _types_of(field: str) -> set[Any]:
    annotation = TrainingConfig.model_fields[field].annotation
    if get_origin(annotation) in (Union, types.UnionType):
        return set(get_args(annotation))
    return {str} if get_origin(annotation) is Literal else {annotation}


def as_setting(field: str, value: Value) -> Value:
    """A value as the training settings keep it.

    Raises:
        ValueError: they refuse it; one line with the field and the value.

    >>> as_setting("learning_rate", "1e-4")  # which YAML takes for text
    0.0001
    >>> as_setting("rank", 0)
    Traceback (most recent call last):
    ValueError: rank 0: Input should be greater than or equal to 1
    """
    if isinstance(value, bool):
        raise ValueError(f"{field} {value}: Input should be a number or a name")
    try:
        kept: Value = getattr(TrainingConfig.model_validate({field: value}), field)
    except ValidationError as error:
        raise ValueError(f"{field} {value}: {error.errors()[0]['msg']}") from None
    return kept


def values_of(field: str, dimension: Choices | Range) -> list[Value] | None:
    """Every value of a dimension, or None where they cannot be counted out: no step and too many to mean them all."""
    if isinstance(dimension, Choices):
        return list(dimension.choices)
    if dimension.low == dimension.high:
        return [dimension.low]
    stepped = dimension.stepped()
    if stepped is not None:
        return list(stepped)
    if whole_numbers(field) and dimension.high - dimension.low < FEW_VALUES:
        return list(range(int(dimension.low), int(dimension.high) + 1))
    return None


def distribution(field: str, dimension: Choices | Range) -> Any:
    """A dimension as Optuna knows it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.choices)
    stepped = dimension.stepped()
    high = stepped[-1] if stepped else dimension.high  # Optuna warns where the steps do not reach the end
    if whole_numbers(field):
        return IntDistribution(int(dimension.low), int(high), log=dimension.log, step=int(dimension.step or 1))
    low = float(dimension.low)
    return FloatDistribution(low, float(high), log=dimension.log, step=dimension.step)


def is_whole(value: float) -> bool:
    """Whether a number has no fraction."""
    return math.isfinite(value) and float(value).is_integer()
