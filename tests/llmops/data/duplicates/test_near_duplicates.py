import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from llmops.data.duplicates import near_duplicates as module
from llmops.data.duplicates.deduplication import Keep, preference, prompt_texts, text_keys
from llmops.data.duplicates.near_duplicates import (
    BANDS,
    DuplicateConfig,
    SimilarPairs,
    band_keys,
    near_twins,
    rows_per_band,
    similar_pairs,
    twin_pairs,
    whole_texts,
)
from llmops.data.samples import sample_table

WORDS = np.array([f"w{number}" for number in range(20_000)])
SIGNS = re.escape("".join(chr(one) for one in range(0x10000) if unicodedata.category(chr(one)) in ("Sm", "Sc")))


def alike(texts: list[str], threshold: float = 0.8) -> dict[tuple[int, int], float]:
    """Every two texts whose word 3-shingles have at least this Jaccard index: no hashing, no bands."""
    number: dict[tuple[str, ...], int] = {}
    sets: list[set[int]] = []
    for text in texts:
        words = re.findall(rf"[^\W_]+|[#%&@{SIGNS}]", text.casefold())
        found = [tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))]
        sets.append({number.setdefault(shingle, len(number)) for shingle in found})
    sizes = np.array([len(one) for one in sets])
    columns = np.array([one for row in sets for one in row])
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    matrix = csr_array((np.ones(len(columns), np.int32), columns, indptr), shape=(len(texts), len(number)))
    common = (matrix @ matrix.T).tocoo()
    values = common.data / (sizes[common.row] + sizes[common.col] - common.data)
    chosen = np.flatnonzero((common.row < common.col) & (values >= threshold))
    return {(int(common.row[one]), int(common.col[one])): float(values[one]) for one in chosen}


def found_among(texts: list[str], config: DuplicateConfig | None = None) -> dict[tuple[int, int], float]:
    config = config or DuplicateConfig()
    column = pa.chunked_array([texts])
    pairs = similar_pairs(band_keys(column, config), lambda rows: column.take(pa.array(rows)), config)
    return dict(
        zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.similarity.tolist(), strict=True)
    )


def with_changes(words: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    changed = words.copy()
    changed[random.choice(len(words), count, replace=False)] = random.choice(WORDS, count)
    return changed


def made_texts(rows: int, length: int = 60, template: int = 0) -> list[str]:
    """Random texts behind a common beginning, every fourth a copy of another with up to four words changed."""
    random = np.random.default_rng(5)
    texts = WORDS[random.integers(0, len(WORDS), (rows, length))]
    texts[:, :template] = WORDS[:template]
    for copy in range(0, rows, 4):
        original = int(random.integers(0, rows))
        texts[copy, template:] = with_changes(texts[original, template:], int(random.integers(0, 5)), random)
    return [" ".join(row) for row in texts]


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
def test_made_twins_are_found_and_only_they(threshold: float) -> None:
    texts = made_texts(3000)
    true = alike(texts, threshold)
    found = found_among(texts, DuplicateConfig(threshold=threshold))
    assert len(true) > 200
    assert set(found) <= set(true)
    assert all(value == pytest.approx(true[pair], abs=1e-6) for pair, value in found.items())
    assert len(found) / len(true) >= 0.98


def test_real_questions_and_answers(real_data: Callable[[str], Path]) -> None:
    questions = pq.read_table(real_data("qqp_pairs.parquet")).slice(0, 3000)
    bank = pq.read_table(real_data("banking77_train.parquet"))
    texts = [
        *questions["text_a"].to_pylist(),
        *questions["text_b"].to_pylist(),
        *bank["text"].slice(0, 3000).to_pylist(),
    ]
    true = set(alike(texts))
    found = set(found_among(texts))
    assert len(true) > 100
    assert found <= true
    assert len(found) / len(true) >= 0.98


@pytest.mark.parametrize("similarity", [(57, 3), (57, 7), (57, 12)])
def test_bands_meet_as_often_as_the_formula_says(similarity: tuple[int, int]) -> None:
    # Sets of known likeness: word 1-shingles, so many of a text's distinct words replaced.
    length, replaced = similarity
    pairs = 4000
    random = np.random.default_rng(1)
    rows = [random.choice(len(WORDS), length + replaced, replace=False) for _ in range(pairs)]
    left = pa.array([" ".join(WORDS[row[:length]]) for row in rows])
    right = pa.array([" ".join(WORDS[row[replaced:]]) for row in rows])
    config = DuplicateConfig(shingle_size=1)
    met = (band_keys(left, config) == band_keys(right, config)).any(axis=1).mean()
    jaccard = (length - replaced) / (length + replaced)
    expected = 1 - (1 - jaccard ** rows_per_band(0.8)) ** BANDS
    assert abs(met - expected) < 4 * (expected * (1 - expected) / pairs) ** 0.5 + 1e-3


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_the_bands_leave_recall_at_the_threshold(threshold: float) -> None:
    rows = rows_per_band(threshold)
    assert 1 - (1 - threshold**rows) ** BANDS >= 0.98


@pytest.mark.parametrize("template", [36, 51])
def test_templated_rows_cost_in_proportion_and_keep_their_twins(template: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = made_texts(2000, template=template)
    compared = 0
    exact = module._jaccard

    def counting(texts_of: module.TextsOf, left: np.ndarray, right: np.ndarray, config: DuplicateConfig) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return exact(texts_of, left, right, config)

    monkeypatch.setattr(module, "_jaccard", counting)
    column, config = pa.chunked_array([texts]), DuplicateConfig()
    pairs = similar_pairs(band_keys(column, config), lambda rows: column.take(pa.array(rows)), config)
    assert compared <= len(texts) * BANDS * (module.FIRST + module.PRECEDING) + len(texts) * module.COMPARED_IN_FULL
    dropped = near_twins(pairs, np.arange(len(texts)))
    left = set(range(len(texts))) - set(dropped.rows.tolist())
    true = set(alike(texts))
    # Whatever was not compared: of the rows with a twin nearly all go, each for a row that stays.
    lost = {right for first, right in true if first in left and right in left}
    assert set(dropped.kept.tolist()) <= left
    assert len(lost) <= 0.1 * len({right for _, right in true})


def test_of_texts_that_are_all_alike_one_stays() -> None:
    texts = [f"{' '.join(WORDS[:60])} {number}" for number in range(3000)]
    pairs = found_among(texts)
    left, right = np.array(sorted(pairs)).T
    dropped = near_twins(SimilarPairs(left, right, np.ones(len(left), np.float32)), np.arange(len(texts)))
    assert dropped.rows.tolist() == list(range(1, 3000))
    assert set(dropped.kept.tolist()) == {0}


def test_later_rows_change_no_pair_of_earlier_ones() -> None:
    texts = made_texts(2000, template=51)
    half = found_among(texts[:1000])
    assert len(half) > 50
    assert half == {pair: value for pair, value in found_among(texts).items() if pair[1] < 1000}


def test_rows_and_rank_choose_who_meets_whom() -> None:
    texts = [f"{' '.join(WORDS[:60])} {number}" for number in range(200)]
    column, config = pa.chunked_array([texts]), DuplicateConfig()
    bands = band_keys(column, config)
    some = np.arange(0, 200, 2)
    rank = np.arange(200)[::-1].copy()
    pairs = similar_pairs(bands, lambda rows: column.take(pa.array(rows)), config, some, rank)
    assert (pairs.left < pairs.right).all()
    assert not (pairs.left % 2).any()
    assert not (pairs.right % 2).any()
    # Number 198 is of the lowest rank: all the others are compared with it, and dropped for it.
    assert near_twins(pairs, rank).rows.tolist() == some[:-1].tolist()
    assert set(near_twins(pairs, rank).kept.tolist()) == {198}


def column(texts: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([texts], pa.string())


def twins_among(table: pa.Table, config: DuplicateConfig | None = None) -> dict[int, int]:
    config = config or DuplicateConfig()
    rows = len(table)
    parts = [table["input"], table["expected"], table["context"], prompt_texts(table)]
    lengths = sum(pc.binary_length(pc.fill_null(one, "")).to_numpy() for one in parts)
    texts = whole_texts(table)
    pairs = twin_pairs(
        band_keys(texts, config),
        lambda some: texts.take(pa.array(some)),
        [(text_keys(one), lambda some, one=one: one.take(pa.array(some))) for one in parts],
        config,
    )
    dropped = near_twins(pairs, preference(rows, config.keep, lengths=lengths))
    return dict(zip(dropped.rows.tolist(), dropped.kept.tolist(), strict=True))


def twins_of(rows: list[tuple[str, str]], keep: Keep = "first", context: str | None = None) -> dict[int, int]:
    inputs, expected = (column(list(texts)) for texts in zip(*rows, strict=True))
    table = sample_table(input=inputs, expected=expected, context=column([context] * len(rows)))
    return twins_among(table, DuplicateConfig(keep=keep))


LONG = "please tell me why the card that I ordered three weeks ago has not yet arrived at my new address in town"


def test_another_class_label_is_a_conflict_and_no_twin() -> None:
    rows = [(LONG, "card_arrival"), (f"{LONG} today", "lost_card"), (f"{LONG} today?", "card_arrival")]
    assert twins_of(rows) == {2: 0}


def test_expected_texts_may_be_similar() -> None:
    answer = "the card was sent to your old address on the third of may and should have arrived within five days"
    assert twins_of([(LONG, answer), (f"{LONG}!", f"{answer} or six")]) == {1: 0}
    assert twins_of([(LONG, answer), (LONG, "It was lost.")]) == {}


@pytest.mark.parametrize("answers", [("1", "-1"), ("C++", "C#"), ("> 5", "< 5"), ("€1", "£1"), ("Yes", "yes!")])
@pytest.mark.parametrize("shingle", [{}, {"shingles": "character"}, {"shingle_size": 1}])
def test_short_answers_are_twins_only_where_they_are_equal(
    answers: tuple[str, str], shingle: dict[str, str | int]
) -> None:
    table = sample_table(input=column([LONG, f"{LONG}!", f"{LONG}."]), expected=column([*answers, answers[0]]))
    config = DuplicateConfig.model_validate(shingle)
    if shingle.get("shingles") == "character" and answers == ("Yes", "yes!"):
        assert twins_among(table, config) == {1: 0, 2: 0}  # three characters are a shingle
    else:
        assert twins_among(table, config) == {2: 0}


def test_three_words_may_differ_in_their_punctuation() -> None:
    assert twins_of([(LONG, "Yes, of course"), (LONG, "yes of course!")]) == {1: 0}
    assert twins_of([(LONG, "Yes, perhaps"), (LONG, "yes perhaps!")]) == {}


def test_a_long_context_hides_no_other_question() -> None:
    passage = " ".join(WORDS[:300])
    questions = ["Is the first word of the passage a number?", "Does any word of the passage occur twice?"]
    rows = [*((question, "no") for question in questions), (questions[0].upper(), "no")]
    assert twins_of(rows, context=passage) == {2: 0}
    # All three share nearly all of their shingles.
    texts = [f"{question}\nno\n{passage}" for question in questions]
    assert alike(texts, 0.9)


def test_a_long_instruction_hides_no_other_context() -> None:
    table = sample_table(
        input=column([LONG] * 3),
        expected=column(["yes"] * 3),
        context=column(["customer of tier gold", "client in tier silver", "Customer of tier: gold"]),
    )
    assert len(alike(whole_texts(table).to_pylist())) == 1
    short = sample_table(input=column([LONG] * 2), expected=column(["yes"] * 2), context=column(["gold", "silver"]))
    assert twins_among(table) == {2: 0}
    assert twins_among(short) == {}


def chat(system: str | None, question: str, answer: str, tools: list[dict[str, str]] | None = None) -> dict[str, str]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    text = json.dumps({"messages": messages, **({"tools": tools} if tools else {})}, separators=(",", ":"))
    return {"input": question, "expected": answer, "messages": text}


def test_conversations_that_differ_in_what_they_start_from_are_no_twins() -> None:
    answer = " ".join(WORDS[:200])
    polite = "Answer in two polite sentences, and never name the price of a card before the customer asked for it."
    chats = [
        chat(polite, LONG, answer),
        chat("Answer like a pirate.", LONG, answer),
        chat(None, LONG, answer),
        chat(None, LONG, answer, [{"name": "clock", "description": "tells the time of day anywhere"}]),
        chat(None, LONG, answer, [{"name": "stocks", "description": "says what a share costs right now"}]),
        chat(polite.replace(",", ";"), f"{LONG} today", answer),
        chat("answer like a pirate", LONG, f"{answer} or so"),
    ]
    table = sample_table(**{name: column([one[name] for one in chats]) for name in ("input", "expected", "messages")})
    assert twins_among(table) == {5: 0, 6: 1}
    assert [len(text) > 1000 for text in whole_texts(table).to_pylist()] == [True] * 7


def test_the_choice_of_which_twin_stays() -> None:
    rows = [(LONG, "yes"), (f"{LONG} then", "yes"), (f"{LONG}", "yes")]
    assert twins_of(rows) == {1: 0, 2: 0}
    assert twins_of(rows, "last") == {0: 2, 1: 2}
    assert twins_of(rows, "longest") == {0: 1, 2: 1}


@settings(deadline=None, max_examples=50)
@given(
    edges=st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda edge: edge[0] < edge[1])),
    order=st.permutations(range(12)),
)
def test_every_dropped_row_has_a_kept_twin_and_no_two_twins_are_kept(
    edges: set[tuple[int, int]], order: list[int]
) -> None:
    left, right = (np.array([edge[side] for edge in sorted(edges)], np.int64) for side in (0, 1))
    rank = np.array(order)
    dropped = near_twins(SimilarPairs(left, right, np.ones(len(edges), np.float32)), rank)
    gone = set(dropped.rows.tolist())
    assert not any(one not in gone and other not in gone for one, other in edges)
    for row, kept in zip(dropped.rows.tolist(), dropped.kept.tolist(), strict=True):
        assert kept not in gone
        assert (min(row, kept), max(row, kept)) in edges
        assert rank[kept] < rank[row]


def test_no_texts_and_empty_texts() -> None:
    assert found_among(["", "", "a b c d"]) == {}
    empty = band_keys(pa.chunked_array([], pa.string()), DuplicateConfig())
    assert empty.shape == (0, BANDS)
    assert len(similar_pairs(empty, lambda rows: pa.chunked_array([], pa.string()), DuplicateConfig())) == 0
