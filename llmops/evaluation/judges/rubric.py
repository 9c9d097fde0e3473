"""Rubric judges: a score on a scale whose points are described."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.judges.verdicts import AROUND, Claim, VerdictForm, is_hedged

FORM = '{"score": <number>}'

_WORDS = {
    word: n
    for n, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
}
_NUMBER = rf"(?P<score>-?\d+(?:\.\d+)?|{'|'.join(_WORDS)})"
_OF = r"(?:\s*\(?(?:/|out of|of)\s*(?P<highest>\d+)\)?)"
_SCORE = re.compile(rf"{_NUMBER}{_OF}?(?:\s*(?:points?|stars?))?")
_RATED = re.compile(
    rf"\b(?:give|rate|rated|score|scored|grade|award|assign|deserves?|earns?|merits?|gets?)\b(?:\s+(?:it|this|that|(?:the|"
    rf"this)\s+(?:answer|response|reply)))?(?:\s+with)?(?:\s+(?:an?|the))?(?:\s+(?:score|rating|grade)(?:\s+of)?)?\s+"
    rf"{_NUMBER}{_OF}?(?=\s*(?:$|[,:)]|because\b|since\b|as\b|for\b|overall\b|points?\b|stars?\b))",
    re.IGNORECASE,
)


def rubric_task(config: JudgeConfig) -> str:
    """The scale, in words for the judge."""
    scale = config.scale or {}
    points = "\n".join(f"{point}: {meaning}" for point, meaning in sorted(scale.items()))
    low, high = config.bounds
    return f"Give the answer a score from {low} to {high}:\n{points}"


def rubric_form(config: JudgeConfig) -> VerdictForm:
    """How a score on this scale is written."""
    return _form(*config.bounds)


@cache
def _form(low: int, high: int) -> VerdictForm:
    def read(value: Any) -> Claim | None:
        return read_score(value, low, high)

    def statements(sentence: str) -> list[Claim | None]:
        matches = list(_RATED.finditer(sentence))
        if not matches:
            return []
        if is_hedged(_RATED.sub(" ", sentence)):
            return [None]
        return [_on_scale(match.groupdict(), low, high) for match in matches]

    return VerdictForm({"score": read, "rating": read, "grade": read}, read, statements)


def read_score(value: Any, low: int, high: int) -> float | None:
    """A number, or a text that is one; None where it is none or lies outside the scale.

    A score "of" something counts only where that is the highest of the scale: 8/10 is not moved to another scale.

    >>> read_score(4, 1, 5), read_score("4 out of 5", 1, 5), read_score("Four", 1, 5), read_score("4.5/5", 1, 5)
    (4.0, 4.0, 4.0, 4.5)
    >>> read_score("8/10", 1, 5), read_score(7, 1, 5), read_score("3-4", 1, 5), read_score(True, 0, 1)
    (None, None, None, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if low <= value <= high else None
    if not isinstance(value, str):
        return None
    match = _SCORE.fullmatch(value.casefold().rstrip(AROUND).lstrip(AROUND.replace(".", "")))  # .5 is not 5
    return None if match is None else _on_scale(match.groupdict(), low, high)


def _on_scale(found: Mapping[str, str | None], low: int, high: int) -> float | None:
    if found["highest"] is not None and int(found["highest"]) != high:
        return None
    written = str(found["score"]).casefold()
    score = float(_WORDS[written]) if written in _WORDS else float(written)
    return score if low <= score <= high else None
