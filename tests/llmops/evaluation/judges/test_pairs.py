import numpy as np
import pytest
from scipy import stats

from llmops.errors import InputError
from llmops.evaluation.judges.calibration import calibrate
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.pairs import judge_pairs
from llmops.evaluation.metrics.metric import Answers

PANEL = JudgeConfig(kind="pairwise", models=("a",), instructions="Which is better?")
INPUTS = ["1?", "2?", "3?", "4?", "5?"]
FIRST = Answers(["a1", "a2", "a3", "a4", "a5"], [], inputs=INPUTS)
SECOND = Answers(["b1", "b2", "b3", "b4", "b5"], [], inputs=INPUTS)


def test_a_verdict_that_changes_with_the_order_is_a_tie() -> None:
    replies = iter(
        [
            *("first", "second"),  # the first answer wins in both orders
            *("second", "first"),  # the second
            *("first", "first"),  # whatever is shown first
            *("tie", "tie"),
            *("first", "?"),  # one order without a verdict
        ]
    )
    config = PANEL.model_copy(update={"reasks": 0})
    judged = judge_pairs(config, FIRST, SECOND, lambda model, prompts, _: [next(replies) for _ in prompts])
    assert judged.values.tolist() == pytest.approx([1, 0, 0.5, 0.5, np.nan], nan_ok=True)
    assert (judged.win, judged.lose, judged.tie, judged.missing) == (1, 1, 2, 1)
    assert judged.position_flips == (1,)
    assert judged.judges[0].malformed == 1
    rate = judged.win_rate()
    assert rate.value == 0.5 and rate.n == 4 and 0 <= rate.low < 0.5 < rate.high <= 1


def test_both_orders_are_shown() -> None:
    seen: list[str] = []

    def ask(model: str, prompts: object, parameters: object) -> list[str | None]:
        seen.extend(str(prompt[1]["content"]) for prompt in prompts)  # type: ignore[attr-defined]
        return ["tie"] * len(seen)

    judge_pairs(PANEL, FIRST, SECOND, ask)
    assert len(seen) == 10
    assert seen[0].index("\na1\n") < seen[0].index("\nb1\n") and seen[1].index("\nb1\n") < seen[1].index("\na1\n")


def test_a_judge_that_always_takes_the_first_has_all_of_the_position_bias() -> None:
    judged = judge_pairs(PANEL, FIRST, SECOND, lambda model, prompts, _: ["first"] * len(prompts))
    assert judged.tie == 5 and judged.position_flips == (5,)
    bias = calibrate(judged, np.array([1, 1, 0, 0.5, 1])).panel.position_bias
    assert bias is not None and bias.value == 1.0


def test_win_rate_takes_dependent_pairs_together() -> None:
    n = 200
    first = Answers([f"a{i}" for i in range(n)], [], inputs=[str(i) for i in range(n)])
    second = Answers([f"b{i}" for i in range(n)], [], inputs=first.inputs)
    replies = [side for i in range(n) for side in (("first", "second") if (i // 20) % 2 else ("second", "first"))]
    judged = judge_pairs(PANEL, first, second, lambda model, prompts, _: replies)
    alone, grouped = judged.win_rate(), judged.win_rate(np.arange(n) // 20)
    assert alone.value == grouped.value == 0.5
    # All pairs of a group alike: 200 pairs in groups of 20 are worth 10, with 9 degrees of freedom for the spread.
    wider = np.sqrt(20) * stats.t.ppf(0.975, 9) / stats.t.ppf(0.975, 199)
    assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(wider, rel=0.1)


def test_pairs_must_fit() -> None:
    with pytest.raises(InputError, match="judge_answers"):
        judge_pairs(
            JudgeConfig(kind="pass_fail", models=("a",), instructions="Right?"), FIRST, SECOND, lambda *_: ["pass"]
        )
    with pytest.raises(InputError, match="not to the same questions"):
        judge_pairs(PANEL, FIRST, Answers(SECOND.outputs, [], inputs=INPUTS[::-1]), lambda *_: ["tie"])
