"""The report: figures with intervals, nothing a model wrote breaks the page, pictures that show something."""

import base64

from markdown_it import MarkdownIt

from llmops.evaluation import Estimate, GateConfig, compare, measure
from llmops.evaluation.comparison.slices import Slice
from tasks.evaluation_result import (
    ChangedQuestion,
    ChangedQuestions,
    ComparedWith,
    EvaluationResult,
    Example,
    ShownMetric,
)
from tasks.report import markdown_table, metrics_figure, png, png_uri, report_figures, report_markdown, text_table

REFERENCES = [["yes"]] * 100
CANDIDATE = measure(["yes"] * 90 + ["no"] * 10, REFERENCES, names=["exact_match"])
BASE = measure(["yes"] * 10 + ["no"] * 90, REFERENCES, names=["exact_match"])
EXACT = ShownMetric(label="exact match", scale="share")
HALF = Estimate(value=0.5, low=0.4, high=0.6, n=100)


def result() -> EvaluationResult:
    gate = GateConfig(margins={"exact_match": 0.02})
    against = ComparedWith(
        model="tiny",
        metrics={"exact_match": Estimate(value=0.1, low=0.05, high=0.17, n=100)},
        comparison=compare(CANDIDATE, BASE, gate),
    )
    return EvaluationResult(
        dataset="toy@1",
        split="test",
        model="fine-tuned",
        model_uri="models:/toy/1",
        run_id="r",
        metrics={"exact_match": Estimate(value=0.9, low=0.82, high=0.95, n=100)},
        shown={"exact_match": EXACT},
        comparisons=[against],
        nearest_neighbour={"exact_match": HALF},
        examples=[Example(input="a | b", messages=[], expected="<script>", baseline=None, output="two\nlines")],
    )


def test_every_figure_stands_with_its_interval_and_verdict() -> None:
    text = report_markdown(result())
    assert r"| exact match, % | 10.0 \[5.0, 17.0\] | 50.0 \[40.0, 60.0\] | 90.0 \[82.0, 95.0\] | better |" in text
    assert "fine-tuned against tiny on toy@1: better" in text
    assert "| input | a \\| b |" in text


def test_what_a_model_wrote_stays_in_its_cell() -> None:
    for make in (markdown_table, text_table):
        table = make(["a", "b"], [["x | y", "<img src=q>\nnext"]])
        assert table.splitlines()[2] == "| x \\| y | &lt;img src=q> next |"


def test_an_answer_is_shown_as_it_was_written() -> None:
    written = "4*7.5=30 and 2*3=6, `code`, [a](http://b), ![c](http://d), &lt;, a_b_c, \\* ~~no~~"
    page = MarkdownIt("commonmark").enable(["table"]).render(text_table(["answer"], [[written]]))
    shown = written.replace("&", "&amp;")
    assert f"<td>{shown}</td>" in page


def test_a_long_answer_keeps_its_end() -> None:
    assert text_table(["answer"], [["because " * 200 + "it is 42"]]).endswith("it is 42 |")


def test_pictures_stand_beside_their_figures_and_slices_are_in_the_units_of_the_table() -> None:
    half = Slice(
        column="steps",
        value="1-2",
        metric="exact_match",
        label="exact match",
        n=50,
        groups=50,
        candidate=0.9,
        baseline=0.1,
        difference=Estimate(value=0.8, low=0.7, high=0.9, n=50),
        margin=0.02,
        verdict="better",
    )
    changed = ChangedQuestion(input="2*3*4", expected="24", before="9", after="24", change=1.0)
    changes = ChangedQuestions(metric="exact match", compared=100, regressed=0, fixed=30, fixes=[changed] * 25)
    found = result()
    [against] = found.comparisons
    found = found.model_copy(
        update={"comparisons": [against.model_copy(update={"slices": [half], "changes": changes})] * 2}
    )
    names = list(report_figures(found))
    assert names == ["metrics", "differences", "slices", "differences-2", "slices-2"]
    text = report_markdown(found, {name: f"data:{name}" for name in names})
    order = [text.index(f"![{name}](data:{name})") for name in names]
    assert order == sorted(order)
    assert "| steps = 1-2 | exact match, % | 50 | +80.0 \\[+70.0, +90.0\\] | better |" in text
    assert "The 20 largest changes of each kind:" in text
    assert text.count("| 2\\*3\\*4 | 24 | 9 | 24 |") == 40
    assert "| fixed: input | wanted | tiny | fine-tuned |" in text


def test_json_holds_what_scripts_rely_on() -> None:
    found = result().model_dump(mode="json")
    assert found["verdict"] == "better"
    assert found["verdicts"] == {"exact_match": "better"}
    assert found["baseline"]["exact_match"] == {"value": 0.1, "low": 0.05, "high": 0.17, "n": 100}
    assert found["metrics"]["exact_match"].keys() == {"value", "low", "high", "n"}


def test_the_picture_has_a_point_for_every_model() -> None:
    figure = metrics_figure(result())
    [axes] = figure.axes
    assert len(axes.containers) == 3
    assert base64.b64decode(png_uri(png(figure)).removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_units_are_those_people_use() -> None:
    assert EXACT.say(HALF) == "50.0 [40.0, 60.0]"
    bleu, loss = ShownMetric(label="BLEU", scale="hundred"), ShownMetric(label="loss", scale="number")
    assert bleu.say(Estimate(value=67.04, low=66, high=68, n=5)) == "67.0 [66.0, 68.0]"
    assert loss.say(Estimate(value=0.5, low=0.4, high=0.6, n=5)) == "0.500 [0.400, 0.600]"
    assert loss.say(Estimate(value=0.00002, low=0.00001, high=0.00003, n=5)) == "0.000020 [0.000010, 0.000030]"
