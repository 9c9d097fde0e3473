"""The search: as many trials as asked, the lowest loss wins, an interrupted trial goes on, budgets hold."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig
from llmops.finetuning.jobs.owner import JobOwner
from llmops.tuning import Search, SearchConfig, Trial, TrialOutcome, TrialTakenError, attempts
from llmops.tuning.storage import Heartbeat

LORA = TrainingConfig(method="lora")
BOWL = {"learning_rate": {"low": 1e-6, "high": 1.0, "log": True}}


def bowl(values: dict[str, float]) -> float:
    """A bowl in the logarithm of the learning rate with its bottom at 0.003."""
    return (math.log10(values["learning_rate"]) - math.log10(0.003)) ** 2


def open_search(folder: Path, **settings: Any) -> Search:
    return Search(folder, SearchConfig.model_validate(settings), LORA)


def claimed(search: Search) -> Trial:
    trial = search.claim()
    assert trial is not None
    return trial


def finish(search: Search, loss: Callable[[dict[str, float]], float] = bowl) -> None:
    while (trial := search.claim()) is not None:
        search.finish(trial, TrialOutcome(loss(trial.values), seconds=1.0))


def test_it_runs_as_many_trials_as_asked_inside_the_space(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=5)
    assert search.why_stopped() is None
    finish(search)
    assert [one.number for one in search.finished()] == [0, 1, 2, 3, 4]
    for trial in search.finished():
        assert 4e-3 <= trial.values["learning_rate"] <= 1e-2
        assert trial.values["batch_size"] in (16, 32)
        assert trial.values["rank"] in (16, 32)
        TrainingConfig.model_validate(trial.values)
    assert search.best().loss == min(trial.loss or 0.0 for trial in search.finished())
    assert search.why_stopped() == "all 5 trials were run"
    assert search.pareto_front() == [search.best()]


def test_without_trials_there_is_nothing_to_claim_and_no_best(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=0)
    assert search.claim() is None
    with pytest.raises(ValueError, match="no trial has finished"):
        search.best()


def test_a_trial_that_was_given_back_goes_to_the_next_with_its_number_and_a_fresh_curve(tmp_path: Path) -> None:
    first = open_search(tmp_path, trials=2)
    trial = claimed(first)
    trial.report(1, 9.0, total_steps=2)
    assert first.give_back(trial)
    assert [one.state for one in first.trials()] == ["open"]
    second = open_search(tmp_path, trials=2)
    again = claimed(second)
    assert (again.number, again.values, again.attempt) == (trial.number, trial.values, 2)
    again.report(2, 0.5, total_steps=2)
    assert second.finish(again, TrialOutcome(0.5))
    finish(second)
    assert [(one.number, one.attempt) for one in first.finished()] == [(0, 2), (1, 1)]
    assert first.finished()[0].curve == {100: 0.5}


def test_a_stale_heartbeat_hands_a_trial_over_and_what_the_first_one_says_no_longer_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, other = open_search(tmp_path, trials=1), open_search(tmp_path, trials=1)
    trial = claimed(silent)
    assert other.claim() is None
    assert other.trials()[0].state == "running"
    monkeypatch.setattr(Heartbeat, "STALE", 0.0)
    taken = claimed(other)
    assert (taken.number, taken.values, taken.attempt) == (trial.number, trial.values, 2)
    with pytest.raises(TrialTakenError, match="trial 1 went to another worker"):
        trial.report(1, 1.0, total_steps=1)
    assert not silent.finish(trial, TrialOutcome(7.0))
    assert other.finish(taken, TrialOutcome(5.0))
    assert [one.loss for one in silent.finished()] == [5.0]


def test_a_heartbeat_keeps_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Heartbeat, "INTERVAL", 0.01)
    search, other = open_search(tmp_path, trials=1), open_search(tmp_path, trials=1)
    trial = claimed(search)
    since = search.study.get_trials()[0].user_attrs["claim"]["since"]
    beats: list[float] = []
    while len(set(beats)) < 2:
        beats.append(search.study.get_trials()[0].user_attrs.get("heartbeat", since))
    assert max(beats) > since
    assert other.claim() is None
    search.finish(trial, TrialOutcome(1.0))


def test_on_another_machine_only_the_heartbeat_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = JobOwner(host="another-machine", pid=1, create_time=1.0)
    monkeypatch.setattr(JobOwner, "this_process", classmethod(lambda cls: elsewhere))
    search = open_search(tmp_path, trials=1)
    claimed(search)
    assert search.claim() is None
    monkeypatch.setattr(Heartbeat, "STALE", 0.0)
    assert claimed(search).attempt == 2


def test_a_trial_that_kills_its_process_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = JobOwner.this_process().model_copy(update={"create_time": 1.0})
    monkeypatch.setattr(JobOwner, "this_process", classmethod(lambda cls: gone))
    search = open_search(tmp_path, trials=1)
    for attempt in range(1, attempts.MOST_DEATHS + 1):
        assert claimed(search).attempt == attempt
    assert search.claim() is None
    assert search.trials()[0].state == "given up"
    assert search.finished() == []
    assert search.why_stopped() == "trial 1 was given up: its process died 5 times"


def test_a_process_of_the_same_number_in_another_container_is_not_looked_for_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same host name, and a process number that is nobody's here; it lives where it is."""
    gone = JobOwner.this_process().model_copy(update={"create_time": 1.0})
    monkeypatch.setattr(JobOwner, "this_process", classmethod(lambda cls: gone))
    search = open_search(tmp_path, trials=1)
    with monkeypatch.context() as there:
        there.setattr(attempts, "this_machine", lambda: "the-same-boot pid:[2]")
        claimed(search)
    assert search.claim() is None
    assert search.trials()[0].state == "running"
    monkeypatch.setattr(Heartbeat, "STALE", 0.0)
    assert claimed(search).attempt == 2


def test_a_trial_whose_training_raises_is_tried_once_more_and_then_given_up(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=2)
    first = claimed(search)
    assert search.fail(first, "RuntimeError: out of memory", TrialOutcome(math.nan, seconds=5.0, tokens=7))
    other = claimed(search)
    assert other.number == 1, "new ones first"
    search.finish(other, TrialOutcome(1.0, seconds=1.0, tokens=1))
    again = claimed(search)
    assert (again.number, again.attempt, again.values, again.errors) == (0, 2, first.values, 1)
    search.fail(again, "RuntimeError: out of memory", TrialOutcome(math.nan, seconds=6.0, tokens=8))
    assert search.claim() is None
    assert [one.state for one in search.trials()] == ["given up", "finished"]
    assert search.trials()[0].reason == "RuntimeError: out of memory"
    assert search.why_stopped() == "trial 1 was given up: RuntimeError: out of memory"
    assert (search.spent().seconds, search.spent().tokens) == (12.0, 16)


def test_a_trial_that_one_command_gave_up_is_tried_once_more_by_another(tmp_path: Path) -> None:
    def by(command: str) -> Search:
        return Search(tmp_path, SearchConfig(trials=1), LORA, command=command)

    for attempt in (1, 2):
        trial = claimed(by("first"))
        assert trial.attempt == attempt
        by("first").fail(trial, "RuntimeError: the device is gone")
    assert by("first").claim() is None
    assert [(one.state, one.for_good) for one in by("first").trials()] == [("given up", False)]
    assert by("second").why_stopped() is None
    again = claimed(by("second"))
    by("second").fail(again, "RuntimeError: the device is gone")
    assert by("second").claim() is None
    for command in ("second", "third"):
        assert [(one.state, one.for_good) for one in by(command).trials()] == [("given up", True)]
    assert by("third").claim() is None


def test_a_trial_that_another_command_mends_is_like_any_other(tmp_path: Path) -> None:
    for command in ("first", "first", "second"):
        search = Search(tmp_path, SearchConfig(trials=1), LORA, command=command)
        trial = claimed(search)
        if command == "first":
            search.fail(trial, "RuntimeError")
        else:
            search.finish(trial, TrialOutcome(1.0))
    assert [(one.state, one.reason) for one in search.trials()] == [("finished", None)]


def test_what_was_given_back_counts_for_no_failure(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=1)
    for attempt in range(1, 9):
        trial = claimed(search)
        assert trial.attempt == attempt
        search.give_back(trial)


def test_a_process_that_dies_while_a_trial_is_proposed_leaves_no_trace(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=2)
    search.study.ask()
    finish(search)
    assert [one.number for one in search.finished()] == [0, 1]
    assert len(search.study.trials) == 3


def test_a_diverged_trial_counts_and_never_wins(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=3)
    search.diverged(claimed(search), TrialOutcome(math.nan, seconds=2.0, steps=7))
    search.finish(claimed(search), TrialOutcome(math.nan))
    search.finish(claimed(search), TrialOutcome(3.0))
    assert [one.state for one in search.finished()] == ["diverged", "diverged", "finished"]
    assert [one.loss for one in search.finished()] == [math.inf, math.inf, 3.0]
    assert search.finished()[0].outcome == TrialOutcome(math.inf, seconds=2.0, steps=7)
    assert search.best().number == 2


def test_where_all_diverged_the_best_is_infinite(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=1)
    search.diverged(claimed(search))
    assert search.best().loss == math.inf


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"budget": {"max_tokens": 250}}, "the budget of 250 tokens is spent (300)"),
        ({"budget": {"max_seconds": 5400}}, "the budget of 5,400 s of training is spent (5,400 s)"),
        ({"budget": {"max_cost": 2.5}, "cost_per_hour": 2.0}, "the budget of $2.50 is spent ($3.00)"),
    ],
)
def test_a_budget_ends_the_search(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    """Each trial takes half an hour and 100 tokens; at two dollars an hour that is one dollar."""
    search = open_search(tmp_path, trials=50, **settings)
    while (trial := search.claim()) is not None:
        search.finish(trial, TrialOutcome(1.0, seconds=1800.0, tokens=100))
    assert len(search.finished()) == 3
    assert search.why_stopped() == sentence


def test_what_is_under_way_and_what_was_lost_is_spent_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = open_search(tmp_path, trials=2, cost_per_hour=3600.0)
    trial = claimed(search)
    search.study.get_trials(deepcopy=False)
    since = search.study.get_trials()[0].user_attrs["claim"]["since"]
    search.study._storage.set_trial_user_attr(search.study.trials[0]._trial_id, "heartbeat", since + 60.0)
    assert search.spent().seconds == pytest.approx(60.0)
    monkeypatch.setattr(Heartbeat, "STALE", -100.0)
    again = claimed(search)  # its worker is taken for dead
    assert search.spent().seconds == pytest.approx(60.0, abs=1.0)
    # Of the whole training, which went on from a checkpoint: 20 seconds of it are its own.
    search.finish(again, TrialOutcome(1.0, seconds=80.0, steps=8, resumed_from=6))
    spent = search.spent()
    assert (spent.trials, spent.seconds, spent.cost) == (1, pytest.approx(80.0), pytest.approx(80.0))
    assert trial.number == again.number == 0


@pytest.mark.parametrize("end", ["finish", "prune", "diverged"])
@pytest.mark.parametrize(("resumed_from", "seconds", "tokens"), [(0, 190.0, 1900), (80, 110.0, 1100)])
def test_what_an_attempt_that_raised_has_spent_is_not_forgotten(
    tmp_path: Path, end: str, resumed_from: int, seconds: float, tokens: int
) -> None:
    """The first raises after 90 of 100 steps; another goes on from step 80, or, where nothing is left, begins anew."""
    search = open_search(tmp_path, trials=1, cost_per_hour=3600.0)
    search.fail(claimed(search), "RuntimeError", TrialOutcome(math.nan, seconds=90.0, tokens=900, steps=90))
    before = search.spent()
    whole = TrialOutcome(1.0, seconds=100.0, tokens=1000, steps=100, resumed_from=resumed_from)
    getattr(search, end)(claimed(search), whole)
    spent = search.spent()
    assert before.seconds == 90.0
    assert (spent.seconds, spent.tokens, spent.cost) == (pytest.approx(seconds), tokens, pytest.approx(seconds))
    outcome = search.trials()[0].outcome
    assert outcome is not None
    assert (outcome.seconds, outcome.tokens) == (100.0, 1000), "of one training, as for every other trial"


def test_tokens_of_an_attempt_that_died_are_known_once_another_goes_on_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = open_search(tmp_path, trials=1)
    claimed(search)
    monkeypatch.setattr(Heartbeat, "STALE", -1.0)
    search.prune(claimed(search), TrialOutcome(1.0, seconds=50.0, tokens=500, steps=5, resumed_from=4))
    assert (search.spent().tokens, search.spent().seconds) == (500, pytest.approx(50.0))


def test_a_training_that_was_there_from_before_is_not_spent_again_and_keeps_its_figures(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=3, cost_per_hour=3600.0, budget={"max_tokens": 100})
    search.finish(claimed(search), TrialOutcome(1.0, seconds=50.0, tokens=500, reused=True))
    assert search.budget_spent([TrialOutcome(1.0, seconds=50.0, tokens=500, reused=True)]) is None
    search.finish(claimed(search), TrialOutcome(1.0, seconds=2.0, tokens=100))
    spent = search.spent()
    assert (spent.trials, spent.seconds, spent.tokens, spent.cost) == (2, 2.0, 100, pytest.approx(2.0))
    assert search.claim() is None
    kept = search.trials()[0].outcome
    assert kept is not None
    assert (kept.seconds, kept.tokens, kept.cost) == (50.0, 500, pytest.approx(50.0))


def test_another_search_in_the_same_folder_is_another_search(tmp_path: Path) -> None:
    first = open_search(tmp_path, trials=1)
    finish(first)
    assert open_search(tmp_path, trials=1, seed=1).finished() == []
    assert Search(tmp_path, SearchConfig(trials=1), LORA.model_copy(update={"seed": 1})).finished() == []
    assert Search(tmp_path, SearchConfig(trials=1), LORA, "other data").finished() == []
    more = open_search(tmp_path, trials=3, workers=2, budget={"max_seconds": 1e6})
    assert more.finished() == first.finished()
    priced = open_search(tmp_path, trials=1, budget={"max_cost": 1.0}, cost_per_hour=3600.0)
    assert [one.loss for one in priced.finished()] == [one.loss for one in first.finished()]
    assert priced.why_stopped() == "the budget of $1.00 is spent ($1.00)", "what was spent before it had a price"
    objectives = {"objectives": ["validation_loss", "cost"], "trials": 1}
    assert open_search(tmp_path, **objectives, cost_per_hour=1.0).name != (
        open_search(tmp_path, **objectives, cost_per_hour=2.0).name
    )
    finish(more)
    assert len(first.finished()) == 3


def test_a_grid_is_tried_whole_where_trials_is_unset_and_in_part_where_it_is(tmp_path: Path) -> None:
    space = {"rank": [2, 4, 8], "batch_size": [8, 16]}
    whole = open_search(tmp_path, sampler="grid", space=space)
    assert whole.planned == 6
    finish(whole, lambda values: values["rank"])
    assert {(one.values["rank"], one.values["batch_size"]) for one in whole.finished()} == {
        (r, b) for r in (2, 4, 8) for b in (8, 16)
    }
    part = open_search(tmp_path / "part", sampler="grid", space=space, trials=4)
    finish(part, lambda values: values["rank"])
    assert part.why_stopped() == "4 of the 6 points of the grid were tried"


def test_a_range_without_a_step_makes_no_grid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"search\.space\.learning_rate: a grid needs a step"):
        open_search(tmp_path, sampler="grid")


def test_threads_share_one_search(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=6, sampler="random", space=BOWL)
    threads = [threading.Thread(target=finish, args=(search,)) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.number for one in search.finished()] == list(range(6))
    assert len({one.values["learning_rate"] for one in search.finished()}) == 6


def test_a_trial_that_was_not_claimed_here_reports_nothing(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=1)
    finish(search)
    with pytest.raises(ValueError, match="was not claimed here"):
        search.best().report(1, 1.0, 1)
