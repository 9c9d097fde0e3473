"""Validation: which rules apply, how bad their findings are, and the three places where rules look.

`row_hits` sees one batch, `row_facts` keeps of each row the few numbers that the rules over the whole dataset
need, and `dataset_hits` and `dataset_findings` are those rules. The rules themselves have a file a family.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmops.data.duplicates.deduplication import question_keys
from llmops.data.findings import Finding, Hits
from llmops.data.token_counts import token_counts
from llmops.data.validation.boilerplate import boilerplate_hits
from llmops.data.validation.class_labels import (
    class_counts,
    imbalance,
    label_column,
    label_conflict_hits,
    label_spelling_hits,
)
from llmops.data.validation.contamination import SHARE
from llmops.data.validation.control_characters import control_character_hits
from llmops.data.validation.credentials import secret_hits
from llmops.data.validation.encoding_damage import encoding_damage_hits
from llmops.data.validation.language_mix import LANGUAGES, language_mix_hits, languages
from llmops.data.validation.length_outliers import length_outlier_hits
from llmops.data.validation.personal_data import personal_data_hits
from llmops.data.validation.repetition import repetition_hits
from llmops.data.validation.rules import RULES, Severity
from llmops.data.validation.scanned_text import TEXTS, scanned_text
from llmops.data.validation.truncated_text import endings, last_line_markers, truncated_text_hits

MINIMUM_EXAMPLES = 10


class RulePolicy(BaseModel):
    """What follows from the findings of one rule.

    Attributes:
        action: ``off`` reports nothing, ``warn`` reports, ``refuse`` makes every finding an error.
        refuse_above: share of all rows (0 to 1) above which findings are errors even where they would be warnings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["off", "warn", "refuse"] = "warn"
    refuse_above: Annotated[float, Field(ge=0, le=1)] | None = None


class ValidationConfig(BaseModel):
    """How samples are validated; a rule without a policy of its own has the severity of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: Mapping[str, RulePolicy] = Field(default={}, description="Policies by rule name: action and refuse_above.")
    max_tokens: int | None = Field(
        default=None, gt=0, description="The most tokens that the target model takes for a whole sample."
    )
    tokenizer: str | None = Field(
        default=None, description="Folder or file of the target model's tokenizer; without it tokens are estimated."
    )
    contamination: tuple[str, ...] = Field(
        default=(), description="Published datasets or files whose samples must not occur in this one."
    )
    contamination_share: float = Field(
        default=SHARE, gt=0, le=1, description="Overlap from which a row of 20 words or more counts as a test sample."
    )

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: Mapping[str, RulePolicy]) -> Mapping[str, RulePolicy]:
        unknown = sorted(set(rules) - set(RULES))
        if unknown:
            raise ValueError(f"no such rule: {', '.join(unknown)}; there are {', '.join(sorted(RULES))}")
        if fixed := sorted(name for name in rules if RULES[name].fixed):
            raise ValueError(f"no policy changes {', '.join(fixed)}; take it out")
        return rules


def severity_of(rule: str, rows: int, total: int, config: ValidationConfig) -> Severity | None:
    """How bad the findings of a rule are that hit `rows` of `total` rows; None where it is off.

    >>> config = ValidationConfig(rules={"secret": RulePolicy(action="warn", refuse_above=0.01)})
    >>> severity_of("secret", 1, 100, config), severity_of("secret", 2, 100, config)
    ('warning', 'error')
    """
    policy = config.rules.get(rule)
    if policy is None:
        return RULES[rule].severity if rule in RULES else "error"
    if policy.action == "off":
        return None
    if policy.action == "refuse":
        return "error"
    return "error" if policy.refuse_above is not None and rows > policy.refuse_above * total else "warning"


def row_hits(batch: pa.Table, config: ValidationConfig) -> list[Hits]:
    """What the rules over single rows find in a batch; row numbers count from its first."""
    if not len(batch):
        return []
    texts = scanned_text(batch)
    hits = [
        *_empty_hits(batch),
        *control_character_hits(batch, texts),
        *encoding_damage_hits(batch, texts),
        *boilerplate_hits(batch),
        *repetition_hits(batch),
        *personal_data_hits(batch, texts),
        *secret_hits(batch, texts),
        *_token_hits(batch, config),
    ]
    return [one for one in hits if not _is_off(one.rule, config)]


def row_facts(batch: pa.Table, keys: np.ndarray | None = None) -> pa.Table:
    """What the rules over the whole dataset need to know of each row, in at most 64 bytes.

    Args:
        batch: samples.
        keys: `question_keys` of the batch, where they are known already.
    """
    columns: dict[str, pa.Array | pa.ChunkedArray | np.ndarray] = {
        "question_key": question_keys(batch) if keys is None else keys,
        "label": label_column(batch["expected"]),
    }
    for name in ("input", "expected"):
        columns[f"{name}_length"] = pc.binary_length(batch[name])
        columns[f"{name}_ending"] = endings(batch[name])
        columns[f"{name}_marker"] = last_line_markers(batch[name])
        columns[f"{name}_language"] = languages(batch[name])
    return pa.table(columns)


def dataset_hits(facts: pa.Table, config: ValidationConfig) -> list[Hits]:
    """What the rules over the whole dataset find; row numbers count from its first row."""
    counts = class_counts(facts["label"])
    hits: list[Hits] = []
    for name in ("input",) if counts else ("input", "expected"):
        hits += truncated_text_hits(name, facts[f"{name}_ending"].to_numpy(), facts[f"{name}_marker"].to_numpy())
        hits += length_outlier_hits(name, facts[f"{name}_length"].to_numpy())
        hits += language_mix_hits(name, facts[f"{name}_language"].to_numpy())
    if counts:
        hits += label_conflict_hits(facts["question_key"].to_numpy(), facts["label"])
        hits += label_spelling_hits(facts["label"], counts)
    return [one for one in hits if not _is_off(one.rule, config)]


def dataset_findings(facts: pa.Table, config: ValidationConfig, file: str) -> list[Finding]:
    """Findings about the dataset as a whole, without a line: `class-imbalance`."""
    message = imbalance(class_counts(facts["label"]))
    severity = severity_of("class-imbalance", len(facts), len(facts), config)
    if message is None or severity is None:
        return []
    return [Finding(severity=severity, rule="class-imbalance", file=file, line=None, message=message)]


def label_counts(facts: pa.Table) -> dict[str, int]:
    """How often each class occurs, most frequent first; empty where the expected texts are no class labels."""
    return class_counts(facts["label"])


def language_counts(facts: pa.Table) -> dict[str, int]:
    """Rows by the language of their input, most frequent first, where it can be told."""
    counts = np.bincount(facts["input_language"].to_numpy(), minlength=len(LANGUAGES))
    return {LANGUAGES[code]: int(counts[code]) for code in np.argsort(-counts, kind="stable") if code and counts[code]}


def too_few(count: int, file: str) -> list[Finding]:
    """The finding ``too-few-examples`` where fewer than 10 distinct examples are left of a file."""
    if count >= MINIMUM_EXAMPLES:
        return []
    message = f"{count} distinct example(s), at least {MINIMUM_EXAMPLES} are needed"
    return [Finding(severity="error", rule="too-few-examples", file=file, line=None, message=message)]


def _is_off(rule: str, config: ValidationConfig) -> bool:
    return rule in config.rules and config.rules[rule].action == "off"


def _empty_hits(batch: pa.Table) -> list[Hits]:
    hits = []
    for name in ("input", "expected"):
        rows = np.flatnonzero(pc.equal(pc.utf8_trim_whitespace(batch[name]), "").to_numpy())
        if len(rows):
            hits.append(Hits(f"empty-{name}", rows, [f"{name} is empty"] * len(rows)))
    return hits


def _token_hits(batch: pa.Table, config: ValidationConfig) -> list[Hits]:
    if config.max_tokens is None:
        return []
    parts = [pc.fill_null(batch[name], "") for name in TEXTS if name != "messages"]
    whole = pc.if_else(pc.is_valid(batch["messages"]), batch["messages"], pc.binary_join_element_wise(*parts, "\n"))
    # A token has a byte at least: only texts with more bytes than tokens allowed need counting.
    rows = np.flatnonzero(pc.greater(pc.binary_length(whole), config.max_tokens).to_numpy())
    if not len(rows):
        return []
    counts = token_counts(whole.take(pa.array(rows)), config.tokenizer)
    long = counts > config.max_tokens
    messages = [
        f"{count} tokens, at most {config.max_tokens} are allowed; shorten or split it"
        for count in counts[long].tolist()
    ]
    return [Hits("too-many-tokens", rows[long], messages)] if long.any() else []
