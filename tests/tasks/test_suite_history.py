"""The state of a suite's gate, as the next run finds it in MLflow, and what is said of each change, once."""

import time
from pathlib import Path

import pytest

from tasks import gate_events, suite_conclusions
from tasks.gate_events import announce_promotion, run_url
from tasks.suite_conclusions import announce_outcome
from tasks.suite_history import (
    announced_broken,
    announced_state,
    record_announcement,
    record_broken,
    record_state,
    resolve_baselines,
)
from tasks.suite_results import ModelOutcome
from tasks.tracking import tracked_run

MODEL = "openai/adder"
HOME = pytest.mark.usefixtures("home")


def evaluated(passed: bool, suite: str = "sums", model: str = MODEL, experiment: str = "sums") -> str:
    """A finished run of a suite, of which nothing has been said."""
    with tracked_run("evaluate", experiment=experiment) as run:
        pass
    record_state(run.run_id, suite, model, "passed" if passed else "failed")
    return run.run_id


@HOME
def test_nothing_is_known_of_a_suite_that_never_ran() -> None:
    assert announced_state("sums", MODEL) is None
    assert resolve_baselines("sums", MODEL, ("last", "last-passed", "run:abc", "m")) == ["run:abc", "m"]


@HOME
def test_the_newest_announced_run_of_that_suite_and_model_counts() -> None:
    record_announcement(evaluated(True), "passed")
    record_announcement(evaluated(False), "failed")
    record_announcement(evaluated(True, suite="others"), "passed")
    record_announcement(evaluated(True, model="openai/other"), "passed")
    evaluated(True)  # that nobody was told of
    assert announced_state("sums", MODEL) == "failed"
    # In whatever experiment: a suite may move to another dataset.
    record_announcement(evaluated(True, experiment="sums-of-2027"), "recovered")
    assert announced_state("sums", MODEL) == "passed"


@HOME
def test_a_run_that_did_not_finish_is_no_run() -> None:
    first = evaluated(True)
    with pytest.raises(RuntimeError), tracked_run("evaluate", experiment="sums") as run:
        record_state(run.run_id, "sums", MODEL, "failed")
        raise RuntimeError("it broke")
    assert resolve_baselines("sums", MODEL, ("last",)) == [f"last@run:{first}"]


@HOME
def test_last_and_last_passed() -> None:
    passed, failed = evaluated(True), evaluated(False)
    assert resolve_baselines("sums", MODEL, ("last-passed",)) == [f"last-passed@run:{passed}"]
    both = [f"last@run:{failed}", "m", f"last-passed@run:{passed}"]
    assert resolve_baselines("sums", MODEL, ("last", "m", "last-passed")) == both
    later = evaluated(True)
    assert resolve_baselines("sums", MODEL, ("last", "last-passed")) == [f"last@run:{later}"]
    assert resolve_baselines("sums", MODEL, (f"run:{later}", "last")) == [f"run:{later}"]


@HOME
def test_runs_of_another_context_are_not_what_main_is_compared_with() -> None:
    ours = evaluated(True)
    with tracked_run("evaluate", experiment="sums") as run:
        pass
    record_state(run.run_id, "sums", MODEL, "passed", "pull-request-7")
    record_announcement(run.run_id, "passed")
    assert resolve_baselines("sums", MODEL, ("last-passed",)) == [f"last-passed@run:{ours}"]
    assert announced_state("sums", MODEL) is None


@HOME
def test_a_broken_suite_is_told_until_the_model_was_evaluated() -> None:
    evaluated(True)
    assert not announced_broken("sums", MODEL)
    record_broken("sums", MODEL, "sums", "no answer")
    assert announced_broken("sums", MODEL)
    assert not announced_broken("sums", "openai/other")
    # It is no evaluation: neither what is compared with, nor what the gate said last.
    assert len(resolve_baselines("sums", MODEL, ("last",))) == 1
    time.sleep(0.002)  # MLflow counts milliseconds
    evaluated(False)
    assert not announced_broken("sums", MODEL)


def outcome(passed: bool) -> ModelOutcome:
    return ModelOutcome(model=MODEL, passed=passed, verdict=None, sentence="so it is", run_id=evaluated(passed))


@HOME
def test_each_change_is_said_once_and_what_was_not_heard_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    delivered = True

    def announce(news: str, *_: object) -> bool:
        said.append(news)
        return delivered

    monkeypatch.setattr(suite_conclusions, "announce_gate", announce)
    monkeypatch.setattr(suite_conclusions, "get_run_logger", __import__("logging").getLogger)
    for passed in (True, True, False, False, False, True, True, False):
        announce_outcome.fn("sums", outcome(passed))
    assert said == ["passed", "passed", "failed", "still_failing", "still_failing", "recovered", "passed", "failed"]
    announce_outcome.fn("sums", outcome(True))
    said.clear()
    delivered = False
    announce_outcome.fn("sums", outcome(False))
    delivered = True
    announce_outcome.fn("sums", outcome(False))
    announce_outcome.fn("sums", outcome(False))
    assert said == ["failed", "failed", "still_failing"]


@HOME
def test_without_a_server_that_stays_nothing_counts_as_said() -> None:
    assert gate_events.settings().prefect_api_url is None
    assert not announce_promotion("support", "3", "it is better")


@HOME
def test_a_server_that_does_not_answer_has_not_heard_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import prefect.client.orchestration as orchestration

    monkeypatch.setattr(gate_events, "settings", lambda: type("S", (), {"prefect_api_url": "http://127.0.0.1:9/api"}))
    nobody = orchestration.SyncPrefectClient("http://127.0.0.1:9/api")
    monkeypatch.setattr(orchestration, "get_client", lambda **_: nobody)
    assert not announce_promotion("support", "3", "it is better")


def test_a_run_has_an_address_where_a_server_shows_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = evaluated(True)
    assert run_url(run_id) is None
    monkeypatch.setattr("tasks.gate_events.settings", lambda: type("S", (), {"tracking_uri": "http://mlflow:5000/"}))
    assert run_url(run_id) == f"http://mlflow:5000/#/experiments/1/runs/{run_id}"
