"""The report: figures with intervals, nothing a model wrote breaks the page, pictures that show something."""

import base64

from llmops.evaluation import Estimate, GateConfig, compare, measure
from tasks.evaluation_result import ComparedWith, EvaluationResult, Example, ShownMetric
from tasks.report import data_uri, markdown_table, metrics_figure, report_markdown

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
    assert "| exact match, % | 10.0 [5.0, 17.0] | 50.0 [40.0, 60.0] | 90.0 [82.0, 95.0] | better |" in text
    assert "fine-tuned against tiny on toy@1: better" in text
    assert "| input | a \\| b |" in text


def test_what_a_model_wrote_stays_in_its_cell() -> None:
    table = markdown_table(["a", "b"], [["x | y", "<img src=q>\nnext"]])
    assert table.splitlines()[2] == "| x \\| y | &lt;img src=q> next |"


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
    assert base64.b64decode(data_uri(figure).removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_units_are_those_people_use() -> None:
    assert EXACT.say(HALF) == "50.0 [40.0, 60.0]"
    bleu, loss = ShownMetric(label="BLEU", scale="hundred"), ShownMetric(label="loss", scale="number")
    assert bleu.say(Estimate(value=67.04, low=66, high=68, n=5)) == "67.0 [66.0, 68.0]"
    assert loss.say(Estimate(value=0.5, low=0.4, high=0.6, n=5)) == "0.500 [0.400, 0.600]"
    assert loss.say(Estimate(value=0.00002, low=0.00001, high=0.00003, n=5)) == "0.000020 [0.000010, 0.000030]"
