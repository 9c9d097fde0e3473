r"""Whether an answer's number is the right one: for arithmetic and word problems such as GSM8K (Cobbe et al. 2021).

Where an answer says which number it means ("#### 18", "\boxed{18}", "the answer is 18"), that number counts, else
the last one in the text. Numbers are read as English writes them: 1,234.50, $57.00, -3, 5 %, 3/4, 1.5e-3; a percent
sign is a unit, not a division by a hundred.
"""

import re
from decimal import Context, Decimal, DecimalException

from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio

RELATIVE_TOLERANCE = Decimal("1e-9")

_EXACT = Context(prec=50)
_DIGITS = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w)\]}}.])-(?=[$€£\d.]))?    # the minus of -7, not that of 16-7, GPT-4 or a bullet
    (?:[$€£]\s?(?P<sign_after_currency>-)?)?
    (?P<number>{_DIGITS})
    (?:[eE](?P<exponent>[-+]?\d{{1,3}})(?!\w)|\s?[*×]\s?10\^\{{?(?P<power>-?\d{{1,3}})\}}?)?
    (?:\s?/\s?[$€£]?(?P<divisor>{_DIGITS}))?
    """,
    re.VERBOSE,
)
_SAID = (
    # "#### 18", but not the headings "#### Step 2" and "#### 2. Add both".
    re.compile(r"####\s*(?!\d+[.)]\s+\S)(?=[-$€£\d.])([^\n]*)"),
    re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}"),
    re.compile(r"\banswer(?:\s+is\b|\s*:)[\s:*]*(?=([^\n]*))", re.IGNORECASE),
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_TYPOGRAPHY = str.maketrans({"−": "-", "–": "-", "\u00a0": " ", "\u202f": " "})
_LAST_AS_TEXT = re.compile(r"-?[0-9][0-9.,]*")


def answer_number(text: str) -> Decimal | None:
    r"""The number that a text gives as its answer, None where it has none.

    >>> [str(answer_number(text)) for text in ("16 - 7 = 9, so $1,057.00.", r"so \\boxed{\\frac{3}{4}} of 5", "none")]
    ['1057.00', '0.75', 'None']
    """
    plain = text.translate(_TYPOGRAPHY).replace("{,}", ",").replace(r"\times", "×")
    plain = _LATEX_FRACTION.sub(r"\1/\2", plain)
    for marker in _SAID:
        for said in reversed(marker.findall(plain)):
            # "The answer is 16 - 7 = 9 eggs, or 1 box": what stands behind the equals sign, else what comes first.
            numbers = _numbers(said.rpartition("=")[2]) or _numbers(said)
            if numbers:
                return numbers[0]
    numbers = _numbers(plain)
    return numbers[-1] if numbers else None


def last_number_text(text: str) -> str | None:
    """The characters of the last number in a text, without separators and the full stop behind it.

    >>> last_number_text("It costs $1,057.00."), last_number_text("9 dollars")
    ('1057.00', '9')
    """
    found = _LAST_AS_TEXT.findall(text)
    return found[-1].replace(",", "").rstrip(".") if found else None


def _numbers(text: str) -> list[Decimal]:
    return [number for match in _NUMBER.finditer(text) if (number := _value(match)) is not None]


def _value(match: re.Match[str]) -> Decimal | None:
    part = match.groupdict()
    try:
        number = Decimal(part["number"].replace(",", ""))
        if exponent := part["exponent"] or part["power"]:
            number = number.scaleb(int(exponent), _EXACT)
        if part["divisor"]:
            number = _EXACT.divide(number, Decimal(part["divisor"].replace(",", "")))
    except DecimalException:
        return None
    return -number if part["sign"] or part["sign_after_currency"] else number


def _equal(one: Decimal, other: Decimal) -> bool:
    return abs(_EXACT.subtract(one, other)) <= RELATIVE_TOLERANCE * max(abs(one), abs(other))


def _numeric(output: str, references: list[str]) -> bool | None:
    right = [number for reference in references if (number := answer_number(reference)) is not None]
    if not right:
        return None
    given = answer_number(output)
    return given is not None and any(_equal(given, number) for number in right)


def _strict(output: str, references: list[str]) -> bool | None:
    right = {number for reference in references if (number := last_number_text(reference)) is not None}
    return last_number_text(output) in right if right else None


def _numeric_rows(answers: Answers) -> FloatArray:
    return mean_rows(map(_numeric, answers.outputs, map(list, answers.references)))


def _strict_rows(answers: Answers) -> FloatArray:
    return mean_rows(map(_strict, answers.outputs, map(list, answers.references)))


NUMBER_METRICS = (
    Metric("numeric_match", "numeric match", "share", _numeric_rows, ratio, needs_references=True),
    Metric("strict_number_match", "strict number match", "share", _strict_rows, ratio, needs_references=True),
)
"""numeric_match compares values, with a relative tolerance of 1e-9. strict_number_match compares the characters of the
last number, as the flags published with RouteLLM's GSM8K answers do: "57.00" is not "57". An answer is not measured
where no reference holds a number."""
