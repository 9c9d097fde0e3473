"""What each provider takes in a fine-tuning file, as data, and what of some samples it would not take.

The limits are those of the models that most people tune; `configs/export.yaml` changes them for another model.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from llmops.data.conversations import ConversationError, from_messages, parse_conversation
from llmops.data.exports.provider_formats import PROVIDER_RECORDS, NotExportableError, Row
from llmops.data.exports.writers import record_batches, require_format, rows_of
from llmops.data.findings import Finding
from llmops.data.token_counts import token_counts

MOST_FINDINGS = 100
"""Of one rule that are named one by one; the others are counted."""

# An estimated count this many times over the limit is over it with any tokenizer: none has 16 bytes a token.
_SURELY = 4


class FormatLimits(BaseModel):
    """What a provider takes.

    Attributes:
        minimum_count: of samples to train on.
        maximum_count: of samples to train on.
        maximum_validation_count: of samples to validate on.
        maximum_bytes: of the file.
        maximum_tokens: of a sample, question and answer together.
        too_long: what happens to a sample with more: the file is refused, or the sample is cut or left out.
        maximum_characters: of a sample.
        maximum_tools: that a sample offers.
        reserved: words that no text of a sample may have in it.
        source: where the provider says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_count: int = 0
    maximum_count: int | None = None
    maximum_validation_count: int | None = None
    maximum_bytes: int | None = None
    maximum_tokens: int | None = None
    too_long: Literal["refused", "cut", "left out"] = "refused"
    maximum_characters: int | None = None
    maximum_tools: int | None = None
    reserved: tuple[str, ...] = ()
    source: str = ""


_MB, _GB = 1_000_000, 1_000_000_000

LIMITS: dict[str, FormatLimits] = {
    # 65,536 is the training context of GPT-4o and GPT-4o mini; what is longer loses its end.
    "openai": FormatLimits(
        minimum_count=10,
        maximum_bytes=512 * _MB,
        maximum_tokens=65_536,
        too_long="cut",
        maximum_tools=128,
        source="https://developers.openai.com/api/docs/guides/supervised-fine-tuning",
    ),
    "azure": FormatLimits(
        minimum_count=10,
        maximum_bytes=512 * _MB,
        maximum_tokens=65_536,
        too_long="cut",
        maximum_tools=128,
        source="https://learn.microsoft.com/azure/ai-services/openai/how-to/fine-tuning, …/quotas-limits",
    ),
    # Gemini 2.5 Flash and Flash-Lite. Samples with too many tokens are dropped and counted in the job's statistics.
    "vertex": FormatLimits(
        minimum_count=1,
        maximum_count=1_000_000,
        maximum_validation_count=5_000,
        maximum_bytes=1 * _GB,
        maximum_tokens=131_072,
        too_long="left out",
        source="https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning",
    ),
    # Meta Llama 3.1, the model that is tuned on prompt and completion; AWS counts six characters a token.
    "bedrock": FormatLimits(
        minimum_count=100,
        maximum_count=10_000,
        maximum_bytes=1 * _GB,
        maximum_tokens=16_000,
        maximum_characters=96_000,
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html",
    ),
    # Anthropic Claude 3 Haiku.
    "bedrock-claude": FormatLimits(
        minimum_count=32,
        maximum_count=10_000,
        maximum_validation_count=1_000,
        maximum_bytes=10 * _GB,
        maximum_tokens=32_000,
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html",
    ),
    # Amazon Nova Micro, Lite and Pro, as AWS's own check of a file has it:
    # https://github.com/aws-samples/amazon-bedrock-samples, nova_ft_dataset_validator.py. No page says how many tokens.
    "bedrock-conversation": FormatLimits(
        minimum_count=8,
        maximum_count=20_000,
        reserved=(
            *("System:", "SYSTEM:", "User:", "USER:", "Bot:", "BOT:", "Assistant:", "ASSISTANT:", "Thought:"),
            *("[EOS]", "<image>", "<video>"),
        ),
        source="https://docs.aws.amazon.com/nova/latest/userguide/fine-tune-prepare-data-understanding.html",
    ),
}
"""By format; a format without an entry is for no provider and has no limits."""


def check_format(
    batches: pa.Table | Iterable[pa.Table | pa.RecordBatch],
    format: str,
    limits: FormatLimits | None = None,
    *,
    split: str = "train",
    tokenizer: str | None = None,
    name: str = "samples",
) -> list[Finding]:
    """What a format or its provider would not take of some samples; an error means that the file would be refused.

    Args:
        batches: samples in `SAMPLE_SCHEMA`.
        format: one of `writers.FORMATS`; the own ones take anything.
        limits: other ones than `LIMITS` has for the format.
        split: ``train`` and ``all`` must have the minimum of samples, ``validation`` has a maximum of its own.
        tokenizer: as for `token_counts`; without one a count of tokens is an estimate, and a sample that may be too
            long a warning.
        name: of the samples, the findings' `file`.

    Raises:
        InputError: there is no such format, or no such tokenizer.
    """
    require_format(format)
    if format not in PROVIDER_RECORDS:
        return []
    limits = limits or LIMITS.get(format, FormatLimits())
    noted = _Noted(name)
    rows = 0
    for batch in record_batches(batches):
        rows += len(batch)
        _check_empty(batch, noted)
        _check_conversations(batch, format, limits, noted)
        _check_reserved(batch, limits, noted)
        _check_length(batch, limits, tokenizer, noted)
    _check_count(rows, limits, split, noted)
    return noted.findings()


def sample_texts(batch: pa.RecordBatch) -> pa.ChunkedArray:
    """All that a provider's tokenizer sees of each sample: a conversation as its JSON, whose keys and brackets stand
    for the marks that a chat template puts around each message."""
    said = pc.coalesce(batch["messages"], pc.binary_join_element_wise(batch["input"], batch["expected"], "\n"))
    joined = pc.binary_join_element_wise(batch["context"], said, "\n", null_handling="skip")
    return pa.chunked_array([joined], pa.string())


class _Noted:
    """Findings so far, no more of one rule than anyone reads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._named: list[Finding] = []
        self._counts: Counter[tuple[str, Literal["error", "warning"]]] = Counter()

    def add(
        self, rule: str, message: str, sample: str | None = None, severity: Literal["error", "warning"] = "error"
    ) -> None:
        self._counts[rule, severity] += 1
        if self._counts[rule, severity] <= MOST_FINDINGS:
            self._named.append(self._finding(rule, message, sample, severity))

    def findings(self) -> list[Finding]:
        more = [
            self._finding(rule, f"{count - MOST_FINDINGS:,} more samples with the same", None, severity)
            for (rule, severity), count in self._counts.items()
            if count > MOST_FINDINGS
        ]
        return self._named + more

    def _finding(self, rule: str, message: str, sample: str | None, severity: Literal["error", "warning"]) -> Finding:
        return Finding(severity=severity, rule=rule, file=self.name, line=None, sample_id=sample, message=message)


def _check_empty(batch: pa.RecordBatch, noted: _Noted) -> None:
    for part in ("input", "expected"):
        for sample in _ids(batch, pc.equal(batch[part], "")):
            noted.add("empty-text", f"its {part} is empty; fill it or take the sample out", sample)


def _check_conversations(batch: pa.RecordBatch, format: str, limits: FormatLimits, noted: _Noted) -> None:
    """Of plain samples only the reader of the file knows more than this: every format carries them."""
    record: Callable[[Row], object] = PROVIDER_RECORDS[format]
    for row in rows_of(batch.filter(pc.is_valid(batch["messages"]))):
        try:
            conversation = parse_conversation(row["messages"])
            from_messages(conversation["messages"], conversation.get("tools"), fenced=False)
            record(row)
        except (NotExportableError, ConversationError) as error:
            noted.add(error.rule, str(error), row["id"])
            continue
        if any(message.get("content") == "" for message in conversation["messages"]):
            noted.add("empty-text", "one of its messages is empty; fill it or take it out", row["id"])
        if conversation["messages"][0]["role"] == "developer" and format not in ("openai", "azure"):
            message = "its developer message is written as the system's, the only one that the format knows"
            noted.add("developer-role", message, row["id"], "warning")
        tools = len(conversation.get("tools", ()))
        if limits.maximum_tools is not None and tools > limits.maximum_tools:
            message = f"it offers {tools} tools and {limits.maximum_tools} are allowed; leave some out"
            noted.add("too-many-tools", message, row["id"])


def _check_reserved(batch: pa.RecordBatch, limits: FormatLimits, noted: _Noted) -> None:
    texts = sample_texts(batch).combine_chunks()
    for word in limits.reserved:
        for sample in _ids(batch, pc.match_substring(texts, word)):
            noted.add("reserved-word", f"it holds {word!r}, which the provider keeps for itself; write another", sample)


def _check_length(batch: pa.RecordBatch, limits: FormatLimits, tokenizer: str | None, noted: _Noted) -> None:
    texts = sample_texts(batch)
    if limits.maximum_characters is not None:
        characters = pc.utf8_length(texts).to_numpy()
        for row in np.flatnonzero(characters > limits.maximum_characters):
            message = f"{characters[row]:,} characters where {limits.maximum_characters:,} are allowed; shorten it"
            noted.add("too-many-characters", message, batch["id"][int(row)].as_py())
    if limits.maximum_tokens is None:
        return
    # No tokenizer makes more tokens than there are bytes: only what could be too long is counted.
    candidates = np.flatnonzero(pc.binary_length(texts).to_numpy() > limits.maximum_tokens)
    counts = token_counts(texts.take(pa.array(candidates)), tokenizer) if len(candidates) else candidates
    for row, tokens in zip(candidates, counts, strict=True):
        if tokens > limits.maximum_tokens:
            sure = tokenizer is not None or tokens > _SURELY * limits.maximum_tokens
            about = "" if tokenizer else "about "
            happens = f"the provider {_HAPPENS[limits.too_long]}; shorten it"
            message = f"{about}{tokens:,} tokens where {limits.maximum_tokens:,} are allowed, {happens}"
            severity: Literal["error", "warning"] = "error" if sure and limits.too_long == "refused" else "warning"
            noted.add("too-many-tokens", message, batch["id"][int(row)].as_py(), severity)


_HAPPENS: Mapping[str, str] = {"refused": "refuses the file", "cut": "cuts its end off", "left out": "leaves it out"}


def _check_count(rows: int, limits: FormatLimits, split: str, noted: _Noted) -> None:
    if rows < limits.minimum_count and split in ("train", "all"):
        noted.add("too-few-samples", f"{rows} samples where at least {limits.minimum_count} are needed; add some")
    maximum = limits.maximum_validation_count if split == "validation" else limits.maximum_count
    if maximum is not None and rows > maximum:
        message = f"{rows:,} samples where at most {maximum:,} are allowed; prepare a version with fewer (max_rows)"
        noted.add("too-many-samples", f"{message}, or raise the limit where your quota is higher")


def _ids(batch: pa.RecordBatch, mask: pa.Array) -> Iterator[str]:
    yield from batch["id"].filter(mask).to_pylist()
