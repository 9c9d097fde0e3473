"""What a person and a script read of a finished search."""

import io
import json
import math
import shlex

from rich.console import Console

from tasks.search_result import (
    SearchResult,
    SearchSpent,
    TrialResult,
    broken_command,
    fine_tune_command,
    ranked,
    trial_rows,
)

FINISHED = TrialResult(
    number=1, state="finished", values={"learning_rate": 0.004, "rank": 8}, loss=0.5, seconds=2.0, tokens=1000
)
BETTER = TrialResult(number=3, state="finished", values={"learning_rate": 0.006}, loss=0.4, seconds=3.0, tokens=2000)
PRUNED = TrialResult(number=2, state="pruned", values={"learning_rate": 0.001, "rank": 4}, loss=0.1, seconds=0.5)
DIVERGED = TrialResult(number=4, state="diverged", values={"learning_rate": 9.0}, loss=math.inf)


def result() -> SearchResult:
    return SearchResult(
        dataset="support@1",
        best=BETTER.values,
        best_trial=3,
        trials=[FINISHED, PRUNED, BETTER, DIVERGED],
        stopped="all 4 trials were run",
        spent=SearchSpent(trials=4, seconds=5.5, tokens=3000),
        next_command=fine_tune_command("support@1", "tiny", {"max_steps": 20, "learning_rate": 0.006}),
    )


def test_finished_trials_come_first_however_low_the_loss_of_a_pruned_one() -> None:
    assert [one.number for one in ranked([DIVERGED, PRUNED, FINISHED, BETTER])] == [3, 1, 2, 4]


def test_a_field_that_a_trial_does_not_have_stays_empty() -> None:
    headings, rows = trial_rows([FINISHED, BETTER], ["validation_loss"])
    rank = headings.index("rank")
    assert [row[rank] for row in rows] == ["8", ""]
    assert "cost" not in headings


def test_an_infinite_loss_is_no_number_in_json() -> None:
    told = json.loads(result().model_dump_json())
    assert told["trials"][3]["loss"] is None
    assert {"best", "trials", "pareto", "finale", "run_id", "spent"} <= told.keys()


def test_the_terminal_has_the_best_why_it_stopped_and_what_comes_next() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(result())
    shown = console.export_text()
    assert "Best: trial 3, learning_rate 0.006" in shown
    assert "All 4 trials were run. Spent: 4 trials, 5.5 s of training, 3,000 tokens." in shown
    assert "llmops run fine-tune --dataset support@1" in shown


def test_a_command_broken_over_lines_is_the_same_command() -> None:
    command = fine_tune_command("support@1", "scratch", {"method": "lora", "learning_rate": 0.0123456789, "rank": 8})
    lines = broken_command(command, 50)
    assert max(map(len, lines)) <= 50
    assert shlex.split("".join(line.removesuffix("\\") for line in lines)) == shlex.split(command)
