"""Metrics by name and by definition, and what is gathered of the answers to each question."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from llmops.errors import InputError
from llmops.evaluation import METRICS, Measured
from llmops.evaluation.metrics.definitions import ContainsDefinition, MetricDefinition, RegexDefinition
from llmops.evaluation.metrics.measurement import build_metrics, gather
from llmops.evaluation.metrics.metric import Metric, ratio

DEFAULT = ["exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL"]
TOKEN = ["loss", "perplexity", "token_accuracy"]
PATTERN = RegexDefinition(pattern="x")


def test_the_metrics_that_are_measured_where_none_is_named() -> None:
    assert [metric.name for metric in build_metrics()] == DEFAULT
    assert [metric.name for metric in build_metrics(token_scores=True)] == [*DEFAULT, *TOKEN]
    assert [metric.name for metric in build_metrics(None, {"mine": PATTERN})] == [*DEFAULT, "mine"]


def test_every_agreed_name_is_known() -> None:
    assert set(METRICS) == {
        *DEFAULT, *TOKEN, "normalized_match", "numeric_match", "strict_number_match", "contains_reference",
        "valid_json", "choice_accuracy", "token_f1", "ter", "meteor", "edit_similarity", "embedding_similarity",
        "latency", "input_tokens", "output_tokens", "cost", "refusal",
    }  # fmt: skip
    assert all(name == metric.name for name, metric in METRICS.items())


@pytest.mark.parametrize(
    ("names", "definitions", "message"),
    [
        (["bleurt"], {}, "no metric is called 'bleurt'; known are exact_match, bleu"),
        (["bleurt", "bleu", "mover"], {"mine": PATTERN}, r"no metrics are called \['bleurt', 'mover'\].*cost, mine$"),
        (["bleu", "chrf", "bleu"], {}, "asked for more than once: bleu"),
        (["bleu"], {"bleu": PATTERN}, "the metric 'bleu' is defined here and known already"),
        (None, {"my metric": PATTERN}, "a metric cannot be called 'my metric'"),
    ],
)
def test_names_that_cannot_be(names, definitions, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        build_metrics(names, definitions)


def test_a_definition_is_told_by_its_type() -> None:
    parse = TypeAdapter(MetricDefinition).validate_python
    assert parse({"type": "contains", "texts": ["a"]}) == ContainsDefinition(texts=("a",))
    assert parse({"type": "json_schema", "schema": {"type": "array"}}).type == "json_schema"
    for wrong in (
        {"type": "contain", "texts": ["a"]},
        {"texts": ["a"]},
        {"type": "function", "function": "no colon"},
        {"type": "regex", "pattern": "a", "flags": "i"},
    ):
        with pytest.raises(ValidationError):
            parse(wrong)


def test_repeats_are_summed_and_what_was_not_measured_is_left_out() -> None:
    metric = METRICS["exact_match"]
    nothing = [np.nan, np.nan]
    rows = np.array([[1, 1], [0, 1], nothing, [1, 1], nothing])
    measured = gather(metric, rows, np.array([2, 2, 0, 0, 1]), np.array(["p", "q", "r"]), np.array(["g", "h", "g"]))
    assert measured.rows.tolist() == [[1, 1], [1, 2]]
    assert measured.ids.tolist() == ["p", "r"]
    assert measured.groups.tolist() == ["g", "g"]
    assert measured.value == pytest.approx(2 / 3)
    # q was answered and not measured: it has no right answer, so an exact match was not asked of it.
    assert measured.asked.tolist() == ["p", "r"]
    assert (measured.repeats, measured.lacking.tolist()) == (2, [1, 0])


def test_what_was_asked_and_not_measured_is_kept() -> None:
    """Three answers asked of each of four questions; s was never answered, q was not judged."""
    judged = Metric("judged", "judged", "share", lambda answers: np.empty((0, 2)), ratio)
    nothing = [np.nan, np.nan]
    rows = np.array([[1, 1], [0, 1], nothing, [1, 1], nothing])
    ids, question = np.array(["p", "q", "r", "s"]), np.array([2, 2, 0, 0, 1])
    measured = gather(judged, rows, question, ids, ids, repeats=3)
    assert measured.answers is not None
    assert (measured.ids.tolist(), measured.answers.tolist(), measured.repeats) == (["p", "r"], [1, 2], 3)
    assert measured.unmeasured.tolist() == ["q", "s"]
    assert (measured.asked.tolist(), measured.lacking.tolist()) == (["p", "r", "q", "s"], [2, 1, 3, 3])
    matched = gather(METRICS["exact_match"], rows, question, ids, ids, repeats=3)
    assert matched.unmeasured.tolist() == ["s"]


def test_counts_of_answers_that_cannot_be_are_refused() -> None:
    ids, rows = np.array(["p", "q"]), np.ones((2, 2))

    def measured(answers: list[int], repeats: int, unmeasured: list[str]) -> Measured:
        return Measured(METRICS["loss"], rows, ids, ids, np.array(answers), repeats, np.array(unmeasured))

    with pytest.raises(InputError, match="question q has 4 measured answers, and 3 were asked for"):
        measured([3, 4], 3, ["r"])
    with pytest.raises(InputError, match="at least one answer"):
        measured([0, 1], 3, ["r"])
    with pytest.raises(InputError, match="1 counts of answers for 2 questions"):
        measured([1], 3, ["r"])
    with pytest.raises(InputError, match="two questions have the same id"):
        measured([1, 1], 3, ["q"])
