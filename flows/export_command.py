"""`llmops export …`: the samples of a dataset version into a file, in the project's own shape or a provider's."""

import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from flows.terminal import Terminal
from llmops.errors import InputError, LlmopsError
from llmops.settings import settings

if TYPE_CHECKING:
    from llmops.data.exports.provider_limits import FormatLimits
    from llmops.data.findings import Finding

TERMINATED = 143
SHOWN = 5


class _ExportSection(BaseModel):
    """The section `export` of a configuration file."""

    model_config = ConfigDict(extra="forbid")

    limits: dict[str, dict[str, Any]] = {}


class Exported(BaseModel):
    """What was written: of which version, as what, where, and how much of it."""

    dataset: str
    digest: str
    split: str
    format: str
    file: Path
    rows: int
    tokens: int
    tokens_estimated: bool
    bytes: int
    warnings: list[str]

    def __str__(self) -> str:
        about = "about " if self.tokens_estimated else ""
        return (
            f"Wrote {self.rows:,} samples of {self.dataset} ({self.split}) as {self.format} to {self.file}: "
            f"{about}{self.tokens:,} tokens, {self.bytes:,} bytes."
        )


def export_command(
    name: str,
    split: str,
    format: str,
    to: Path,
    *,
    force: bool = False,
    tokenizer: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> int:
    """Export one version of a dataset and return the command's exit status.

    Args:
        name: ``NAME`` or ``NAME@VERSION``.
        split: train, validation, test or all.
        format: one of `llmops.data.exports.writers.FORMATS`.
        to: the file; it is replaced only with `force`.
        tokenizer: a tokenizer's folder, to count tokens instead of estimating them.
        config: YAML file whose section `export` changes limits of providers.
        json: print one JSON object instead of a sentence.
    """
    terminal = Terminal(json=json)
    # An exit rather than an end, so that a file begun is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        exported = _export(name, split, format, to, force, tokenizer, config, terminal)
    except LlmopsError as error:
        terminal.error(str(error))
        return error.exit_status
    for warning in exported.warnings[:SHOWN]:
        terminal.say(f"Warning: {warning}", style="yellow")
    if len(exported.warnings) > SHOWN:
        terminal.say(f"… and {len(exported.warnings) - SHOWN} more warnings", style="yellow")
    if json:
        terminal.print_json(to_json(exported).decode())
    else:
        terminal.out.print(str(exported), markup=False, soft_wrap=True)
    return 0


def _export(
    name: str,
    split: str,
    format: str,
    to: Path,
    force: bool,
    tokenizer: str | None,
    config: Path | None,
    terminal: Terminal,
) -> Exported:
    from llmops.data.exports.provider_formats import PROVIDER_RECORDS
    from llmops.data.exports.provider_limits import check_format
    from llmops.data.exports.writers import ROW_COLUMNS, require_format, write_samples
    from llmops.data.findings import errors_line
    from llmops.data.versions.store import DatasetStore

    require_format(format)
    limits = _limits(format, config)
    if to.exists() and not force:
        raise InputError(f"{to}: exists already; name another file, or replace it with --force")
    store = DatasetStore(settings().home / "datasets")
    version = store.resolve(name)
    what = f"{version.uri} ({split})"
    samples = store.batches(version, None if split == "all" else split)
    if len(samples) == 0:
        held = ", ".join(f"{place} {count:,}" for place, count in version.counts.items() if count) or "nothing"
        raise InputError(f"{what} has no samples to export; the version holds {held}")
    if format in PROVIDER_RECORDS:
        samples = samples.select(ROW_COLUMNS)
    with terminal.err.status(f"Checking {len(samples):,} samples…"):
        findings = check_format(samples, format, limits, split=split, tokenizer=tokenizer, name=version.uri)
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors:
            raise InputError(f"{what} cannot be exported as {format}: {errors_line(errors, _described)}")
    counted = _TokenCount(samples, tokenizer)
    with terminal.err.status(f"Writing {to}…"):
        rows = write_samples(counted, to, format, maximum_bytes=limits.maximum_bytes)
    return Exported(
        dataset=version.uri,
        digest=version.digest,
        split=split,
        format=format,
        file=to,
        rows=rows,
        tokens=counted.tokens,
        tokens_estimated=tokenizer is None,
        bytes=to.stat().st_size,
        warnings=[_described(finding) for finding in findings],
    )


class _TokenCount:
    """Batches of samples, whose tokens are counted as they pass."""

    def __init__(self, batches: Iterable[Any], tokenizer: str | None) -> None:
        self.batches = batches
        self.tokenizer = tokenizer
        self.tokens = 0

    def __iter__(self) -> Iterator[Any]:
        from llmops.data.exports.provider_limits import sample_texts
        from llmops.data.token_counts import token_counts

        for batch in self.batches:
            self.tokens += int(token_counts(sample_texts(batch), self.tokenizer).sum())
            yield batch


def _limits(format: str, config: Path | None) -> "FormatLimits":
    """The provider's limits, changed as the section `export` of a configuration file says."""
    from llmops.data.exports.provider_formats import PROVIDER_RECORDS
    from llmops.data.exports.provider_limits import LIMITS, FormatLimits

    limits = LIMITS.get(format, FormatLimits())
    if config is None:
        return limits
    from flows.flow_parameters import read_config

    section = read_config(config, "export", {"export"}).values
    try:
        changes = _ExportSection.model_validate(section).limits
        changed = FormatLimits.model_validate({**limits.model_dump(), **changes.get(format, {})})
    except ValidationError as error:
        problem = error.errors()[0]
        inside = [] if error.title == _ExportSection.__name__ else ["limits", format]
        where = ".".join(["export", *inside, *map(str, problem["loc"])])
        raise InputError(f"{config}: {where}: {problem['msg']}") from error
    for unknown in changes.keys() - PROVIDER_RECORDS.keys():
        known = ", ".join(PROVIDER_RECORDS)
        raise InputError(f"{config}: export.limits.{unknown}: no format of a provider; there are {known}")
    return changed


def _described(finding: "Finding") -> str:
    return finding.message if finding.sample_id is None else f"sample {finding.sample_id}: {finding.message}"
