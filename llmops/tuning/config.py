"""How a search is set up: how long, how, over what, and where its state is kept."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

from llmops.finetuning.config import TrainingConfig
from llmops.tuning import addresses
from llmops.tuning.spaces import SearchSpace, grid_points

Objective = Literal["validation_loss", "seconds", "cost", "tokens"]

NOT_OF_THE_SEARCH = {"trials", "workers", "storage", "budget", "finalists", "finalist_seeds"}


class SearchBudget(BaseModel):
    """What a search may spend over all its trials and its finale; no training begins once one of these is spent.

    One under way is not cut off, so that a search overshoots by at most the trainings that run at that moment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_cost: float | None = Field(default=None, gt=0, description="US dollars.")
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens trained on.")
    max_seconds: float | None = Field(default=None, gt=0, description="Seconds of training, all of it together.")


class SearchConfig(BaseModel):
    """How long to search, how, over what, and where the state is kept."""

    # Errors do not show what they are about: it may be the address with its password.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    trials: int = Field(
        default=3,
        ge=0,
        description="Trainings to try; 0 takes the training settings as they are. A grid is tried whole when unset.",
    )
    sampler: Literal["tpe", "random", "grid", "gp"] = Field(
        default="tpe",
        description="tpe (tree of Parzen estimators) and gp (Gaussian process) learn from the trials before, "
        "random does not, grid tries every point.",
    )
    pruner: Literal["none", "median", "hyperband"] = Field(
        default="none", description="Ends a trial whose validation loss lags behind at the same share of its run."
    )
    objectives: tuple[Objective, ...] = Field(
        default=("validation_loss",), description="What is to be low; with several, the Pareto front is kept."
    )
    space: SearchSpace = Field(default=SearchSpace(), description="What is varied.")
    storage: str | None = Field(
        default=None,
        description="postgresql://USER@HOST/DATABASE for workers on several machines, the password best in PGPASSWORD; "
        "a SQLite file when unset.",
    )
    workers: int = Field(default=1, ge=1, description="Trials at a time on this machine, one process each.")
    budget: SearchBudget = Field(default=SearchBudget(), description="What the search may spend.")
    finalists: int = Field(default=0, ge=0, description="Best configurations trained again with new seeds; 0: none.")
    finalist_seeds: int = Field(default=5, ge=2, description="New seeds for each finalist.")
    cost_per_hour: float | None = Field(default=None, ge=0, description="US dollars per hour of this machine.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of the sampler.")

    @field_serializer("storage")
    def _without_password(self, address: str | None) -> str | None:
        """What is logged of the settings is read by everybody; the attribute itself has the password."""
        return address and addresses.shown(address)

    @model_validator(mode="after")
    def _consistent(self) -> "SearchConfig":
        if "validation_loss" not in self.objectives:
            raise ValueError("objectives: validation_loss must be among them")
        if twice := [one for one in self.objectives if self.objectives.count(one) > 1]:
            raise ValueError(f"objectives: {twice[0]} is named twice")
        if self.pruner != "none" and len(self.objectives) > 1:
            raise ValueError(
                f"pruner {self.pruner}: a trial can be pruned for one objective only, and there are "
                f"{len(self.objectives)}; use pruner none or the objective validation_loss alone"
            )
        if self.pruner != "none" and self.sampler == "gp":
            raise ValueError(
                f"sampler gp with pruner {self.pruner}: gp would learn from the trials that survived only; use sampler "
                "tpe, which learns from pruned ones too, or pruner none"
            )
        if self.cost_per_hour is None and ("cost" in self.objectives or self.budget.max_cost is not None):
            what = "the objective cost" if "cost" in self.objectives else "budget.max_cost"
            raise ValueError(f"{what} needs the price of an hour of this machine: --search.cost-per-hour")
        if self.finalists == 1:
            raise ValueError("finalists: one finalist has nobody to be compared with; 0 or at least 2")
        return self

    def of_the_search(self) -> dict[str, Any]:
        """What makes it this search and no other; the rest may change from one command to the next.

        The price of the machine decides which trials are good where the cost is an objective, and nothing elsewhere.
        """
        settings = self.model_dump(mode="json", exclude=NOT_OF_THE_SEARCH)
        return settings if "cost" in self.objectives else {**settings, "cost_per_hour": None}

    def require_searchable(self, training: TrainingConfig) -> None:
        """Refuse what a search with these training settings would be refused for, before anything is made for it.

        Raises:
            InputError: no dimension counts, a grid over a range without a step, or a storage address that is none.
        """
        dimensions = self.space.active(training)
        if self.sampler == "grid":
            grid_points(dimensions)
        if self.storage:
            addresses.parse(self.storage)
