"""The forest plots show what was measured: values and intervals in points, in order, with margins and verdicts."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from llmops.evaluation import Estimate, GateConfig, compare, measure
from llmops.evaluation.comparison.slices import Slice
from tasks.comparison_figures import Line, differences_figure, forest, slices_figure
from tasks.evaluation_result import ComparedWith, ShownMetric

REFERENCES = [["yes"]] * 100
CANDIDATE = measure(["yes"] * 90 + ["no"] * 10, REFERENCES, names=["exact_match"])
BASELINE = measure(["yes"] * 60 + ["no"] * 40, REFERENCES, names=["exact_match"])
SHOWN = {"exact_match": ShownMetric(label="exact match", scale="share")}


def compared(slices: list[Slice] | None = None) -> ComparedWith:
    comparison = compare(CANDIDATE, BASELINE, GateConfig(margins={"exact_match": 0.02}))
    figures = {"exact_match": Estimate(value=0.6, low=0.5, high=0.7, n=100)}
    return ComparedWith(model="old", metrics=figures, comparison=comparison, slices=slices or [])


def part(value: str, n: int) -> Slice:
    return Slice(
        column="price",
        value=value,
        metric="exact_match",
        label="exact match",
        n=n,
        groups=n,
        candidate=0.9,
        baseline=0.6,
        difference=Estimate(value=0.3, low=0.2, high=0.4, n=n),
        margin=0.02,
        verdict="better",
    )


def drawn(axes: Axes) -> list[tuple[float, float, float]]:
    """Value, low and high of every line, as they stand on the axis."""
    found = []
    for container in axes.containers:
        points, _, [reach] = container.lines
        [[left, right]] = [np.asarray(segment)[:, 0] for segment in reach.get_segments()]
        found.append((float(points.get_xdata()[0]), float(left), float(right)))
    return found


def names(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def verdicts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_share_is_drawn_in_points_with_its_margin_and_verdict() -> None:
    one = compared()
    [axes] = differences_figure("new", one, SHOWN).axes
    difference = one.comparison.differences["exact_match"]
    [(value, low, high)] = drawn(axes)
    assert value == pytest.approx(30)
    assert (low, high) == pytest.approx((100 * difference.low, 100 * difference.high))
    assert names(axes) == ["exact match"]
    assert verdicts(axes) == ["better"]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == pytest.approx([-2])


def test_what_has_no_upper_end_is_drawn_in_percent_of_the_baseline() -> None:
    [axes] = differences_figure("new", compared(), {"exact_match": ShownMetric(label="tokens", scale="number")}).axes
    assert drawn(axes)[0][0] == pytest.approx(50)
    assert axes.get_xlabel() == "difference in % of old's value; right of 0 is better"


def test_slices_stand_in_the_order_of_their_values_in_points() -> None:
    figure = slices_figure("new", compared([part("10+", 50), part("2-9", 30), part("1", 20)]), SHOWN)
    [axes] = figure.axes
    assert names(axes) == ["price = 1 (20)", "price = 2-9 (30)", "price = 10+ (50)"]
    assert drawn(axes) == [pytest.approx((30, 20, 40))] * 3
    assert figure.get_suptitle() == "new against old: exact match by slice"


def test_a_value_that_is_a_text_is_cut() -> None:
    [axes] = slices_figure("new", compared([part("x" * 500, 20)]), SHOWN).axes
    assert names(axes) == [f"price = {'x' * 40}… (20)"]


def test_of_many_slices_the_largest_are_drawn_and_the_title_says_so() -> None:
    figure = slices_figure("new", compared([part(f"{number}", 1000 - number) for number in range(50)]), SHOWN)
    [axes] = figure.axes
    assert names(axes)[-1] == "price = 39 (961)"
    assert figure.get_suptitle() == "new against old: exact match by slice, the 40 largest of 50"


def test_nothing_is_cut_off_and_a_dollar_is_a_dollar() -> None:
    line = Line("price = $5 to $10 (1,000)", 1.0, -3.0, 4.0, 2.0, "inconclusive")
    title = "openai/gpt-5-mini with prompts:/a_rather_long_name@candidate against anthropic/claude-4-5: not worse"
    figure = forest([([line], "difference in points")], title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    [axes] = figure.axes
    texts = [*axes.get_yticklabels(), *axes.texts, axes.xaxis.label, *figure.texts, *figure.legends]
    for text in texts:
        box = text.get_window_extent(canvas.get_renderer())
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1
    assert not any(label.get_parse_math() for label in axes.get_yticklabels())
