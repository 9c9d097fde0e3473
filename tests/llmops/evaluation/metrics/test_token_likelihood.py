"""Loss, perplexity and token accuracy against sums done by hand."""

from math import exp
from typing import NamedTuple

import pytest

from llmops.errors import InputError
from llmops.evaluation import measure


class Scored(NamedTuple):
    nll: float
    tokens: int
    correct: int


REFERENCES = [["a", "b"], ["c"]]
SCORES = [Scored(2.0, 4, 3), Scored(6.0, 4, 1), Scored(1.0, 2, 2)]


def test_token_metrics_weigh_tokens_not_samples() -> None:
    measured = measure(["a", "c"], REFERENCES, SCORES)
    assert measured["loss"].value == pytest.approx(9 / 10)
    assert measured["perplexity"].value == pytest.approx(exp(9 / 10))
    assert measured["token_accuracy"].value == pytest.approx(6 / 10)
    assert measured["loss"].per_sample() == pytest.approx([8 / 8, 1 / 2])
    assert list(measured) == [
        "exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL", "loss", "perplexity", "token_accuracy",
    ]  # fmt: skip


def test_without_token_scores_only_text_is_measured() -> None:
    assert set(measure(["a", "c"], REFERENCES)) == {
        "exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL",
    }  # fmt: skip
    with pytest.raises(InputError, match="loss needs token scores"):
        measure(["a", "c"], REFERENCES, names=["loss"])


@pytest.mark.parametrize(
    ("outputs", "references", "scores", "groups", "message"),
    [
        (["a"], REFERENCES, None, None, "1 outputs for 2 test inputs"),
        ([], [], None, None, "at least one"),
        (["a", "c"], [["a"], []], None, None, "test input 1 has no list of references"),
        (["a", "c"], ["ab", "cd"], None, None, "test input 0 has no list of references"),
        (["a", "c"], REFERENCES, SCORES[:2], None, "2 token scores for 3 references"),
        (["a", "c"], REFERENCES, None, ["g"], "1 groups for 2 test inputs"),
        (["a", "c"], REFERENCES, [*SCORES[:2], Scored(0.0, 0, 0)], None, "test input 1 has no token"),
        (["a", "c"], REFERENCES, [*SCORES[:2], Scored(float("nan"), 2, 0)], None, "test input 1 are not finite"),
    ],
)  # fmt: skip
def test_bad_input_is_named(outputs, references, scores, groups, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        measure(outputs, references, scores, groups)


def test_an_unknown_metric_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'bleurt'; known are exact_match, bleu"):
        measure(["a"], [["a"]], names=["bleurt"])
