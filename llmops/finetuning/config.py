"""What a person sets for a training run and for a model made from scratch."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrainingConfig(BaseModel):
    """Settings of one training run on this machine.

    A step is one update of the weights, from ``batch_size * gradient_accumulation`` examples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Literal["full", "lora", "qlora"] = Field(
        default="lora",
        description="All weights, low-rank adapters, or adapters on a base quantised to 4 bits.",
    )
    epochs: float = Field(default=3.0, gt=0, description="Passes over the training examples; may be a fraction.")
    max_steps: int | None = Field(default=None, ge=1, description="Stop after this many steps instead.")
    learning_rate: float = Field(default=2e-4, gt=0, description="Peak learning rate of AdamW.")
    learning_rate_multiplier: float | None = Field(
        default=None, gt=0, description="Instead of a learning rate, for providers that scale their own."
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1, description="Share of the steps that warm up.")
    weight_decay: float = Field(default=0.01, ge=0)
    batch_size: int = Field(default=16, ge=1, description="Examples in one forward pass.")
    gradient_accumulation: int = Field(default=1, ge=1, description="Forward passes in one step.")
    rank: int = Field(default=16, ge=1, description="Rank of the adapters.")
    alpha: int | None = Field(default=None, ge=1, description="Scale of the adapters; twice the rank when unset.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout inside the adapters.")
    max_length: int = Field(default=512, ge=8, description="Longest example in tokens, as far as the model goes.")
    early_stopping_patience: int | None = Field(
        default=None, ge=1, description="Stop after this many evaluations without a lower validation loss."
    )
    checkpoint_steps: int | None = Field(
        default=None, ge=1, description="Steps between checkpoints; a tenth of the run when unset."
    )
    eval_steps: int | None = Field(
        default=None, ge=1, description="Steps between validation losses; a tenth of the run when unset."
    )
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def adapter_alpha(self) -> int:
        """The adapters' scale: ``alpha``, or twice the rank."""
        return self.alpha or 2 * self.rank

    def total_steps(self, examples: int) -> int:
        """Number of steps over this many training examples.

        >>> TrainingConfig(epochs=2, batch_size=4).total_steps(examples=10)
        6
        """
        if self.max_steps is not None:
            return self.max_steps
        batches = math.ceil(self.epochs * math.ceil(examples / self.batch_size))
        return max(1, math.ceil(batches / self.gradient_accumulation))


class ScratchRecipe(BaseModel):
    """Sizes of a Llama-architecture model with random weights; by default about 2 million parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(default=1000, ge=300, description="Size of the byte-level BPE vocabulary.")
    hidden: int = Field(default=192, ge=8)
    intermediate: int = Field(default=512, ge=8, description="Width of the feed-forward layers.")
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    positions: int = Field(default=512, ge=16, description="Longest sequence in tokens.")
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> "ScratchRecipe":
        # Rotary position embeddings need an even number of dimensions in each head.
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of twice the heads ({self.heads})")
        return self
