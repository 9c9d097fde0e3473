"""The pictures of a search show what they say they show."""

import math

import pytest
from matplotlib.figure import Figure

from tasks.search_figures import BEST, search_figures
from tasks.search_result import FinaleResult, FinalistResult, SearchResult, SearchSpent, TrialResult

LOSSES = [0.9, 0.5, 0.7, 0.4]


def trial(number: int, loss: float) -> TrialResult:
    values = {"learning_rate": 10.0 ** -(number % 3 + 2), "method": "lora" if number % 2 else "full"}
    if values["method"] == "lora":
        values["rank"] = 8 * number
    objectives = {"validation_loss": loss, "seconds": 10.0 - number}
    return TrialResult(number=number, state="finished", values=values, loss=loss, objectives=objectives, seconds=1.0)


def result(**given: object) -> SearchResult:
    trials = [trial(number, loss) for number, loss in enumerate(LOSSES, start=1)]
    trials.append(TrialResult(number=5, state="pruned", values={"learning_rate": 1e-3}, loss=0.95))
    trials.append(TrialResult(number=6, state="diverged", values={"learning_rate": 1.0}, loss=math.inf))
    settings = {"dataset": "support@1", "best": trials[3].values, "best_trial": 4, "trials": trials}
    return SearchResult.model_validate({**settings, "spent": SearchSpent(trials=6, seconds=1, tokens=1), **given})


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_only_pictures_with_something_to_show_are_drawn() -> None:
    assert set(search_figures(result())) == {"history", "parallel_coordinates"}
    several = result(objectives=["validation_loss", "seconds"], pareto=[4], importances={"learning_rate": 1.0})
    assert set(search_figures(several)) == {"history", "parallel_coordinates", "pareto_front", "importance"}
    nothing = result(trials=[TrialResult(number=1, state="diverged", values={"rank": 8})])
    assert set(search_figures(nothing)) == {"history"}
    for figure in search_figures(nothing).values():
        figure.canvas.draw()


def test_the_best_so_far_never_rises() -> None:
    axes = search_figures(result())["history"].axes[0]
    step = next(line for line in axes.lines if line.get_label() == "best so far")
    assert list(step.get_ydata()) == [0.9, 0.5, 0.5, 0.4]
    assert list(step.get_xdata()) == [1, 2, 3, 4]


def test_a_field_that_a_trial_does_not_have_has_a_place_of_its_own() -> None:
    figure = search_figures(result(), log_scaled={"learning_rate"})["parallel_coordinates"]
    assert "—" in texts(figure)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [
        "learning_rate (log)",
        "method",
        "rank",
        "validation loss",
    ]
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    assert sorted(line.get_ydata()[2] == 0.0 for line in lines) == [False, False, True, True]


def test_the_axis_of_the_loss_is_linear_with_few_trials_too() -> None:
    losses = [1.350, 1.362, 2.816]
    trials = [trial(number, loss) for number, loss in enumerate(losses, start=1)]
    figure = search_figures(result(trials=trials, best_trial=1))["parallel_coordinates"]
    heights = sorted(line.get_ydata()[-1] for line in figure.axes[0].lines if len(line.get_xdata()) == 4)
    assert heights == pytest.approx([0.0, 0.012 / 1.466, 1.0])
    assert {"1.35", "2.08", "2.82"} <= texts(figure)


def test_a_front_of_one_point_has_no_line_and_no_entry_of_one() -> None:
    two = ["validation_loss", "seconds"]
    alone = search_figures(result(objectives=two, pareto=[4]))["pareto_front"]
    assert [text.get_text() for text in alone.legends[0].get_texts()] == [
        "another is better in every objective",
        "chosen",
    ]
    nobody_else = search_figures(result(objectives=two, pareto=[1, 2, 3, 4]))["pareto_front"]
    assert [text.get_text() for text in nobody_else.legends[0].get_texts()] == ["Pareto front", "chosen"]


def test_the_front_is_drawn_in_order_and_named() -> None:
    figure = search_figures(result(objectives=["validation_loss", "seconds"], pareto=[4, 2]))["pareto_front"]
    front = next(line for line in figure.axes[0].lines if line.get_label() == "Pareto front")
    assert list(front.get_xdata()) == [6.0, 8.0]
    assert {"trial 2", "trial 4"} <= texts(figure)


def test_a_finalist_that_diverged_says_so() -> None:
    finalists = [
        FinalistResult(trial=4, values={}, seeds=[1, 2], losses=[0.4, 0.42], mean=0.41),
        FinalistResult(trial=2, values={}, seeds=[1, 2], losses=[0.5, None], mean=None),
    ]
    finale = FinaleResult(
        winner=4,
        finalists=finalists,
        difference=None,
        low=None,
        high=None,
        level=0.95,
        by_more_than_noise=False,
        sentence="",
    )
    figure = search_figures(result(finale=finale))["finalists"]
    assert "diverged" in texts(figure)


@pytest.mark.parametrize(("wins", "label"), [(True, "winner"), (False, "lowest mean")])
def test_only_a_finalist_that_wins_by_more_than_noise_is_green_and_called_the_winner(wins: bool, label: str) -> None:
    losses = {4: [0.40, 0.42], 2: [0.45, 0.47]}
    finale = FinaleResult(
        winner=4,
        finalists=[
            FinalistResult(trial=number, values={}, seeds=[1, 2], losses=[*own], mean=sum(own) / 2)
            for number, own in losses.items()
        ],
        difference=0.05,
        low=0.01 if wins else -0.01,
        high=0.1,
        level=0.95,
        by_more_than_noise=wins,
        sentence="",
    )
    figure = search_figures(result(finale=finale))["finalists"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one training", "mean", label]
    first = figure.axes[0].lines[0]
    assert (first.get_color() == BEST) is wins
    assert first.get_color() != figure.axes[0].lines[1].get_color()
