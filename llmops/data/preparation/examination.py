"""The first reading of a source: every batch checked, keyed and put aside, two batches at a time.

Of each row only numbers stay in memory (`Rows`); the samples themselves wait in a `Spill`.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.duplicates.deduplication import content_keys, prompt_texts, question_keys, question_texts, text_keys
from llmops.data.duplicates.near_duplicates import band_keys, taken_verbatim, whole_texts
from llmops.data.findings import Finding, Hits
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.spill import Spill
from llmops.data.reading.readers import SampleBatch, read_all
from llmops.data.reading.sources import SourcePath
from llmops.data.samples import SAMPLE_SCHEMA, normalised
from llmops.data.splits.assignment import places
from llmops.data.splits.times import time_keys
from llmops.data.validation.checks import row_facts, row_hits
from llmops.data.validation.contamination import ReferenceIndex, contamination_hits

THREADS = 2
MOST_FINDINGS = 10_000  # of one rule that are kept word for word; all are counted
OnProgress = Callable[[int, str], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Rows:
    """All rows that were read: one entry a row in each array, in the order of reading.

    Attributes:
        numbers: arrays by name: ``file`` (number of its source), ``line``, the keys (uint64) ``content``, ``question``,
            ``input``, ``expected``, ``context``, ``prompt`` and ``group``, ``place`` (of its group), the lengths
            ``input_words`` and ``expected_words``; where the configuration needs them ``id_place``, ``stratum`` with
            ``has_stratum``, ``time``, the band keys ``whole_bands`` and ``question_bands``, and
            ``verbatim``: True for conversations that have no near duplicates, because a small difference is a real one.
        facts: what the rules over the whole dataset need of each row.
        hits: what the rules over single rows found; row numbers count through all files.
        findings: what reading found; rows that could not be made into samples are in none of the arrays.
        unread: how many rows that was, by rule: of one rule at most 10,000 findings are kept, and messages of hits.
        read: rows of each source, with those that could not be made into samples.
    """

    numbers: dict[str, np.ndarray]
    facts: pa.Table
    hits: list[Hits]
    findings: list[Finding]
    unread: dict[str, int]
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
    tests: Sequence[SourcePath],
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
        number, batch = item
        # That test samples occur in the test source is no contamination.
        index = references if number < len(sources) else None
        return _examine(number, batch, config, index), batch.table.select(SAMPLE_SCHEMA.names)

    files = [*sources, *tests]
    of_the_tests = ((len(sources) + number, batch) for number, batch in read_all(tests, config.columns))
    batches = chain(read_all(sources, config.columns), of_the_tests if tests else ())
    done: list[_Examined] = []
    read = [0] * len(files)
    kept, unread = _Kept(), Counter[str]()
    for examined, samples in _in_order(one, batches):
        spill.append(samples)
        unreadable = {finding.line for finding in examined.findings if finding.severity == "error"}
        read[examined.source] += len(samples) + len(unreadable)
        unread.update(finding.rule for finding in examined.findings)
        done.append(kept.cut(examined))
        on_progress(sum(read), files[examined.source].uri)
    spill.finish()
    return _joined(done, dict(unread), read)


class _Kept:
    """Cuts what is kept word for word: a million faulty rows are counted, not remembered one by one."""

    def __init__(self) -> None:
        self._messages: Counter[str] = Counter()

    def cut(self, examined: _Examined) -> _Examined:
        hits, findings = [], []
        for one in examined.hits:
            messages = one.messages[: max(0, MOST_FINDINGS - self._messages[one.rule])]
            self._messages[one.rule] += len(messages)
            hits.append(Hits(one.rule, one.rows, messages))
        for finding in examined.findings:
            if self._messages[finding.rule] < MOST_FINDINGS:
                self._messages[finding.rule] += 1
                findings.append(finding)
        return replace(examined, hits=hits, findings=findings)


def _examine(
    source: int, batch: SampleBatch, config: PreparationConfig, references: ReferenceIndex | None
) -> _Examined:
    table = batch.table
    asked, answered = normalised(table["input"]), normalised(table["expected"])
    input_keys, expected_keys = text_keys(asked), text_keys(answered)
    context_keys, prompt_keys = text_keys(normalised(table["context"])), text_keys(normalised(prompt_texts(table)))
    questions = question_keys(table, input_keys, context_keys, prompt_keys)
    numbers = {
        "file": np.full(len(table), source, dtype=np.int32),
        "line": table["line"].to_numpy(),
        "content": content_keys(table, input_keys, expected_keys),
        "question": questions,
        "input": input_keys,
        "expected": expected_keys,
        "context": context_keys,
        "prompt": prompt_keys,
        "group": text_keys(table["group"]),
        "place": places(table["group"], config.seed),
        "input_words": _words(asked),
        "expected_words": _words(answered),
    }
    if config.max_rows is not None:
        numbers["id_place"] = places(table["id"], config.seed)
    if config.split.method == "stratified":
        classes = _values(table, config.split.by)
        numbers["stratum"], numbers["has_stratum"] = text_keys(classes), classes.is_valid().to_numpy()
    if config.split.method == "time":
        numbers["time"] = time_keys(_values(table, config.split.by))
    if config.duplicates.near:
        numbers["verbatim"] = taken_verbatim(table)
        numbers["whole_bands"] = band_keys(whole_texts(table), config.duplicates)
        numbers["question_bands"] = band_keys(question_texts(table), config.duplicates)
    hits = [*row_hits(table, config.validation), *_timeless(numbers.get("time"), config.split.by)]
    if references is not None:
        hits += contamination_hits(table, references)
    return _Examined(source, batch.findings, hits, row_facts(table, questions), numbers)


def _values(table: pa.Table, by: str | None) -> pa.ChunkedArray:
    """What rows are split by: a metadata value, or the expected text."""
    return table["expected"] if by in (None, "expected") else pc.map_lookup(table["metadata"], by, "first")


def _timeless(times: np.ndarray | None, by: str | None) -> list[Hits]:
    """The rows that a split by time cannot place."""
    rows = np.flatnonzero(np.isnan(times)) if times is not None else np.zeros(0, np.int64)
    message = f"{by} is no time, by which the rows are split; write it as 2026-05-31, 2026-05-31T12:00:00Z or a number"
    return [Hits("no-time", rows, [message] * len(rows))] if len(rows) else []


def _words(normal: pa.ChunkedArray) -> np.ndarray:
    """Words of normalised texts, which have one blank between two words."""
    one_more = pc.cast(pc.not_equal(normal, ""), pa.int32())
    counts: np.ndarray = pc.add(pc.count_substring(normal, " "), one_more).to_numpy()
    return counts


def _joined(done: Sequence[_Examined], unread: dict[str, int], read: list[int]) -> Rows:
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
        unread=unread,
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
