"""Whether the right one of several lettered options was chosen."""

import re
from collections.abc import Mapping
from functools import cache, partial

from llmops.evaluation.metrics.answer_matching import normalized
from llmops.evaluation.metrics.definitions import ChoiceDefinition
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio


def chosen_letter(text: str, options: Mapping[str, str], letters: str = "ABCDE") -> str | None:
    """The letter of the option that a text chooses, None where it chooses none or several.

    In this order: what follows the last "answer is", "answer:", "option" or "choice"; a letter that the text begins
    with ("B", "(b)", "B. Paris") or ends with on a line of its own; the text of one option as the whole answer; the
    only letter in brackets; the only option whose text occurs.

    Args:
        text: what a model wrote, or a reference.
        options: the text of each option by its letter, as far as they are known.
        letters: the letters there can be.

    >>> [chosen_letter(text, {"A": "Rome", "B": "Paris"}) for text in ("(b)", "The answer is B.", "paris", "A cat")]
    ['B', 'B', 'B', None]
    """
    said, begins, ends, bracketed = _patterns(letters)
    for pattern in (said, begins, ends):
        if found := pattern.findall(text):
            return str(next(filter(None, found[-1])).upper())
    plain = normalized(text)
    texts = {letter: normalized(option) for letter, option in options.items()}
    whole = {letter for letter, option in texts.items() if option == plain}
    inside = {letter for letter, option in texts.items() if option and f" {option} " in f" {plain} "}
    for candidates in (whole, {letter.upper() for letter in bracketed.findall(text)}, inside):
        if len(candidates) == 1:
            return candidates.pop()
    return None


def options_in(question: str, letters: str = "ABCDE") -> dict[str, str]:
    r"""The options that a question lists on lines of their own: "A. …", "(A) …", "A) …", "A: …".

    >>> options_in("Capital of France?\nA. Rome\n(B) Paris\nAnswer:")
    {'A': 'Rome', 'B': 'Paris'}
    """
    line = rf"^[ \t]*(?:\(([{letters}])\)|([{letters}])[.):])[ \t]+(\S.*?)[ \t]*$"
    return {one or other: text for one, other, text in re.findall(line, question, re.MULTILINE)}


def choice_metric(name: str, definition: ChoiceDefinition) -> Metric:
    """Whether an answer chooses the option that a reference names, by its letter or its text.

    A reference that names no option is compared as text, after SQuAD's normalisation.
    """
    return Metric(name, name.replace("_", " "), "share", partial(_rows, definition), ratio, needs_references=True)


def _rows(definition: ChoiceDefinition, answers: Answers) -> FloatArray:
    letters = definition.letters
    questions = answers.inputs if len(answers.inputs) else [""] * len(answers)

    def is_right(output: str, references: list[str], options: dict[str, str]) -> bool:
        chosen = chosen_letter(output, options, letters)
        for reference in references:
            right = chosen_letter(reference, options, letters)
            if (right is not None and right == chosen) or (
                right is None and normalized(reference) == normalized(output)
            ):
                return True
        return False

    return mean_rows(
        is_right(output, list(references), options_in(question, letters))
        for output, references, question in zip(answers.outputs, answers.references, questions, strict=True)
    )


@cache
def _patterns(letters: str) -> tuple[re.Pattern[str], ...]:
    small = letters.lower()
    # Small letters only in brackets or alone: "the answer is a dog".
    letter = rf"(?:\(([{letters}{small}])\)|([{letters}])(?![\w'’-]))"
    mark = r"[\s*_\"“'`$\\]*"
    return (
        re.compile(rf"(?i:\b(?:answer|option|choice)(?:\s+is)?\b){mark}:?{mark}(?:(?i:option|choice)\s+)?{letter}"),
        re.compile(rf"\A{mark}(?:\(([{letters}{small}])\)|([{letters}{small}])(?={mark}\Z|{mark}[.):](?:\W|\Z)))"),
        re.compile(rf"\n{mark}(?:\(([{letters}{small}])\)|([{letters}])[.)]?){mark}\Z"),
        re.compile(rf"\(([{letters}{small}])\)"),
    )


CHOICE_METRICS = (choice_metric("choice_accuracy", ChoiceDefinition()),)
