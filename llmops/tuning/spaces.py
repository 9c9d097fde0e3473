"""What a search may vary."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmops.finetuning.config import TrainingConfig

LearningRate = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]


class SearchSpace(BaseModel):
    """Ranges and choices for the fields of a :class:`TrainingConfig` that matter most.

    An empty list leaves a field as the training configuration has it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    learning_rate: list[LearningRate] = Field(
        default=[4e-3, 1e-2], description="Lowest and highest learning rate, searched on a log scale."
    )
    batch_size: list[PositiveInt] = Field(default=[16, 32], description="Batch sizes to choose from.")
    epochs: list[Annotated[float, Field(gt=0)]] = Field(
        default=[5, 7],
        description="Passes over the training split to choose from; left out where max_steps sets the length.",
    )
    rank: list[PositiveInt] = Field(
        default=[16, 32], description="LoRA ranks to choose from; left out for full fine-tuning."
    )

    @field_validator("learning_rate")
    @classmethod
    def _low_then_high(cls, bounds: list[float]) -> list[float]:
        if bounds and (len(bounds) != 2 or bounds[0] > bounds[1]):
            raise ValueError("give the lowest and the highest learning rate, in this order")
        return bounds

    def distributions(self, training: TrainingConfig) -> dict[str, Any]:
        """The space as Optuna distributions, without what the training settings leave no effect.

        That is the rank where there is no adapter to have one, and the epochs where ``max_steps`` sets the length.
        """
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        space: dict[str, Any] = {}
        if self.learning_rate:
            low, high = self.learning_rate
            space["learning_rate"] = FloatDistribution(low, high, log=True)
        if self.batch_size:
            space["batch_size"] = CategoricalDistribution(self.batch_size)
        if self.epochs and training.max_steps is None:
            space["epochs"] = CategoricalDistribution(self.epochs)
        if self.rank and training.method != "full":
            space["rank"] = CategoricalDistribution(self.rank)
        return space
