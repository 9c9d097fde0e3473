"""Pairwise judges: which of two answers is better, the first shown or the second, or is it a tie?"""

import re
from typing import Any

from llmops.evaluation.judges.verdicts import Claim, VerdictForm, is_hedged, plain

FORM = '{"verdict": "first" or "second" or "tie"}'

TASK = """Two answers to the same question follow, FIRST ANSWER and SECOND ANSWER. Decide which is better:
first: the first answer is better
second: the second answer is better
tie: they are equally good
Which of them is shown first, and which is longer, says nothing about which is better."""

FIRST, TIE, SECOND = 1.0, 0.5, 0.0

_WORDS = {
    **dict.fromkeys(("first", "1", "a", "one"), FIRST),
    **dict.fromkeys(("second", "2", "b", "two"), SECOND),
}
_TIES = ("tie", "tied", "draw", "equal", "equally good", "both", "neither", "same")
_SIDE = (
    r"(?:(?:the\s+)?(?:answer|response)\s+(?P<{0}n>1|2|one|two|a|b)\b"
    r"|(?:the\s+)?(?P<{0}o>first|second)(?:\s+(?:answer|response|one))?\b)"
)
_BETTER = (
    r"(?:(?:much|far|slightly|clearly|the|\w+ly)\s+)*(?:better|best|superior|stronger|preferable|preferred|winner)"
)
_BUT_FOR_DETAILS = r"(?=\s*(?:$|[,:)]|than\b|because\b|since\b|overall\b|here\b|as\b))"
_STATED = re.compile(
    rf"{_SIDE.format('x')}\s+(?:(?:is|was)\s+(?:the\s+)?{_BETTER}(?:\s+(?:answer|one|response))?|wins){_BUT_FOR_DETAILS}"
    rf"(?:\s+than\s+(?:the\s+)?(?:first|second|other|answer\s+\w+)(?:\s+(?:answer|response|one))?)?"
    rf"|\b(?:prefer|choose|pick|favou?r|go\s+with)\s+{_SIDE.format('y')}"
    rf"|\b(?:better|best|stronger|preferred|winning)(?:\s+(?:answer|response|one))?\s+is\s+{_SIDE.format('z')}"
    rf"|(?P<tie>\b(?:it\s+is|it[’']s|this\s+is|call\s+it|is)\s+a\s+(?:tie|draw)\b|\b(?:both(?:\s+answers)?|they|the\s+(?:two\s+)?"
    rf"answers)\s+are\s+(?:\w+ly\s+)?(?:equally\s+good|equal|equivalent|tied)\b{_BUT_FOR_DETAILS})",
    re.IGNORECASE,
)


def read_side(value: Any) -> Claim | None:
    """The verdict a word stands for: 1 the first is better, 0.5 a tie, 0 the second is better.

    >>> read_side("First"), read_side("Answer 2"), read_side("[[B]]"), read_side("tie"), read_side("good")
    (1.0, 0.0, 0.0, 0.5, None)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    word = plain(value)
    if word in _TIES:
        return TIE
    side = re.sub(r"^(?:the )?(?:(?:answer|response) (?=\w+$))?|(?<=first|econd) (?:answer|response|one)$", "", word)
    return _WORDS.get(side)


def _statements(sentence: str) -> list[Claim | None]:
    matches = list(_STATED.finditer(sentence))
    if not matches:
        return []
    if is_hedged(_STATED.sub(" ", sentence)):
        return [None]
    return [_said(match) for match in matches]


def _said(match: re.Match[str]) -> Claim | None:
    if match["tie"]:
        return TIE
    side = next(match[name] for name in ("xn", "xo", "yn", "yo", "zn", "zo") if match[name])
    return _WORDS[side.casefold()]


PAIRWISE = VerdictForm(
    dict.fromkeys(("verdict", "winner", "better", "preference", "choice"), read_side), read_side, _statements
)
"""How a verdict of this kind is written, as the value of the answer that was shown first."""
