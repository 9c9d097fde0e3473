"""Evaluation suites: what is asked of which models against what, by which gate, and when.

A suite is an entry of the section ``suites`` of ``configs/evaluation.yaml``; ``docs/continuous-evaluation.md`` has
each field with an example.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llmops.config_files import read_entries
from llmops.errors import InputError
from llmops.evaluation.comparison.gates import GateConfig
from llmops.evaluation.config import EvaluationConfig

LAST = "last"
LAST_PASSED = "last-passed"
MAIN_CONTEXT = "main"  # whose runs are what others are compared with, and news
RESERVED_NAME = "local"  # the deployment of the flow itself
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REGISTERED = re.compile(r"models:/([^/@]+)(?:[/@].+)?")


class Schedule(BaseModel):
    """When a suite runs: by a cron expression, or every interval (seconds, or ISO 8601 such as ``PT15M``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: str | None = None
    interval: timedelta | None = None
    timezone: str = "UTC"
    active: bool = True

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str | None) -> str | None:
        if cron is not None:
            from cronsim import CronSim, CronSimError

            try:
                next(CronSim(cron, datetime.now(UTC)))
            except CronSimError as error:
                raise ValueError(f"not a cron expression ({error}); five fields, such as '0 6 * * *'") from error
            except StopIteration:
                raise ValueError("there is no such time, ever") from None
        return cron

    @field_validator("interval")
    @classmethod
    def _is_positive(cls, interval: timedelta | None) -> timedelta | None:
        if interval is not None and interval < timedelta(seconds=1):
            raise ValueError("an interval is at least one second")
        return interval

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("no such time zone; name it as in 'Europe/Berlin'") from error
        return timezone

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("a schedule has either cron or interval")
        return self


class Suite(BaseModel):
    """What ``evaluate`` is run with for each of several models, and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field(min_length=1, description="Name or name@version.")
    prompt: str | None = Field(default=None, description="prompts:/name@alias or prompts:/name/version.")
    models: tuple[str, ...] = Field(min_length=1, description="Models that are evaluated, each by itself.")
    metrics: tuple[str, ...] | None = Field(default=None, min_length=1, description="Metrics; the flow's own if none.")
    baseline: tuple[str, ...] = Field(
        default=(LAST_PASSED,),
        description=(
            "What each model is compared with: a model to ask, too (models:/NAME@champion is the champion), run:ID, "
            f"{LAST} (this suite's last finished run of the model), or {LAST_PASSED} (the last whose gate passed)."
        ),
    )
    evaluation: EvaluationConfig = Field(
        default=EvaluationConfig(fresh=True),
        description="How the model is asked: again each time, unless `fresh: false` takes answers of before.",
    )
    gate: GateConfig = GateConfig()
    schedule: Schedule | None = None
    on_promotion: bool = Field(default=False, description="Run whenever one of its registered models gets a champion.")
    concurrency: int | None = Field(default=None, ge=1, description="Most requests in flight.")

    @field_validator("evaluation", mode="before")
    @classmethod
    def _asks_again(cls, given: Any) -> Any:
        # Answers of before would never show that a model behind an API has changed.
        return {"fresh": True, **given} if isinstance(given, dict) else given

    @field_validator("models", "baseline")
    @classmethod
    def _are_distinct_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            # Both are how MLflow's search quotes a value.
            if not name.strip() or "'" in name or '"' in name:
                raise ValueError(f"{name!r} names no model")
        if len(set(names)) < len(names):
            raise ValueError("a name stands there twice")
        return names

    @model_validator(mode="after")
    def _can_run_on_promotion(self) -> Self:
        if self.on_promotion and not self.registered_models:
            raise ValueError("on_promotion needs a model of the registry, such as models:/NAME@champion")
        return self

    @property
    def registered_models(self) -> list[str]:
        """Names of the registered models among its models.

        >>> Suite(dataset="d", models=("models:/support@champion", "openai/gpt-5")).registered_models
        ['support']
        """
        found = (_REGISTERED.fullmatch(model) for model in self.models)
        return sorted({match[1] for match in found if match})


def read_suites(file: Path) -> dict[str, Suite]:
    """The suites of a file by their names.

    Raises:
        InputError: the file is missing or wrong; the message says where.
    """
    suites = read_entries(file, "suites", Suite, beside=("evaluate", "evaluate-suite"))
    for name in suites:
        if not _NAME.fullmatch(name) or len(name) > 60 or name == RESERVED_NAME:
            raise InputError(
                f"{file}: suites.{name}: a suite's name is up to 60 lower-case letters, digits and single dashes, "
                f"and not {RESERVED_NAME!r}"
            )
    return suites


def find_suite(file: Path, name: str) -> Suite:
    """One suite of a file.

    Raises:
        InputError: the file is missing or wrong, or has no such suite.
    """
    suites = read_suites(file)
    if name not in suites:
        raise InputError(f"{file}: there is no suite {name!r}; there are: {', '.join(suites) or 'none'}")
    return suites[name]
