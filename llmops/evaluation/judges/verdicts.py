"""Read the verdict out of what a judge wrote, or find that there is none.

A judge is asked for reasoning and one JSON object. What comes back is read in this order, and the first that is there
decides:

1. **An object** with the key that was asked for (or else a synonym of it), as JSON or nearly so: in a code fence, with
   text around it, single quotes, trailing commas, unescaped quotes, another case. Of several the last counts, because
   reasoning comes first. An object that breaks off inside its value has none.
2. **A label** at the start of a line: ``Score: 4/5``, ``**Final verdict:** pass``. All labels must agree.
3. **The whole reply**, where it is a value and nothing else: ``4``, ``PASS``, ``The second.``
4. **Statements** in prose: "I would say it passes". All must agree, and a sentence that hedges, negates or sets a
   condition ("it would pass if …", "I do not think it passes") makes the reply ambiguous.

Ambiguous is no verdict: nothing is guessed, nothing falls through from an unreadable value to a weaker reading, and no
value is moved onto the scale. Thinking that a model shows between ``<think>`` tags is not part of its reply.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

CANNOT_TELL: Final = "cannot tell"
Claim = float | Literal["cannot tell"]
"""What a judge said: a value, or that it cannot tell."""

LONGEST = 20_000
"""Characters that are read, from the end: a verdict comes last."""
MOST_BRACES = 100
"""Places where an object may begin that are tried, the last ones: a model caught in a loop opens thousands."""

_DECODER = json.JSONDecoder(strict=False)
_REASONS = ("reasoning", "reason", "explanation", "rationale")
_VALUE_ENDS = re.compile(r"\.(?!\d)|,(?!\d)|[;!\n]|\((?!\s*(?:out )?of)|\s[-–—]\s|\bbecause\b|\bsince\b")
_HEDGES = re.compile(
    r"\b(?:if|unless|whether|might|may|could|maybe|perhaps|possibly|probably|almost|nearly|either|or|but|although|"
    r"though|however|partially|partly|should|ought|until|between|except|not|never|no|neither|nor|hardly|barely|doubt|"
    r"cannot|disagree)\b|n[’']t\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verdict:
    """What was read.

    claim: None where the reply has no verdict that can be read. reason: what was written before it.
    """

    claim: Claim | None
    reason: str

    @property
    def value(self) -> float | None:
        """The vote; None for `cannot tell` too."""
        return None if isinstance(self.claim, str) else self.claim


@dataclass(frozen=True)
class VerdictForm:
    """What a verdict of one kind of judge looks like.

    fields: the keys of the object, the one asked for first, each with what reads its value (None: not one). read:
    a value that stands alone. statements: for one sentence the claims in it, each None where it says something that
    is no clear verdict.
    """

    fields: Mapping[str, Callable[[Any], Claim | None]]
    read: Callable[[Any], Claim | None]
    statements: Callable[[str], list[Claim | None]]

    @cached_property
    def _names(self) -> str:
        return "|".join(re.escape(name).replace(r"\ ", "[ _-]") for name in self.fields)

    @cached_property
    def loose(self) -> re.Pattern[str]:
        """A field of an object that is not JSON: closed quotes, a bare value that something follows, or one cut off."""
        quote = "[\"'“”‘’`]"
        return re.compile(
            rf"(?:[{{,]\s*{quote}?|{quote})(?:(?:final|overall)[ _-])?(?P<key>{self._names}){quote}?\s*:\s*"
            rf"(?:\"(?P<double>[^\"\n]*)\"\s*(?=[,}}\n]|\Z)|'(?P<single>[^'\n]*)'\s*(?=[,}}\n]|\Z)"
            rf"|(?P<bare>[^,}}\n]*)(?=[,}}\n])|(?P<cut>[^,}}\n]*)\Z)",
            re.IGNORECASE,
        )

    @cached_property
    def label(self) -> re.Pattern[str]:
        """A line that starts with the name of the value."""
        return re.compile(
            rf"^[ \t>*#_\"'“`-]*(?:(?:final|overall|my|the)[ _]+)*(?P<key>{self._names})"
            rf"(?:[ \t]*\([^)\n]*\))?[*_\"'”` \t]*(?:[:=]|\b(?P<is>is)\b:?)[*_ \t]*(?P<value>[^\n]*)$",
            re.IGNORECASE | re.MULTILINE,
        )


def read_verdict(reply: str, form: VerdictForm) -> Verdict:
    """The verdict of a reply; its claim is None where there is none that is clear."""
    said = _after_thinking(reply[-LONGEST:])
    found = _last_object(said, form)
    if found is not None:
        return found
    labels = [(_labelled(match, form), match["is"]) for match in form.label.finditer(said)]
    claims = [claim for claim, in_a_sentence in labels if claim is not None or not in_a_sentence]
    if claims:
        return Verdict(the_only(claims), said.strip())
    alone = form.read(said)
    if alone is not None:
        return Verdict(alone, "")
    return Verdict(the_only(_stated(said, form)), said.strip())


def the_only(claims: Iterable[Claim | None]) -> Claim | None:
    """What all claims say; None where they differ, or one is unclear, or there is none.

    >>> the_only([1.0, 1.0]), the_only([1.0, 0.0]), the_only([1.0, None])
    (1.0, None, None)
    """
    different = set(claims)
    return different.pop() if len(different) == 1 else None


AROUND: Final = " \t\r\n\"'“”‘’`*_.!()[]"
"""What may stand around a value without changing it."""


def plain(value: object) -> str:
    """A word as it is compared: lower case, without quotes, emphasis, brackets and full stop.

    >>> plain('"**PASS**."'), plain("Cannot_Tell")
    ('pass', 'cannot tell')
    """
    return re.sub(r"[\s_-]+", " ", value.casefold().strip(AROUND)) if isinstance(value, str) else ""


def _after_thinking(reply: str) -> str:
    before, closing, after = reply.rpartition("</think>")
    if closing:
        return after
    return "" if "<think>" in after else before + after


def _last_object(said: str, form: VerdictForm) -> Verdict | None:
    """The verdict of the last object that has the key, None where no object has it."""
    braces = [match.start() for match in re.finditer(r"\{", said)][-MOST_BRACES:]
    if not braces:
        return None
    start = braces[0]
    last: tuple[int, Claim | None, str] | None = None
    spans = []
    place = start
    while place >= 0:
        try:
            parsed, end = _DECODER.raw_decode(said, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            spans.append((place, end))
            fields = _fields_with_key(parsed, form)
            if fields is not None:
                last = (place, _claim(fields, form), _reason(fields) or said[:place].strip())
        place = said.find("{", end)
    for match in form.loose.finditer(said, start):
        inside = any(low < match.start() < high for low, high in spans)
        if not inside and (last is None or match.start() > last[0]):
            last = (match.start(), _loose_claim(match, form), said[: match.start()].strip(" \t\n{,"))
    return None if last is None else Verdict(last[1], last[2])


def _key(name: str) -> str:
    return re.sub(r"^(?:final|overall) ", "", plain(name))


def _fields_with_key(parsed: Any, form: VerdictForm) -> list[tuple[str, Any]] | None:
    """The fields of the object, or of the one object inside it, that has a key of the form."""
    if not isinstance(parsed, dict):
        return None
    fields = [(_key(name), value) for name, value in parsed.items()]
    if any(name in form.fields for name, _ in fields):
        return fields
    inner = [found for found in (_fields_with_key(value, form) for value in parsed.values()) if found is not None]
    return inner[-1] if inner else None


def _claim(fields: list[tuple[str, Any]], form: VerdictForm) -> Claim | None:
    for name, read in form.fields.items():
        values = [value for key, value in fields if key == name]
        if values:
            return the_only(read(value) for value in values)
    return None


def _reason(fields: list[tuple[str, Any]]) -> str:
    return next((value for key, value in fields if key in _REASONS and isinstance(value, str)), "")


def _loose_claim(match: re.Match[str], form: VerdictForm) -> Claim | None:
    if match["cut"] is not None:
        return None
    value = next(match[name] for name in ("double", "single", "bare") if match[name] is not None)
    return _read_text(form.fields[plain(match["key"])], value)


def _read_text(read: Callable[[Any], Claim | None], value: str) -> Claim | None:
    literal = {"true": True, "false": False}.get(plain(value))
    return read(value if literal is None else literal)


def _labelled(match: re.Match[str], form: VerdictForm) -> Claim | None:
    value = re.sub(r"[*`]", "", match["value"]).strip()
    read = form.fields[plain(match["key"])]
    claim = _read_text(read, value)
    if claim is None:
        claim = _read_text(read, _VALUE_ENDS.split(value, maxsplit=1)[0])
    return the_only(_stated(value, form)) if claim is None else claim


def _stated(said: str, form: VerdictForm) -> list[Claim | None]:
    claims: list[Claim | None] = []
    for sentence in re.split(r"(?:[.!?](?=\s|$)|[\n;])+", said):
        found = form.statements(sentence)
        claims += found
    return claims


def is_hedged(words: str) -> bool:
    """Whether a sentence, its claims taken out, makes them uncertain, negates them or sets a condition."""
    return _HEDGES.search(words) is not None
