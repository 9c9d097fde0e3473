"""The first reading of a source: every batch checked, keyed and put aside, two batches at a time.

Of each row only numbers stay in memory (`Rows`); the samples themselves wait in a `Spill`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.duplicates.deduplication import content_keys, text_keys
from llmops.data.duplicates.near_duplicates import band_keys, whole_texts
from llmops.data.findings import Finding, Hits
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.spill import Spill
from llmops.data.reading.readers import SampleBatch, read_batches
from llmops.data.reading.sources import SourcePath
from llmops.data.samples import SAMPLE_SCHEMA, normalised
from llmops.data.splits.assignment import places
from llmops.data.splits.times import time_keys
from llmops.data.validation.checks import row_facts, row_hits
from llmops.data.validation.contamination import ReferenceIndex, contamination_hits

THREADS = 2
OnProgress = Callable[[int, str], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Rows:
    """All rows that were read: one entry a row in each array, in the order of reading.

    Attributes:
        numbers: arrays by name: ``file`` (number of its source), ``line``, the keys (uint64) ``content``, ``input``,
            ``expected``, ``group`` and ``id``, ``place`` (of its group), the lengths ``input_words`` and
            ``expected_words``; where the configuration needs them ``id_place``, ``stratum``, ``time``, and the band
            keys ``whole_bands`` and ``input_bands``.
        facts: what the rules over the whole dataset need of each row.
        hits: what the rules over single rows found; row numbers count through all files.
        findings: rows that could not be made into samples, which are in none of the arrays.
        read: rows of each source, with those that could not be made into samples.
    """

    numbers: dict[str, np.ndarray]
    facts: pa.Table
    hits: list[Hits]
    findings: list[Finding]
    read: list[int]

    def __len__(self) -> int:
        return len(self.numbers["line"])


@dataclass(frozen=True)
class _Examined:
    """One batch: its samples (which leave for the spill), what its rules say, and the numbers of its rows."""

    source: int
    findings: Sequence[Finding]
    hits: Sequence[Hits]
    facts: pa.Table
    numbers: dict[str, np.ndarray]


def examine(
    sources: Sequence[SourcePath],
    config: PreparationConfig,
    references: ReferenceIndex | None,
    spill: Spill,
    on_progress: OnProgress,
) -> Rows:
    """Read all sources once into the spill, and keep the numbers of their rows.

    Raises:
        InputError: a source cannot be read at all, or a mapped column does not exist.
    """

    def one(item: tuple[int, SampleBatch]) -> tuple[_Examined, pa.Table]:
        return _examine(*item, config, references), item[1].table.select(SAMPLE_SCHEMA.names)

    batches = (
        (number, batch) for number, source in enumerate(sources) for batch in read_batches(source, config.columns)
    )
    done: list[_Examined] = []
    read = [0] * len(sources)
    for examined, samples in _in_order(one, batches):
        spill.append(samples)
        unreadable = {finding.line for finding in examined.findings if finding.severity == "error"}
        read[examined.source] += len(samples) + len(unreadable)
        done.append(examined)
        on_progress(sum(read), sources[examined.source].uri)
    spill.finish()
    return _joined(done, read)


def _examine(
    source: int, batch: SampleBatch, config: PreparationConfig, references: ReferenceIndex | None
) -> _Examined:
    table = batch.table
    asked, answered = normalised(table["input"]), normalised(table["expected"])
    input_keys, expected_keys = text_keys(asked), text_keys(answered)
    numbers = {
        "file": np.full(len(table), source, dtype=np.int32),
        "line": table["line"].to_numpy(),
        "content": content_keys(table, input_keys, expected_keys),
        "input": input_keys,
        "expected": expected_keys,
        "group": text_keys(table["group"]),
        "place": places(table["group"], config.seed),
        "id": text_keys(table["id"]),
        "input_words": _words(asked),
        "expected_words": _words(answered),
    }
    if config.max_rows is not None:
        numbers["id_place"] = places(table["id"], config.seed)
    if config.split.method == "stratified":
        numbers["stratum"] = text_keys(_values(table, config.split.by))
    if config.split.method == "time":
        numbers["time"] = time_keys(_values(table, config.split.by))
    if config.duplicates.near:
        numbers["whole_bands"] = band_keys(whole_texts(table), config.duplicates)
        numbers["input_bands"] = band_keys(table["input"], config.duplicates)
    hits = list(row_hits(table, config.validation))
    if references is not None:
        hits += contamination_hits(table, references)
    return _Examined(source, batch.findings, hits, row_facts(table, input_keys), numbers)


def _values(table: pa.Table, by: str | None) -> pa.ChunkedArray:
    """What rows are split by: a metadata value, or the expected text."""
    return table["expected"] if by in (None, "expected") else pc.map_lookup(table["metadata"], by, "first")


def _words(normal: pa.ChunkedArray) -> np.ndarray:
    """Words of normalised texts, which have one blank between two words."""
    one_more = pc.cast(pc.not_equal(normal, ""), pa.int32())
    counts: np.ndarray = pc.add(pc.count_substring(normal, " "), one_more).to_numpy()
    return counts


def _joined(done: Sequence[_Examined], read: list[int]) -> Rows:
    hits: list[Hits] = []
    start = 0
    for examined in done:
        hits += [Hits(one.rule, one.rows + start, one.messages) for one in examined.hits]
        start += len(examined.numbers["line"])
    names = list(done[0].numbers) if done else []
    return Rows(
        # One after the other, each part given up as it is joined: the band keys are large.
        numbers={name: np.concatenate([one.numbers.pop(name) for one in done]) for name in names},
        facts=pa.concat_tables([one.facts for one in done]).combine_chunks(),
        hits=hits,
        findings=[finding for one in done for finding in one.findings],
        read=read,
    )


def _in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in the order of the items, worked on by two threads, with a few items read ahead."""
    with ThreadPoolExecutor(THREADS) as pool:
        under_way: deque[Future[Result]] = deque()
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > 2 * THREADS:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
