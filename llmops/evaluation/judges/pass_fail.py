"""Pass/fail judges: does the answer meet the criteria, does it not, or can the judge not tell?

`cannot tell` is a verdict of its own. It is no vote, neither a pass nor a fail, and it is not malformed either.
"""

import re
from typing import Any

from llmops.evaluation.judges.verdicts import CANNOT_TELL, Claim, VerdictForm, is_hedged, plain

FORM = '{"verdict": "pass" or "fail" or "cannot tell"}'

TASK = """Decide whether the answer meets the criteria:
pass: it meets all of them
fail: it does not
cannot tell: what you are shown does not allow to decide; do not guess"""

_WORDS: dict[str, Claim] = {
    **dict.fromkeys(("pass", "passes", "passed"), 1.0),
    **dict.fromkeys(("fail", "fails", "failed", "failure", "does not pass", "not pass", "not passed"), 0.0),
    **dict.fromkeys(
        ("cannot tell", "can't tell", "can’t tell", "can not tell", "cannot decide", "undecided"), CANNOT_TELL
    ),
    **dict.fromkeys(("cannot determine", "unknown", "unclear", "unsure", "not sure", "undetermined"), CANNOT_TELL),
}
_THE_ANSWER = r"\b(?:it|this|(?:(?:the|this|that)\s+)?(?:answer|response|reply|output))"
_VERB = r"(?P<{0}>pass(?:es|ed)?|fails?|failed)\b(?!\s+(?:to|by|over|on)\b)"
_STATED = re.compile(
    rf"{_THE_ANSWER}(?:\s+\w+ly)?\s+(?P<not>(?:(?:does|do|did|would|will)(?:\s+not|n[’']t)|cannot|never)\s+)?(?:(?:does|"
    rf"would|will|has)\s+)?(?:\w+ly\s+)?{_VERB.format('verb')}"
    rf"|\b(?:is|gets|deserves|earns|call\s+(?:it|this)|(?:rate|judge|mark|grade)\s+(?:it|this)\s+as|give\s+(?:it|this)|"
    rf"verdict\s+of|i\s+say|would\s+say)\s+(?P<no>not\s+)?(?:an?\s+)?(?:clear\s+|definite\s+)?(?P<noun>pass|fail)\b"
    rf"(?!\s+(?:to|by|over|on)\b)",
    re.IGNORECASE,
)
_UNDECIDED = re.compile(
    r"\b(?:cannot|can\s+not|can[’']t|unable\s+to|impossible\s+to)\s+(?:tell|decide|determine)\b", re.IGNORECASE
)


def read_word(value: Any) -> Claim | None:
    """The verdict a word stands for; None for any other word, for yes and no (to what?) and for numbers.

    >>> read_word("PASS"), read_word("failed."), read_word("cannot_tell"), read_word("yes"), read_word(1)
    (1.0, 0.0, 'cannot tell', None, None)
    """
    return _WORDS.get(plain(value))


def _read_flag(value: Any) -> Claim | None:
    """What stands under a key such as ``passed``: true or false."""
    return float(value) if isinstance(value, bool) else None


def _statements(sentence: str) -> list[Claim | None]:
    matches = list(_STATED.finditer(sentence))
    undecided = _UNDECIDED.search(sentence) is not None
    if undecided:
        return [None if any(not is_hedged(sentence[: match.start()]) for match in matches) else CANNOT_TELL]
    if not matches:
        return []
    if is_hedged(_STATED.sub(" ", sentence)):
        return [None]
    return [_said(match) for match in matches]


def _said(match: re.Match[str]) -> Claim | None:
    passes = (match["verb"] or match["noun"]).casefold().startswith("pass")
    if match["not"] or match["no"]:
        return 0.0 if passes else None  # "does not fail" may be "cannot tell"
    return float(passes)


PASS_FAIL = VerdictForm(
    {"verdict": read_word, "result": read_word, "pass": _read_flag, "passed": _read_flag, "passes": _read_flag},
    read_word,
    _statements,
)
"""How a verdict of this kind is written: 1 a pass, 0 a fail."""
