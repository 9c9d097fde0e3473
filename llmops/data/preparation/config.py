"""How a dataset is prepared; part of what a version records about itself."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmops.data.augmentation import AugmentationConfig
from llmops.data.duplicates.near_duplicates import DuplicateConfig
from llmops.data.samples import ColumnMapping
from llmops.data.splits.assignment import SplitConfig
from llmops.data.validation.checks import MINIMUM_EXAMPLES, ValidationConfig

Share = Annotated[float, Field(gt=0)]


class PreparationConfig(BaseModel):
    """Everything that decides what becomes of a source's rows; its sections are read, checked and used apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: ColumnMapping = ColumnMapping()
    ratios: tuple[Share, Share, Share] = Field(
        default=(0.8, 0.1, 0.1), description="Shares of train, validation and test; they sum to 1."
    )
    seed: int = 0
    max_rows: int | None = Field(
        default=None, ge=MINIMUM_EXAMPLES, description="Keep this many rows of the source, chosen by seed."
    )
    validation: ValidationConfig = ValidationConfig()
    duplicates: DuplicateConfig = DuplicateConfig()
    split: SplitConfig = SplitConfig()
    augmentation: AugmentationConfig = AugmentationConfig()

    @field_validator("ratios")
    @classmethod
    def _sum_to_one(cls, ratios: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(sum(ratios) - 1) > 1e-6:
            raise ValueError(f"the shares of train, validation and test sum to {sum(ratios):g}, not to 1")
        return ratios
