"""What a panel of judges is asked, and how its votes become one verdict."""

from collections.abc import Sequence
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmops.llm.completions import Message, Parameters

Kind = Literal["rubric", "pass_fail", "pairwise"]
Consensus = Literal["majority", "mean", "weighted"]


class Ask(Protocol):
    """Asks one model many prompts; whoever provides it retries, journals and pays.

    Returns for each prompt, in order, what the model wrote, or None where it did not answer.
    """

    def __call__(
        self, model: str, prompts: Sequence[Sequence[Message]], parameters: Parameters
    ) -> Sequence[str | None]: ...


class JudgeConfig(BaseModel):
    """A panel of one or more judges.

    >>> JudgeConfig(kind="rubric", models=("openai/a",), instructions="Is it polite?", scale={1: "rude", 5: "polite"})
    ... # doctest: +ELLIPSIS
    JudgeConfig(kind='rubric', ...)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field(description="rubric: a score · pass_fail: pass, fail or cannot tell · pairwise: first or second")
    models: tuple[str, ...] = Field(min_length=1, description="The panel: one model a judge, each named once.")
    instructions: str = Field(min_length=1, description="What is judged: the criteria, in words for the judge.")
    scale: dict[int, str] | None = Field(default=None, description="Rubric: points of the scale and what they mean.")
    consensus: Consensus = Field(default="majority", description="How votes become one value.")
    ties: Literal["no_verdict", "lowest", "mean"] = Field(
        default="no_verdict", description="Majority: what counts where several verdicts have the most votes."
    )
    weights: dict[str, float] | None = Field(default=None, description="Weighted: the weight of each model.")
    quorum: int | None = Field(default=None, ge=1, description="Fewest votes for a verdict; unset, more than half.")
    with_reference: bool = Field(default=True, description="Show the right answers, where there are any.")
    with_context: bool = Field(default=True, description="Show the context, where there is one.")
    reasks: int = Field(default=1, ge=0, le=3, description="How often to ask again where no verdict can be read.")
    parameters: Parameters = Field(default=Parameters(), description="How the judges are asked.")

    @property
    def needed_votes(self) -> int:
        """The fewest votes that make a verdict."""
        return self.quorum or len(self.models) // 2 + 1

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest vote."""
        return (min(self.scale), max(self.scale)) if self.scale else (0, 1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.models)) < len(self.models):
            raise ValueError("models: a judge is named twice; the same question to the same model is one vote")
        if (self.kind == "rubric") != (self.scale is not None):
            raise ValueError("scale: a rubric needs one, as {1: 'wrong', 5: 'right'}; the other kinds have none")
        if self.scale is not None and len(self.scale) < 2:
            raise ValueError("scale: give at least two points, the lowest and the highest")
        if self.quorum is not None and self.quorum > len(self.models):
            raise ValueError(f"quorum: {self.quorum} votes from {len(self.models)} judges; lower it or add judges")
        if self.ties == "mean" and self.kind == "pass_fail":
            raise ValueError("ties: half a pass is none; choose no_verdict or lowest")
        if (self.consensus == "weighted") != (self.weights is not None):
            raise ValueError("weights: consensus 'weighted' needs them, as {model: weight}; the others have none")
        if self.weights is not None:
            if set(self.weights) != set(self.models):
                raise ValueError("weights: give exactly one for each of models")
            if min(self.weights.values()) < 0 or not 0 < sum(self.weights.values()) < float("inf"):
                raise ValueError("weights: each must be 0 or more, and at least one above 0")
        return self
