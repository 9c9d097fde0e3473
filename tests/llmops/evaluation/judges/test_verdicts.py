"""What is a verdict and what is none. Each case says why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.pairwise import PAIRWISE
from llmops.evaluation.judges.pass_fail import PASS_FAIL
from llmops.evaluation.judges.rubric import rubric_form
from llmops.evaluation.judges.verdicts import CANNOT_TELL, LONGEST, VerdictForm, read_verdict

RUBRIC = rubric_form(JudgeConfig(kind="rubric", models=("a",), instructions="Good?", scale={1: "no", 5: "yes"}))

# Replies that are not the one JSON object that was asked for, and still say clearly what the verdict is.
READABLE = {
    "code fence": (PASS_FAIL, 'It is right.\n```json\n{"verdict": "pass"}\n```', 1.0),
    "text before and after": (PASS_FAIL, 'Sure! {"verdict": "fail"} I hope this helps.', 0.0),
    "single quotes": (PASS_FAIL, "{'reasoning': 'It isn\\'t', 'verdict': 'fail'}", 0.0),
    "trailing comma": (PASS_FAIL, '{"reasoning": "fine", "verdict": "pass",}', 1.0),
    "no quotes at all": (PASS_FAIL, "{verdict: pass}", 1.0),
    "unescaped quotes": (PASS_FAIL, '{"reasoning": "It says "yes", as it must", "verdict": "pass"}', 1.0),
    "line break inside a text": (PASS_FAIL, '{"reasoning": "one\ntwo", "verdict": "pass"}', 1.0),
    "braces in the reasoning": (PASS_FAIL, 'The set {1, 2} is right. {"verdict": "pass"}', 1.0),
    "upper case": (PASS_FAIL, '{"VERDICT": "PASS"}', 1.0),
    "unknown keys": (PASS_FAIL, '{"confidence": 0.3, "verdict": "pass", "score": 9}', 1.0),
    "nested object": (PASS_FAIL, '{"evaluation": {"verdict": "fail"}}', 0.0),
    "list of one": (PASS_FAIL, '[{"verdict": "fail"}]', 0.0),
    "several objects": (PASS_FAIL, 'First {"verdict": "fail"}; on reflection {"verdict": "pass"}', 1.0),
    "truth value": (PASS_FAIL, '{"passed": false}', 0.0),
    "Python's truth value": (PASS_FAIL, "{'passed': True}", 1.0),
    "after thinking": (PASS_FAIL, '<think>{"verdict": "fail"}? No.</think>{"verdict": "pass"}', 1.0),
    "cut off after the value": (PASS_FAIL, '{"verdict": "pass"', 1.0),
    "label": (PASS_FAIL, "It is right.\nVerdict: pass", 1.0),
    "label in bold": (PASS_FAIL, "**Final verdict:** PASS. It is right.", 1.0),
    "heading": (PASS_FAIL, "### Verdict: fail\nIt is wrong.", 0.0),
    "one word": (PASS_FAIL, "Pass.", 1.0),
    "prose": (PASS_FAIL, "I would say it passes.", 1.0),
    "prose that fails it": (PASS_FAIL, "It names the wrong year. The answer does not pass.", 0.0),
    "prose, twice the same": (PASS_FAIL, "The answer fails. So this is a fail!", 0.0),
    "cannot tell": (PASS_FAIL, '{"verdict": "cannot_tell"}', CANNOT_TELL),
    "cannot tell in prose": (PASS_FAIL, "Without a source I cannot tell whether it passes.", CANNOT_TELL),
    "number as text": (RUBRIC, '{"score": "4"}', 4.0),
    "number as word": (RUBRIC, '{"score": "Four"}', 4.0),
    "fraction": (RUBRIC, '{"score": "4/5"}', 4.0),
    "fraction without quotes": (RUBRIC, '{"score": 4/5}', 4.0),
    "out of": (RUBRIC, '{"score": "4 out of 5"}', 4.0),
    "label and number": (RUBRIC, "Good in all.\nScore: 4", 4.0),
    "label, number and reason": (RUBRIC, "Score: 4 - it misses the date, 3 May", 4.0),
    "label with the scale": (RUBRIC, "Score (1-5): **4** out of 5", 4.0),
    "between two points": (RUBRIC, '{"score": 3.5}', 3.5),
    "only a number": (RUBRIC, "4", 4.0),
    "only a fraction": (RUBRIC, "4/5", 4.0),
    "label in a sentence": (RUBRIC, "The score is 4.\nThe score is based on 3 criteria.", 4.0),
    "typographic quotes": (PASS_FAIL, "“Verdict”: “pass”", 1.0),
    "score in prose": (RUBRIC, "I would give it a 4 out of 5.", 4.0),
    "score of": (RUBRIC, "The answer deserves a score of two because it is short.", 2.0),
    "side as a number": (PAIRWISE, '{"verdict": 2}', 0.0),
    "side as a phrase": (PAIRWISE, '{"verdict": "The first answer"}', 1.0),
    "side in brackets": (PAIRWISE, "[[A]]", 1.0),
    "winner": (PAIRWISE, '{"winner": "second"}', 0.0),
    "side in prose": (PAIRWISE, "The second answer is clearly better than the first.", 0.0),
    "preference": (PAIRWISE, "Overall I prefer answer 1.", 1.0),
    "tie in prose": (PAIRWISE, "Both answers are equally good.", 0.5),
}

# Replies that have no verdict: reading one would be a guess.
UNREADABLE = {
    "nothing": (PASS_FAIL, ""),
    "refusal": (PASS_FAIL, "I'm sorry, I can't help with that."),
    "null": (PASS_FAIL, '{"verdict": null}'),
    "empty object": (PASS_FAIL, "{}"),
    "the template again": (PASS_FAIL, '{"verdict": "pass" or "fail" or "cannot tell"}'),
    "another word": (PASS_FAIL, '{"verdict": "mostly pass"}'),
    "yes to what": (PASS_FAIL, '{"verdict": "yes"}'),
    "number for a word": (PASS_FAIL, '{"verdict": 1}'),
    "last object unreadable": (PASS_FAIL, '{"verdict": "pass"} no, {"verdict": "?"}'),
    "same key twice": (PASS_FAIL, '{"verdict": "pass", "Verdict": "fail"}'),
    "list of both": (PASS_FAIL, '{"verdict": ["pass", "fail"]}'),
    "last object cut off": (RUBRIC, '{"score": 3}\n{"score": 5'),
    "cut off inside the value": (PASS_FAIL, '{"reasoning": "It is right", "verdict": "pa'),
    "cut off before the value": (PASS_FAIL, '{"reasoning": "I would say it passes", "verdict":'),
    "still thinking": (PASS_FAIL, "<think>I would say it passes."),
    "labels that differ": (PASS_FAIL, "Verdict: pass\nFinal verdict: fail"),
    "condition": (PASS_FAIL, "It would pass if the date were right. The answer passes."),
    "hedge": (PASS_FAIL, "It might be that it passes."),
    "negated thought": (PASS_FAIL, "I do not think it passes."),
    "double negation": (PASS_FAIL, "It does not fail."),
    "both": (PASS_FAIL, "The answer passes. The answer fails."),
    "either": (PASS_FAIL, "I would say it passes or fails."),
    "failing to do something": (PASS_FAIL, "The answer fails to mention the date."),
    "passing something": (PASS_FAIL, "In the text, it passes to the left."),
    "above the scale": (RUBRIC, '{"score": 7}'),
    "below the scale": (RUBRIC, '{"score": 0}'),
    "another scale": (RUBRIC, '{"score": "8/10"}'),
    "low on another scale": (RUBRIC, '{"score": "4 out of 10"}'),
    "low on another scale, label": (RUBRIC, "Score: 4 (out of 10)"),
    "range": (RUBRIC, '{"score": "3-4"}'),
    "alternative": (RUBRIC, "Score: 3 or 4"),
    "percentage": (RUBRIC, '{"score": "4%"}'),
    "truth value for a score": (RUBRIC, '{"score": true}'),
    "decimal comma": (RUBRIC, "Score: 4,5"),
    "no leading digit": (RUBRIC, '{"score": ".5"}'),
    "cut off number": (RUBRIC, '{"score": 4'),
    "not a number": (RUBRIC, '{"score": NaN}'),
    "a huge number": (RUBRIC, '{"score": 1' + "0" * 5000 + "}"),
    "two scores": (RUBRIC, "Score: 2\nScore: 4"),
    "fraction that is no score": (RUBRIC, "The right answer is 4/5."),
    "count that is no score": (RUBRIC, "It gets 4 out of 5 facts right."),
    "between": (RUBRIC, "I would rate it between 3 and 4."),
    "better in part": (PAIRWISE, "The first answer is better written."),
    "not better": (PAIRWISE, "I would not say the first answer is better."),
    "one each": (PAIRWISE, "The first answer is better, but I prefer the second."),
    "neither word": (PAIRWISE, '{"verdict": "good"}'),
    "brackets without end": (PASS_FAIL, "[" * 5000 + '{"a":' * 3000),
}


@pytest.mark.parametrize("kind", READABLE)
def test_a_clear_verdict_is_read_whatever_it_is_wrapped_in(kind: str) -> None:
    form, reply, claim = READABLE[kind]
    assert read_verdict(reply, form).claim == claim


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unclear_verdict_is_none(kind: str) -> None:
    form, reply = UNREADABLE[kind]
    assert read_verdict(reply, form).claim is None


def test_cannot_tell_is_a_verdict_without_a_value() -> None:
    assert read_verdict('{"verdict": "cannot tell"}', PASS_FAIL).value is None


def test_the_reason_is_what_stands_before_the_verdict_or_in_it() -> None:
    assert read_verdict('Too short.\n{"score": 2}', RUBRIC).reason == "Too short."
    assert read_verdict('{"reasoning": "Too short.", "score": 2}', RUBRIC).reason == "Too short."


def test_of_a_very_long_reply_the_end_counts() -> None:
    assert read_verdict('{"score": 1}' + "x" * LONGEST + '{"score": 5}', RUBRIC).value == 5.0


@given(st.text(max_size=200), st.sampled_from([PASS_FAIL, RUBRIC, PAIRWISE]))
def test_no_text_breaks_the_reader(reply: str, form: VerdictForm) -> None:
    value = read_verdict(reply, form).value
    assert value is None or 0 <= value <= 5


@given(st.text(max_size=80), st.text(max_size=80), st.integers(1, 5), st.sampled_from([None, 2]))
def test_an_object_at_the_end_counts_whatever_was_written_before(
    before: str, reason: str, score: int, indent: int | None
) -> None:
    reply = before.replace("<think>", "") + json.dumps({"reasoning": reason, "score": score}, indent=indent)
    assert read_verdict(reply, RUBRIC).value == score
