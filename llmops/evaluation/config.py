"""What a person sets for an evaluation."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmops.errors import InputError
from llmops.evaluation.answers.budget import Budget
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.metrics.definitions import MetricDefinition
from llmops.llm.client import ClientConfig
from llmops.llm.completions import Parameters

LOCAL_MAX_NEW_TOKENS = 96


class EvaluationConfig(BaseModel):
    """What is asked, how, and what is measured of the answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["test", "validation", "train", "all"] = Field(default="test", description="Split that is asked.")
    repeats: int = Field(default=1, ge=1, description="How often each question is asked.")
    max_new_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Longest answer, in tokens; unset: 96 for a model on this machine, else what its provider allows.",
    )
    temperature: float | None = Field(default=None, ge=0, description="Behind an API; unset: the provider's default.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Likewise: share of probability sampled from.")
    sampling_seed: int | None = Field(default=None, description="Likewise: seed, for providers that take one.")
    extra: dict[str, Any] = Field(default={}, description="Passed to the provider as it is.")
    batch_size: int = Field(default=32, ge=1, description="Questions that a model on this machine answers at once.")
    num_beams: int = Field(default=1, ge=1, description="Likewise: 1 is greedy; more is beam search.")
    fresh: bool = Field(default=False, description="Ask again what has been answered before.")
    budget: Budget = Field(default=Budget(), description="Where asking stops, with what has been answered until then.")
    client: ClientConfig = Field(default=ClientConfig(), description="Timeouts and retries.")
    custom_metrics: dict[str, MetricDefinition] = Field(default={}, description="Metrics of your own, by name.")
    judges: dict[str, JudgeConfig] = Field(default={}, description="Judges, by the name of the metric they make.")
    slices: tuple[str, ...] = Field(default=(), description="Metadata columns whose values are compared one by one.")
    seed: int = Field(default=0, description="Seed of the bootstrap.")

    @property
    def parameters(self) -> Parameters:
        """How a model behind an API is asked."""
        return Parameters(
            max_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.sampling_seed,
            extra=self.extra,
        )

    @property
    def local_parameters(self) -> Parameters:
        """How a model on this machine is asked: it answers greedily or by beam search."""
        return Parameters(max_tokens=self.local_max_new_tokens)

    @property
    def local_max_new_tokens(self) -> int:
        """Longest answer of a model on this machine, in tokens."""
        return self.max_new_tokens or LOCAL_MAX_NEW_TOKENS

    def with_concurrency(self, concurrency: int | None) -> "EvaluationConfig":
        """The same with at most so many requests in flight; InputError below 1."""
        if concurrency is None:
            return self
        if concurrency < 1:
            raise InputError(f"concurrency is {concurrency}; at least one request must be in flight")
        return self.model_copy(update={"client": self.client.model_copy(update={"concurrency": concurrency})})
