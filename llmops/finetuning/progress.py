"""What a training run tells while it goes on: one event for each entry of its log."""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from llmops.errors import InputError

if TYPE_CHECKING:
    from llmops.finetuning.training import TrainingResult


class TrainingDivergedError(InputError):
    """The loss is no longer a number: the learning rate is too high for this model."""


class TrainingEvent(BaseModel):
    """One entry of the training log.

    Attributes:
        step: steps done.
        total_steps: steps of the whole run.
        metrics: ``loss`` (nats per completion token, mean since the entry before), ``learning_rate``,
            ``grad_norm`` and ``tokens_per_second`` together, or ``validation_loss``.
        seconds_left: estimate of the time to the end of the run; None for replayed events.
        resumed_from: the step of the checkpoint that this process went on from; None in a run without
            interruption.
        replayed: the entry was logged before the interruption and is repeated, so that whoever keeps the
            curves can add what is missing there.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    total_steps: int
    metrics: dict[str, float]
    seconds_left: float | None
    resumed_from: int | None
    replayed: bool = False


class Progress:
    """Turns entries of the Trainer's log into events, with an estimate of the time left."""

    def __init__(self, total_steps: int, resumed_from: int | None, on_event: Callable[[TrainingEvent], None]) -> None:
        self.total_steps = total_steps
        self.resumed_from = resumed_from
        self.on_event = on_event
        self.started = time.monotonic()

    def log(self, step: int, entry: dict[str, float]) -> None:
        if not all(math.isfinite(entry.get(name, 0.0)) for name in ("loss", "validation_loss")):
            raise TrainingDivergedError(f"the loss is no longer a number at step {step}; lower the learning rate")
        done = step - (self.resumed_from or 0)
        seconds_left = (time.monotonic() - self.started) / max(1, done) * (self.total_steps - step)
        self._send(entry, seconds_left, replayed=False)

    def replay(self, history: list[dict[str, float]]) -> None:
        for entry in history:
            self._send(entry, None, replayed=True)

    def _send(self, entry: dict[str, float], seconds_left: float | None, replayed: bool) -> None:
        self.on_event(
            TrainingEvent(
                step=int(entry["step"]),
                total_steps=self.total_steps,
                metrics={name: value for name, value in entry.items() if name not in ("step", "epoch")},
                seconds_left=seconds_left,
                resumed_from=self.resumed_from,
                replayed=replayed,
            )
        )


def event_in_words(event: TrainingEvent) -> str:
    """An event in a few words, for a line of progress.

    >>> event_in_words(TrainingEvent(
    ...     step=8, total_steps=9, metrics={"loss": 0.7131, "tokens_per_second": 3021.4}, seconds_left=1.0,
    ...     resumed_from=4))
    'resumed from step 4, loss 0.713, 3,021 tokens/s'
    """
    parts = [
        f"{name.replace('_', ' ')} {event.metrics[name]:.3f}"
        for name in ("loss", "validation_loss")
        if name in event.metrics
    ]
    if "tokens_per_second" in event.metrics:
        parts.append(f"{event.metrics['tokens_per_second']:,.0f} tokens/s")
    if event.resumed_from is not None:
        parts.insert(0, f"resumed from step {event.resumed_from}")
    return ", ".join(parts)


def result_in_words(result: "TrainingResult") -> str:
    """A finished training in a few words: ``48 steps, loss 0.713, validation loss 0.802``."""
    said = f"{result.steps:,} steps, loss {result.loss:.3f}"
    if result.validation_loss is not None:
        said += f", validation loss {result.validation_loss:.3f}"
    if result.resumed_from is not None:
        said = f"resumed from step {result.resumed_from}, {said}"
    return said
