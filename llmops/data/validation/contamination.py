"""Test-set contamination: rows that say what a row of a named reference dataset says, also lightly reworded.

Texts are compared by their word n-grams (`word_ngrams`: case, punctuation and the values of numbers do not
count). The overlap of a row with one reference row is the largest of three shares, in which a question is an input
with its context:

- of the row's n-grams (question and expected text together) that the reference row has too;
- of those of the row's question alone, where it is long enough by itself (another answer to the same question);
- of those of the reference's question that the row has (the question inside a longer text).

Of a row with a context it is no more than the share of its input's n-grams that the reference row has: another question
about the same passage is another row.

Only pairs of rows that share something rare are compared: n-grams of few reference rows, or a whole question. So of
text made from templates, whose n-grams are all common, repeats of a question are found and little else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from llmops.data.duplicates.deduplication import question_keys, question_texts
from llmops.data.findings import Hits
from llmops.data.validation.word_ngrams import Ngrams, ngrams_of, words_of

# Chosen on GSM8K, training against test: 0.62 flags 5 of its 7,473 rows, which are near copies with other names and
# numbers; it finds 98 % of test rows in which half of the common words, every name and every number were changed.
SHARE = 0.62
_SHORT_SHARE = 0.9  # of rows with few n-grams, for which a few common ones make a high share
_PART_SHARE = 0.8
_LONG, _SHORTEST = 40, 8  # n-grams: of 20 words and of 5
_CANDIDATES = 3  # reference rows compared with each row
_LEAST_RARE = 3
_SLACK = 0.05  # of shares that count an n-gram as often as it occurs, where the overlap counts it once
_ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class ReferenceIndex:
    """What is known of the reference rows; build it with `reference_index`.

    Attributes:
        names: of the reference datasets.
        dataset, row, ids: of each reference row: number of its dataset, number within it (from 1), id of the sample.
        question_sizes: distinct n-grams of each question.
        pairs, question_pairs: sorted keys of (reference row, n-gram), of the whole and of the question alone.
        rare_grams, rare_rows: n-grams of few reference rows, sorted, and the row of each.
        least_inside: fewest rare n-grams that a text shares which holds this question; infinite for a short one.
        known, rare: tables of 2^24 flags, by the last bits of the n-grams that occur, and of the rare ones.
        questions, question_rows: keys of the whole questions (`question_keys`), sorted, and the row of each.
        share: overlap from which a row is contaminated.
    """

    names: tuple[str, ...]
    dataset: np.ndarray
    row: np.ndarray
    ids: pa.ChunkedArray
    question_sizes: np.ndarray
    pairs: np.ndarray
    question_pairs: np.ndarray
    rare_grams: np.ndarray
    rare_rows: np.ndarray
    least_inside: np.ndarray
    known: np.ndarray
    rare: np.ndarray
    questions: np.ndarray
    question_rows: np.ndarray
    share: float


def reference_index(tables: Mapping[str, pa.Table], share: float = SHARE) -> ReferenceIndex:
    """Index reference datasets by name, each a table in `SAMPLE_SCHEMA`.

    Args:
        tables: reference samples by the name that findings give them.
        share: overlap from which a row of 20 words or more is contaminated; shorter rows need nine tenths.
    """
    columns = ["id", "input", "expected", "context", "messages"]
    table = pa.concat_tables([one.select(columns) for one in tables.values()])
    questions, whole = _ngrams(table)
    whole, questions = whole.distinct(), questions.distinct()
    values, counts = np.unique(whole.hashes, return_counts=True)
    few = values[counts <= max(10, len(table) // 100)]
    is_rare = np.isin(whole.hashes, few)
    order = np.argsort(whole.hashes[is_rare], kind="stable")
    sizes = np.bincount(questions.rows, minlength=len(table))
    rare_sizes = np.bincount(questions.rows[np.isin(questions.hashes, few)], minlength=len(table))
    keys = question_keys(table)
    key_order = np.argsort(keys, kind="stable")
    return ReferenceIndex(
        names=tuple(tables),
        dataset=np.repeat(np.arange(len(tables)), [len(one) for one in tables.values()]),
        row=np.concatenate([np.arange(1, len(one) + 1) for one in tables.values()]),
        ids=table["id"],
        question_sizes=sizes,
        pairs=np.sort(_keys(whole.rows, whole.hashes)),
        question_pairs=np.sort(_keys(questions.rows, questions.hashes)),
        rare_grams=whole.hashes[is_rare][order],
        rare_rows=whole.rows[is_rare][order],
        least_inside=np.where(sizes >= _LONG, rare_sizes - (1 - _PART_SHARE) * sizes, np.inf),
        known=_flags(values),
        rare=_flags(few),
        questions=keys[key_order],
        question_rows=key_order,
        share=share,
    )


def contamination_hits(batch: pa.Table, index: ReferenceIndex) -> list[Hits]:
    """`test-contamination` of a batch; row numbers count from its first.

    Each message names the reference dataset, its row and sample id, and the overlap.
    """
    found = [_hits(batch.slice(start, _ROWS_AT_ONCE), index, start) for start in range(0, len(batch), _ROWS_AT_ONCE)]
    rows = [row for rows, _ in found for row in rows.tolist()]
    messages = [message for _, messages in found for message in messages]
    return [Hits("test-contamination", np.array(rows, dtype=np.int64), messages)] if rows else []


def _hits(batch: pa.Table, index: ReferenceIndex, start: int) -> tuple[np.ndarray, list[str]]:
    questions, whole = _ngrams(batch)
    promising = _promising(questions, whole, len(batch), index)
    whole, questions = whole.of(promising).distinct(), questions.of(promising).distinct()
    same = _same_question(batch, index)
    pairs = np.union1d(_similar(questions, whole, len(batch), index), same)
    rows, references = pairs >> 32, pairs & 0xFFFFFFFF
    exact = np.isin(pairs, same)
    overlap = _overlaps(rows, references, questions, whole, index)
    overlap = np.minimum(overlap, _input_shares(batch, rows, references, index))
    overlap[exact] = 1.0
    size = np.bincount(whole.rows, minlength=len(batch))[rows]
    needed = np.where(size >= _LONG, index.share, max(_SHORT_SHARE, index.share))
    found = np.flatnonzero((overlap >= needed) & ((size >= _SHORTEST) | exact))
    # Of each row the best reference row, the first of equal ones.
    found = found[np.lexsort((references[found], -overlap[found], rows[found]))]
    found = found[np.unique(rows[found], return_index=True)[1]]
    return rows[found] + start, [_message(index, int(references[one]), float(overlap[one])) for one in found]


def _message(index: ReferenceIndex, reference: int, overlap: float) -> str:
    name, row = index.names[index.dataset[reference]], index.row[reference]
    return (
        f"{overlap:.0%} overlap with row {row} of {name} (sample {index.ids[reference].as_py()}); "
        "drop it from training, or the test will flatter the model"
    )


def _ngrams(table: pa.Table) -> tuple[Ngrams, Ngrams]:
    """Those of the questions, and those of the questions and the expected texts."""
    questions = ngrams_of(words_of(question_texts(table)))
    return questions, questions.with_(ngrams_of(words_of(table["expected"])))


def _promising(questions: Ngrams, whole: Ngrams, rows: int, index: ReferenceIndex) -> np.ndarray:
    """A flag for each row that may overlap enough: too many unknown n-grams, or too few rare ones, rule it out."""

    def share_of_known(grams: Ngrams) -> np.ndarray:
        known = np.bincount(grams.rows[index.known[_slot(grams.hashes)]], minlength=rows)
        share: np.ndarray = known / np.maximum(np.bincount(grams.rows, minlength=rows), 1)
        return share

    rare = np.bincount(whole.rows[index.rare[_slot(whole.hashes)]], minlength=rows)
    enough = share_of_known(whole) >= index.share - _SLACK
    enough |= share_of_known(questions) >= _PART_SHARE - _SLACK
    enough |= rare >= max(index.least_inside.min(initial=np.inf), _LEAST_RARE)
    promising: np.ndarray = enough & (rare >= _LEAST_RARE)
    return promising


def _similar(questions: Ngrams, whole: Ngrams, rows: int, index: ReferenceIndex) -> np.ndarray:
    """Pairs worth comparing (row << 32 | reference row): of each row the three that share most rare n-grams.

    A pair must share so many of them that the overlap can still be high enough.
    """
    least = np.minimum(_least(whole, rows, index.share, index), _least(questions, rows, _PART_SHARE, index))
    chosen = index.rare[_slot(whole.hashes)]
    grams = whole.hashes[chosen]
    low = np.searchsorted(index.rare_grams, grams, side="left")
    counts = np.searchsorted(index.rare_grams, grams, side="right") - low
    pairs = np.repeat(whole.rows[chosen], counts) << 32 | index.rare_rows[_ranges(low, counts)]
    values, shared = np.unique(pairs, return_counts=True)
    enough = shared >= np.maximum(np.minimum(least[values >> 32], index.least_inside[values & 0xFFFFFFFF]), _LEAST_RARE)
    values, shared = values[enough], shared[enough]
    values = values[np.lexsort((-shared, values >> 32))]
    of_row = values >> 32
    rank = np.arange(len(values)) - np.searchsorted(of_row, of_row)
    best: np.ndarray = values[rank < _CANDIDATES]
    return best


def _least(grams: Ngrams, rows: int, share: float, index: ReferenceIndex) -> np.ndarray:
    """How many of its rare n-grams each row must share with a reference row to share that part of all."""
    slots = _slot(grams.hashes)
    at_risk = np.bincount(grams.rows[index.rare[slots] | ~index.known[slots]], minlength=rows)
    least: np.ndarray = at_risk - (1 - share) * np.bincount(grams.rows, minlength=rows)
    return least


def _same_question(batch: pa.Table, index: ReferenceIndex) -> np.ndarray:
    """Pairs (row << 32 | reference row) with the same `question_keys`, the first such reference row of each."""
    if not len(index.questions):
        return np.zeros(0, np.int64)
    keys = question_keys(batch)
    place = np.minimum(np.searchsorted(index.questions, keys), len(index.questions) - 1)
    rows = np.flatnonzero(index.questions[place] == keys)
    pairs: np.ndarray = rows << 32 | index.question_rows[place[rows]]
    return pairs


def _overlaps(
    rows: np.ndarray, references: np.ndarray, questions: Ngrams, whole: Ngrams, index: ReferenceIndex
) -> np.ndarray:
    """The largest of the three shares for each pair (row, reference row)."""
    shared, size = _shared(rows, references, whole, index.pairs)
    of_question, question_size = _shared(rows, references, questions, index.pairs)
    of_reference, _ = _shared(rows, references, whole, index.question_pairs)
    reference_size = index.question_sizes[references]
    part = np.where(question_size >= _LONG, of_question / np.maximum(question_size, 1), 0)
    inside = np.where(reference_size >= _LONG, of_reference / np.maximum(reference_size, 1), 0)
    # A share of a part must be higher to say as much as one of the whole.
    best = np.maximum(part, inside)
    overlap: np.ndarray = np.maximum(shared / np.maximum(size, 1), np.where(best >= _PART_SHARE, best, 0))
    return overlap


def _input_shares(batch: pa.Table, rows: np.ndarray, references: np.ndarray, index: ReferenceIndex) -> np.ndarray:
    """The share of its input's n-grams that each pair has in common; 1 where the row has no context or no n-grams."""
    with_context = batch["context"].is_valid().to_numpy()
    shares = np.ones(len(rows))
    some = np.flatnonzero(with_context[rows])
    if len(some):
        inputs = ngrams_of(words_of(batch["input"])).of(with_context).distinct()
        shared, size = _shared(rows[some], references[some], inputs, index.pairs)
        shares[some] = np.where(size > 0, shared / np.maximum(size, 1), 1)
    return shares


def _shared(
    rows: np.ndarray, references: np.ndarray, grams: Ngrams, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many distinct n-grams of each row are among those of its reference row, and how many there are."""
    starts = np.searchsorted(grams.rows, rows)
    sizes = np.searchsorted(grams.rows, rows, side="right") - starts
    keys = _keys(np.repeat(references, sizes), grams.hashes[_ranges(starts, sizes)])
    place = np.minimum(np.searchsorted(known, keys), max(len(known) - 1, 0))
    found = known[place] == keys if len(known) else np.zeros(len(keys), np.bool_)
    ends = np.cumsum(sizes)
    counted = np.concatenate([[0], np.cumsum(found)])
    return counted[ends] - counted[ends - sizes], sizes


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The numbers starts[i], …, starts[i] + sizes[i] - 1 of all i, one after the other."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))


def _keys(rows: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    mixed = (hashes ^ (rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
    keys: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return keys


def _flags(hashes: np.ndarray) -> np.ndarray:
    flags = np.zeros(1 << 24, np.bool_)
    flags[_slot(hashes)] = True
    return flags


def _slot(hashes: np.ndarray) -> np.ndarray:
    slots: np.ndarray = hashes & np.uint64(0xFFFFFF)
    return slots
