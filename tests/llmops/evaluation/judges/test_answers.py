from collections.abc import Sequence

import numpy as np
import pytest

from llmops.errors import InputError
from llmops.evaluation.judges.answers import judge_answers
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.metrics.metric import Answers
from llmops.llm.completions import Message, Parameters

PASS_FAIL = JudgeConfig(kind="pass_fail", models=("a", "b", "c"), instructions="Is it right?")
FOUR = Answers(
    outputs=["blue", "red", "green", "grey"],
    references=[["blue"], ["red", "crimson"], ["lime"], []],
    inputs=["sky?", "rose?", "lime?", "?"],
    contexts=["The sky is blue.", None, None, None],
)


class Scripted:
    """Judges that answer from a script, round by round, and remember what they were asked."""

    def __init__(self, *rounds: Sequence[str | None]) -> None:
        self.rounds = list(rounds)
        self.asked: list[list[Sequence[Message]]] = []

    def __call__(
        self, model: str, prompts: Sequence[Sequence[Message]], parameters: Parameters
    ) -> Sequence[str | None]:
        self.asked.append(list(prompts))
        return self.rounds.pop(0)


def test_votes_of_a_panel_and_what_each_judge_did() -> None:
    judged = judge_answers(
        PASS_FAIL,
        FOUR,
        Scripted(
            ['{"verdict": "pass"}', '{"verdict": "pass"}', '{"verdict": "fail"}', '{"verdict": "cannot tell"}'],
            ['It is.\n{"verdict": "pass"}', None, "FAIL", "no idea"],
            ["still no idea"],
            ["Hm.", '{"verdict": "fail"}', "Verdict: pass", None],
            ['{"verdict": "pass"}'],
        ),
    )
    expected = [[1, 1, 1], [1, np.nan, 0], [0, 0, 1], [np.nan, np.nan, np.nan]]
    assert np.array_equal(judged.votes, expected, equal_nan=True)
    assert judged.scores.tolist() == pytest.approx([1, np.nan, 0, np.nan], nan_ok=True)
    assert judged.missing == 2
    assert judged.reasons[0] == ("", "It is.", "Hm.")
    counts = [(one.verdicts, one.cannot_tell, one.malformed, one.unanswered, one.reasked) for one in judged.judges]
    assert counts == [(3, 1, 0, 0, 0), (2, 0, 1, 1, 1), (3, 0, 0, 1, 1)]
    assert [one.example for one in judged.judges] == [None, "no idea", None]
    assert judged.agreement is not None and judged.agreement.units == 3
    assert judged.lengths.tolist() == [4, 3, 5, 4]


def test_only_malformed_replies_are_asked_again_with_the_reply_and_a_reminder() -> None:
    panel = PASS_FAIL.model_copy(update={"models": ("a",), "reasks": 2})
    ask = Scripted(["pass", "Hm.", None, " "], ["Well.", " "], ["pass", "fail"])
    judged = judge_answers(panel, FOUR, ask)
    assert judged.votes[:, 0].tolist() == pytest.approx([1, 1, np.nan, 0], nan_ok=True)
    first, second, third = ask.asked
    assert [len(first), len(second), len(third)] == [4, 2, 2]
    assert [message["role"] for message in second[0]] == ["system", "user", "assistant", "user"]
    assert second[0][2]["content"] == "Hm."
    # No provider takes an empty message: the reminder stands at the end of the question then.
    assert [message["role"] for message in second[1]] == ["system", "user"]
    assert '{"verdict"' in second[1][1]["content"].splitlines()[-1]
    assert judged.judges[0].reasked == 4


def test_without_re_asks_a_malformed_reply_stays_one() -> None:
    ask = Scripted(["Hm."] * 4)
    judged = judge_answers(PASS_FAIL.model_copy(update={"models": ("a",), "reasks": 0}), FOUR, ask)
    assert len(ask.asked) == 1 and judged.judges[0].malformed == 4 and np.isnan(judged.scores).all()


@pytest.mark.parametrize(("reference", "context"), [(True, True), (False, True), (True, False)])
def test_the_judge_sees_what_it_shall(reference: bool, context: bool) -> None:
    panel = PASS_FAIL.model_copy(update={"models": ("a",), "with_reference": reference, "with_context": context})
    ask = Scripted(["pass"] * 4)
    judge_answers(panel, FOUR, ask)
    shown = [prompt[1]["content"] for prompt in ask.asked[0]]
    assert ["<<<REFERENCE 2 " in text for text in shown] == [False, reference, False, False]
    assert ["<<<REFERENCE " in text for text in shown] == [reference, reference, reference, False]
    assert ["The sky is blue." in text for text in shown] == [context, False, False, False]
    assert all(question in text for question, text in zip(FOUR.inputs, shown, strict=True))


def test_a_rubric_shows_its_points_and_scores_within_them() -> None:
    panel = JudgeConfig(
        kind="rubric",
        models=("a", "b"),
        instructions="Is it polite?",
        scale={1: "rude", 3: "neutral", 5: "kind"},
        consensus="mean",
    )
    ask = Scripted(["5", "4/5", "6", "1"], ["6"], ["4", "Score: 3", "2", "1"])
    judged = judge_answers(panel, FOUR, ask)
    assert judged.scores.tolist() == pytest.approx([4.5, 3.5, np.nan, 1], nan_ok=True)
    rules = ask.asked[0][0][0]["content"]
    assert "1: rude\n3: neutral\n5: kind" in rules and "Is it polite?" in rules


def test_a_lost_reply_is_an_error_and_no_shift_of_verdicts() -> None:
    with pytest.raises(InputError, match="a: 3 replies to 4 prompts"):
        judge_answers(PASS_FAIL, FOUR, Scripted(["pass"] * 3))


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(InputError, match="judge_pairs"):
        judge_answers(JudgeConfig(kind="pairwise", models=("a",), instructions="Which?"), FOUR, Scripted())
    with pytest.raises(InputError, match="no answer to judge"):
        judge_answers(PASS_FAIL, Answers([], []), Scripted())
