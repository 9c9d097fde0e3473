"""The aliases of a registered model: ``champion`` serves, ``previous`` is what it can be rolled back to.

An alias moves in one write, after everything it points at is complete, so that it never names a half-written
model. Each promotion leaves on the version what it replaced and why, and whether the event that says so was delivered:
one that was not (nobody listened, or the process died in between) is sent with the next run that leaves it champion.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from llmops.errors import InputError
from llmops.evaluation import GateConfig, Verdict
from tasks.deployments import deploy_again, retire, take_retired_down
from tasks.gate_events import announce_promotion
from tasks.hosted_models import find_hosted_model, hosted_model
from tasks.interruptions import interruption_held_back
from tasks.registry import version_at
from tasks.version_names import CHAMPION, DELETED, DIGEST_TAG, PREVIOUS

if TYPE_CHECKING:
    from tasks.evaluation_result import ComparedWith

REPLACED_TAG = "llmops.replaced"
REASON_TAG = "llmops.champion_because"
ANNOUNCED_TAG = "llmops.champion_announced"


class Decision(BaseModel):
    """What the gate decided, and why in a sentence."""

    passed: bool
    verdict: Verdict
    reason: str


def decide(comparisons: "Sequence[ComparedWith]", gate: GateConfig) -> Decision:
    """The promotion rule: better than the base on the primary metric, and not worse than the champion on every one.

    Args:
        comparisons: the candidate against its base, and against the champion where there is another one.
        gate: says whether an undecided answer passes.
    """
    base, *champions = comparisons
    primary = base.comparison.verdicts[base.comparison.primary]
    if primary.verdict != "better" and not (primary.verdict == "inconclusive" and gate.inconclusive_passes):
        return Decision(passed=False, verdict=base.comparison.verdict, reason=primary.sentence)
    for champion in champions:
        if not champion.comparison.passed:
            reason = f"Against {champion.model}: {champion.comparison.sentence}"
            return Decision(passed=False, verdict=champion.comparison.verdict, reason=reason)
    return Decision(passed=True, verdict=base.comparison.verdict, reason=primary.sentence)


def other_champion(name: str, digest: str | None = None) -> list[str]:
    """The champion as a model to compare with; none where there is none, or where it is the model of this digest."""
    champion = version_at(name, CHAMPION)
    if champion is None or (digest is not None and champion.tags.get(DIGEST_TAG) == digest):
        return []
    return [f"models:/{name}@{CHAMPION}"]


class Promotion(BaseModel):
    """What became of the aliases; `passed` is what the gate said.

    Attributes:
        notes: what still runs and costs although its model is not champion.
    """

    passed: bool
    status: Literal["promoted", "already champion", "not promoted"]
    name: str
    version: str
    champion: str | None
    reason: str
    notes: list[str] = []

    @property
    def model_uri(self) -> str:
        """Where the candidate is in the registry."""
        return f"models:/{self.name}/{self.version}"

    @property
    def sentence(self) -> str:
        """What became of the candidate, and why."""
        champion = f"models:/{self.name}@{CHAMPION}"
        if self.status == "promoted":
            return f"Promoted: {champion} is now version {self.version}. {self.reason}"
        if self.status == "already champion":
            return f"Already champion: {champion} is this very model, version {self.version}. {self.reason}"
        stays = f"{champion} stays version {self.champion}" if self.champion else "there is no champion"
        return f"Not promoted: version {self.version} is registered, {stays}. {self.reason}"


@task(name="promote", cache_policy=NO_CACHE)
def promote(name: str, version: str, decision: Decision) -> Promotion:
    """Give a version the alias ``champion`` if the gate passed; its predecessor keeps ``previous``.

    A deployment that costs by the hour is then taken down: that of the predecessor, or of the version that was not
    promoted.
    """
    client = MlflowClient()
    champion = version_at(name, CHAMPION)
    current = str(champion.version) if champion else None
    if current == version:
        status = "already champion"
    elif not decision.passed:
        status = "not promoted"
        retire(name, version)
    else:
        status = "promoted"
        if current is not None:
            retire(name, current)
            client.set_model_version_tag(name, version, REPLACED_TAG, current)
        with interruption_held_back():
            if current is not None:
                client.set_registered_model_alias(name, PREVIOUS, current)
            make_champion(name, version, decision.reason)
        current = version
    announce_champion(name)
    return Promotion(
        status=status,
        name=name,
        version=version,
        champion=current,
        reason=decision.reason,
        passed=decision.passed,
        notes=take_retired_down(name),
    )


def make_champion(name: str, version: str, reason: str) -> None:
    """Move the alias; that it is still to be announced is noted before, so that a crash in between does not lose it."""
    client = MlflowClient()
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(name, version, REASON_TAG, f"{stamp}: {reason}"[:4000])
    client.set_model_version_tag(name, version, ANNOUNCED_TAG, "no")
    client.set_registered_model_alias(name, CHAMPION, version)


def announce_champion(name: str) -> None:
    """Say who is champion, unless that was said."""
    champion = version_at(name, CHAMPION)
    if champion is None or champion.tags.get(ANNOUNCED_TAG) == "yes":
        return
    version = str(champion.version)
    if announce_promotion(name, version, champion.tags.get(REASON_TAG, "").partition(": ")[2]):
        MlflowClient().set_model_version_tag(name, version, ANNOUNCED_TAG, "yes")


class Rollback(BaseModel):
    """Which version gave the alias ``champion`` back to which; `notes`: what still runs and costs."""

    name: str
    former: str
    champion: str
    previous: str | None
    notes: list[str] = []


@task(name="roll back", cache_policy=NO_CACHE)
def roll_back(name: str) -> Rollback:
    """Give ``champion`` back to the version that held it before; ``previous`` moves one further back.

    A hosted model is deployed first, and what served the other one is taken down in the end.

    Raises:
        InputError: there is no such model, no champion, or nothing before it, or the environment leads elsewhere.
        ServiceError: its provider could not deploy it again; the aliases stay as they are.
    """
    client = MlflowClient()
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        known = ", ".join(model.name for model in client.search_registered_models()) or "none yet"
        raise InputError(f"there is no registered model {name!r}; registered: {known}") from error
    champion, previous = version_at(name, CHAMPION), version_at(name, PREVIOUS)
    if champion is None:
        raise InputError(f"{name} has no champion, so there is nothing to roll back")
    # The store answers with numbers where its own types say text.
    former = str(champion.version)
    if previous is not None and str(previous.version) == former:
        # A process was killed between the two aliases.
        previous = _version(name, champion.tags.get(REPLACED_TAG))
    if previous is None or str(previous.version) == former:
        raise InputError(f"{name} has had no champion before version {former}")
    if previous.tags.get(DELETED) == "yes":
        why = f"the model of version {previous.version} was deleted (llmops delete job)"
        raise InputError(f"{name} cannot be rolled back: {why}; fine-tune it again to have it as a new version")
    before = _version(name, previous.tags.get(REPLACED_TAG))
    left = str(before.version) if before is not None and str(before.version) != former else None
    _put_back(previous, former, left)
    announce_champion(name)
    notes = take_retired_down(name)
    return Rollback(name=name, former=former, champion=str(previous.version), previous=left, notes=notes)


def _put_back(successor: ModelVersion, former: str, before: str | None) -> None:
    """Have it answer, then move the aliases; where that fails, what was deployed for it is taken down."""
    client, name, version = MlflowClient(), successor.name, str(successor.version)
    hosted = hosted_model(successor)
    try:
        if hosted is not None:
            deploy_again(hosted)
        retire(name, former)
        if hosted is not None:
            # A run of this name in another home may have seen it as retired all the while, and taken it down.
            now = find_hosted_model(hosted.uri)
            if now is not None and now.model.asked_as is None:
                deploy_again(now)
        with interruption_held_back():
            make_champion(name, version, f"rolled back from version {former}")
            if before is not None:
                client.set_registered_model_alias(name, PREVIOUS, before)
            else:
                client.delete_registered_model_alias(name, PREVIOUS)
    except BaseException:
        if hosted is not None:
            with interruption_held_back():
                take_retired_down(name)
        raise


def _version(name: str, number: str | None) -> ModelVersion | None:
    """A version by its number, None where there is none (any more)."""
    found = MlflowClient().search_model_versions(f"name = '{name}' and version_number = '{number}'") if number else []
    return found[0] if found else None
