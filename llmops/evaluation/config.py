"""What a person sets for an evaluation."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvaluationConfig(BaseModel):
    """How the held-out inputs are asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["test", "validation", "train"] = Field(default="test", description="Split that is asked.")
    max_new_tokens: int = Field(default=96, ge=1, description="Longest answer, in tokens.")
    batch_size: int = Field(default=32, ge=1, description="Inputs asked at once.")
    num_beams: int = Field(default=1, ge=1, description="1 is greedy; more is beam search.")
    seed: int = Field(default=0, description="Seed of the bootstrap.")
