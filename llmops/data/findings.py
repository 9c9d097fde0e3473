"""Findings: what is wrong with a row or a file, by which rule, where, and what to do about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from llmops.errors import InputError

SHOWN = 5


class Finding(BaseModel):
    """Something about one row or a whole file; `line` counts from 1 and is the row's number in Parquet."""

    model_config = ConfigDict(frozen=True)

    severity: Literal["error", "warning"]
    rule: str
    file: str
    line: int | None
    sample_id: str | None = None
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.message}"


@dataclass(frozen=True)
class Hits:
    """Rows that a rule has something to say about: their numbers, ascending, and one message each."""

    rule: str
    rows: np.ndarray
    messages: Sequence[str]


def raise_errors(findings: Sequence[Finding]) -> None:
    """Refuse the data where any finding is an error.

    Raises:
        InputError: one line that names the first five errors and counts the others.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise InputError(errors_line(errors))


def errors_line(errors: Sequence[Finding], described: Callable[[Finding], str] = str) -> str:
    """The first five of some errors, and how many more there are, in one line."""
    line = "; ".join(map(described, errors[:SHOWN]))
    return line if len(errors) <= SHOWN else f"{line}; and {len(errors) - SHOWN} more"
