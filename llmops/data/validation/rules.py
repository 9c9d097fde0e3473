"""The catalogue of rules: how bad each finding is unless the configuration says otherwise, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Rule:
    """One rule: default severity, what to do about its findings, and how much a row loses in quality by it (0 to 1).

    A `fixed` rule is beyond policies: what it is about cannot be published, or has been decided already.
    """

    name: str
    severity: Severity
    advice: str
    weight: float
    fixed: bool = False


_CATALOGUE = (
    # Raised by reading.
    Rule("unreadable-row", "error", "Repair the line, or drop it with --on-error drop.", 1.0, fixed=True),
    Rule("not-text", "error", "Map a column of text, or turn the value into text.", 1.0, fixed=True),
    Rule("not-unicode", "error", "Save the file as UTF-8.", 1.0, fixed=True),
    Rule("chat-shape", "error", "Write messages as a list of objects with a role and a content.", 1.0, fixed=True),
    Rule("role-order", "error", "Let user and assistant alternate, and end with the assistant.", 1.0, fixed=True),
    # Of one row.
    Rule("empty-input", "error", "Fill the input in, or drop the row.", 1.0),
    Rule("empty-expected", "error", "Fill the expected text in, or drop the row.", 1.0),
    Rule("nul-character", "error", "Remove the NUL character: databases, C libraries and tokenizers cut there.", 1.0),
    Rule("control-character", "warning", "Remove the characters that nobody can see.", 0.3),
    Rule("encoding-damage", "warning", "Read the source again with its true encoding (usually UTF-8).", 0.5),
    Rule("boilerplate", "warning", "Drop what a model said about itself, and fill placeholders in.", 0.6),
    Rule("repetition", "warning", "Drop the row, or cut the loop: models learn to repeat themselves from it.", 0.7),
    Rule("too-many-tokens", "error", "Shorten or split the row: the target model cuts or refuses it.", 0.8),
    Rule("personal-data", "warning", "Mask it, or make sure that you may use it.", 0.3),
    Rule("secret", "warning", "Remove it, and withdraw the key or password: it must count as known.", 0.6),
    Rule("test-contamination", "warning", "Drop the row from training, or the test will flatter the model.", 0.6),
    Rule("no-time", "error", "Give the row a time to split by, or drop it.", 1.0, fixed=True),
    # Of a row in the light of all others.
    Rule("truncated-text", "warning", "Complete the text, or drop the row: models learn to stop halfway.", 0.5),
    Rule("label-conflict", "warning", "Decide on one label for this input.", 0.5),
    Rule("label-spelling", "warning", "Spell the label as the other rows do.", 0.5),
    Rule("length-outlier", "warning", "Look at the row: text was lost, or several were glued together.", 0.3),
    Rule("language-mix", "warning", "Translate or drop the row, or keep it if the mix is meant.", 0.2),
    # Of the dataset as a whole.
    Rule("empty-file", "warning", "Nothing, unless the file should have rows.", 0.0, fixed=True),
    Rule("too-few-examples", "error", "Collect more examples.", 0.0, fixed=True),
    Rule("few-groups", "warning", "Add rows of other groups, or group by another column.", 0.0, fixed=True),
    Rule("class-imbalance", "warning", "Collect examples of the rare classes, or weigh classes when scoring.", 0.0),
)

RULES: dict[str, Rule] = {rule.name: rule for rule in _CATALOGUE}
