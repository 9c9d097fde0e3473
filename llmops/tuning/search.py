"""A hyperparameter search that survives its process: Optuna on a SQLite file, one trial at a time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmops.finetuning.config import TrainingConfig
from llmops.tuning.spaces import SearchSpace


class SearchConfig(BaseModel):
    """How long to search, how, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(default=3, ge=0, description="Trainings to try; 0 takes the training settings as they are.")
    sampler: Literal["tpe", "random"] = Field(
        default="tpe", description="tpe learns from the trials before (Bayesian), random does not."
    )
    seed: int = Field(default=0, description="Seed of the sampler.")
    space: SearchSpace = Field(default=SearchSpace(), description="What is varied.")


@dataclass(frozen=True)
class Trial:
    """One point of the space: its number (from 0), what it sets, and its validation loss once known."""

    number: int
    values: dict[str, Any]
    loss: float | None = None


class Search:
    """Asks for trials until there are enough, and knows the best; a search that died goes on where it was.

    Args:
        folder: holds the study; the same folder continues the same search.
        config: how many trials, which sampler, which space.
        training: the settings that a trial's values replace.
    """

    def __init__(self, folder: Path, config: SearchConfig, training: TrainingConfig) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        samplers = {
            # Few trials: random start-up points would otherwise be the whole search.
            "tpe": lambda: optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=max(2, config.trials // 3)),
            "random": lambda: optuna.samplers.RandomSampler(seed=config.seed),
        }
        self._config = config
        self._distributions = config.space.distributions(training)
        self._study = optuna.create_study(
            study_name="search",
            storage=f"sqlite:///{folder / 'study.db'}",
            sampler=samplers[config.sampler](),
            direction="minimize",
            load_if_exists=True,
        )

    def remaining(self) -> Iterator[Trial]:
        """Trials still to run: first those a dead process left unfinished, then new ones."""
        from optuna.trial import TrialState

        for left in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if left.params.keys() == self._distributions.keys():
                yield Trial(left.number, dict(left.params))
            else:  # killed while it was being asked for
                self._study.tell(left.number, state=TrialState.FAIL)
        while len(self.finished()) < self._config.trials:
            asked = self._study.ask(self._distributions)
            yield Trial(asked.number, dict(asked.params))

    def tell(self, trial: Trial, loss: float) -> None:
        """Record a trial's validation loss; one that is not a number (a diverged training) counts as infinite."""
        self._study.tell(trial.number, loss if math.isfinite(loss) else math.inf)

    def finished(self) -> list[Trial]:
        """Every finished trial, in order."""
        from optuna.trial import TrialState

        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [Trial(one.number, dict(one.params), one.value) for one in done]

    def best(self) -> Trial:
        """The finished trial with the lowest validation loss.

        Raises:
            ValueError: no trial has finished.
        """
        return min(self.finished(), key=lambda trial: trial.loss if trial.loss is not None else float("inf"))
