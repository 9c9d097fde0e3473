"""Aliases: who is champion, what can be gone back to, and what the rule asks."""

import signal
from pathlib import Path

import pytest
from mlflow import MlflowClient

from llmops.errors import InputError
from llmops.evaluation import GateConfig, compare, measure
from tasks import promotion
from tasks.evaluation_result import ComparedWith
from tasks.promotion import Decision, decide, promote, roll_back
from tasks.registry import version_at

PASSED = Decision(passed=True, verdict="better", reason="it is better")
FAILED = Decision(passed=False, verdict="worse", reason="it is worse")


@pytest.fixture
def versions(home: Path) -> list[str]:
    """Three registered versions of a model, none with an alias."""
    client = MlflowClient()
    client.create_registered_model("m")
    return [str(client.create_model_version("m", f"file://{home}/{n}").version) for n in range(3)]


def champion() -> str | None:
    found = version_at("m", "champion")
    return str(found.version) if found else None


def previous() -> str | None:
    found = version_at("m", "previous")
    return str(found.version) if found else None


def test_the_first_that_passes_becomes_champion(versions: list[str]) -> None:
    assert promote.fn("m", versions[0], PASSED).status == "promoted"
    assert (champion(), previous()) == (versions[0], None)


def test_one_that_fails_changes_nothing(versions: list[str]) -> None:
    promote.fn("m", versions[0], PASSED)
    done = promote.fn("m", versions[1], FAILED)
    assert (done.status, done.passed, done.champion) == ("not promoted", False, versions[0])
    assert (champion(), previous()) == (versions[0], None)


def test_the_same_again_is_already_champion(versions: list[str]) -> None:
    promote.fn("m", versions[0], PASSED)
    promote.fn("m", versions[1], PASSED)
    assert promote.fn("m", versions[1], PASSED).status == "already champion"
    assert (champion(), previous()) == (versions[1], versions[0])


def test_rolling_back_goes_back_step_by_step(versions: list[str]) -> None:
    for version in versions:
        promote.fn("m", version, PASSED)
    first = roll_back.fn("m")
    assert (first.former, first.champion, first.previous) == (versions[2], versions[1], versions[0])
    assert (champion(), previous()) == (versions[1], versions[0])
    assert roll_back.fn("m").previous is None
    assert (champion(), previous()) == (versions[0], None)
    with pytest.raises(InputError, match="no champion before version"):
        roll_back.fn("m")


@pytest.mark.parametrize("step", ["retire", "make_champion"])
def test_a_promotion_that_ends_in_between_leaves_what_can_be_rolled_back(
    versions: list[str], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = versions
    promote.fn("m", first, PASSED)
    promote.fn("m", second, PASSED)

    def killed(*_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as at_once:
        at_once.setattr(promotion, step, killed)
        with pytest.raises(KeyboardInterrupt):
            promote.fn("m", third, PASSED)
    assert champion() == second
    done = roll_back.fn("m")
    assert (done.former, done.champion, done.previous) == (second, first, None)
    assert (champion(), previous()) == (first, None)


def test_a_first_champion_whose_successor_did_not_get_through_cannot_be_rolled_back(
    versions: list[str],
) -> None:
    promote.fn("m", versions[0], PASSED)
    MlflowClient().set_registered_model_alias("m", "previous", versions[0])
    with pytest.raises(InputError, match=f"no champion before version {versions[0]}"):
        roll_back.fn("m")


def test_ctrl_c_between_the_two_aliases_waits_for_the_second(
    versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    promote.fn("m", versions[0], PASSED)
    moved = promotion.make_champion

    def interrupted(name: str, version: str, reason: str) -> None:
        signal.raise_signal(signal.SIGINT)
        moved(name, version, reason)

    monkeypatch.setattr(promotion, "make_champion", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            promote.fn("m", versions[1], PASSED)
        assert (champion(), previous()) == (versions[1], versions[0])
        with pytest.raises(KeyboardInterrupt):
            roll_back.fn("m")
        assert (champion(), previous()) == (versions[0], None)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_version_that_is_gone_from_the_registry_is_nobodys_predecessor(versions: list[str]) -> None:
    for version in versions:
        promote.fn("m", version, PASSED)
    MlflowClient().delete_model_version("m", versions[0])
    assert roll_back.fn("m").previous is None
    assert (champion(), previous()) == (versions[1], None)


def test_a_model_without_champion_or_without_name_cannot_be_rolled_back(versions: list[str]) -> None:
    with pytest.raises(InputError, match="no champion"):
        roll_back.fn("m")
    with pytest.raises(InputError, match="no registered model 'n'; registered: m"):
        roll_back.fn("n")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which version was announced as champion, and why."""
    heard: list[tuple[str, str]] = []

    def announce(_: str, version: str, reason: str) -> bool:
        heard.append((version, reason))
        return True

    monkeypatch.setattr(promotion, "announce_promotion", announce)
    return heard


def test_each_champion_is_announced_once(versions: list[str], told: list[tuple[str, str]]) -> None:
    first, second, third = versions
    promote.fn("m", first, PASSED)
    promote.fn("m", first, PASSED)  # already champion
    promote.fn("m", second, PASSED)
    promote.fn("m", third, FAILED)
    roll_back.fn("m")
    because = PASSED.reason
    assert told == [(first, because), (second, because), (first, f"rolled back from version {second}")]


def test_a_champion_that_nobody_was_told_of_is_announced_later(
    versions: list[str], told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: str) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as at_once:
        at_once.setattr(promotion, "announce_promotion", crash)
        with pytest.raises(KeyboardInterrupt):
            promote.fn("m", versions[0], PASSED)
    assert champion() == versions[0]
    assert promote.fn("m", versions[0], PASSED).status == "already champion"
    assert told == [(versions[0], PASSED.reason)]
    with monkeypatch.context() as unheard:
        unheard.setattr(promotion, "announce_promotion", lambda *_: False)
        promote.fn("m", versions[1], PASSED)
    promote.fn("m", versions[2], FAILED)
    assert told[1:] == [(versions[1], PASSED.reason)]


def compared(ours: int, theirs: int) -> ComparedWith:
    """A candidate right on the first `ours` of 200 inputs against a model right on the first `theirs`."""
    references = [["yes"]] * 200
    sides = [
        measure(["yes"] * right + ["no"] * (200 - right), references, names=["exact_match"]) for right in (ours, theirs)
    ]
    return ComparedWith(model="other", metrics={}, comparison=compare(*sides, GATE))


GATE = GateConfig(margins={"exact_match": 0.05})


@pytest.mark.parametrize(
    ("base", "champions", "passed"),
    [
        (compared(150, 20), [], True),
        (compared(150, 150), [], False),  # not better than its base
        (compared(20, 150), [], False),
        (compared(150, 20), [compared(150, 150)], True),  # not worse than the champion
        (compared(150, 20), [compared(150, 190)], False),
        (compared(150, 20), [compared(190, 150)], True),
    ],
)
def test_the_promotion_rule(base: ComparedWith, champions: list[ComparedWith], passed: bool) -> None:
    decision = decide([base, *champions], GATE)
    assert decision.passed is passed
    assert decision.reason
