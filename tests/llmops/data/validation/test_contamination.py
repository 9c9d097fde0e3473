import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.samples import sample_table
from llmops.data.validation.contamination import contamination_hits, reference_index
from llmops.data.validation.word_ngrams import ngrams_of, words_of

Pair = tuple[str, str]

SYNONYMS = """
    buys:purchases bought:purchased buy:purchase has:owns had:owned makes:produces made:produced gave:handed
    gives:hands each:every every:each total:sum needs:requires need:require sells:markets sold:marketed
    spends:expends spent:expended get:receive gets:receives got:received cost:price money:cash children:kids
    kids:children big:large small:little first:initial then:afterwards also:additionally friends:pals friend:pal
    house:home home:house works:labours store:shop shop:store takes:requires if:supposing but:yet while:whereas
    more:additional left:remaining starts:begins started:began trip:journey walk:stroll eats:consumes ate:consumed
    finish:complete class:group whole:entire some:several picks:collects picked:collected
"""
MEANING_THE_SAME = dict(pair.split(":") for pair in SYNONYMS.split())
NAMES = ["Olga", "Ravi", "Mireille", "Tomasz", "Ingrid", "Kwame", "Yuki", "Beatriz", "Farid", "Solveig", "Aroha", "Dai"]
NO_NAMES = """
    I Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August
    September October November December English Spanish French American Christmas Easter
"""


def table_of(pairs: list[Pair]) -> pa.Table:
    columns = [pa.chunked_array([list(texts)], pa.string()) for texts in zip(*pairs, strict=True)]
    return sample_table(input=columns[0], expected=columns[1])


def reworded(pair: Pair, rng: random.Random) -> Pair:
    """Other names, other numbers, a synonym for about half of the words that have one, two clauses changed round."""
    names = dict.fromkeys(re.findall(r"(?<=[a-z,0-9] )[A-Z][a-z]+\b", pair[0]))
    subjects = r"(?:^|[.?!]\s+)([A-Z][a-z]+)(?=['’]s\b| has\b| had\b| is\b| was\b| wants\b| needs\b| buys\b| and [A-Z])"
    starts = [
        name for name in re.findall(subjects, pair[0]) if name not in ("He", "She", "It", "They", "There", "This")
    ]
    known = [name for name in [*names, *starts] if name not in NO_NAMES.split()]
    renamed = {name: NAMES[number % len(NAMES)] for number, name in enumerate(dict.fromkeys(known))}
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        value = int(found[0].replace(",", ""))
        return numbers.setdefault(found[0], str(max(2, round(value * rng.uniform(0.6, 1.7)) + 1)))

    def word(found: re.Match[str]) -> str:
        return MEANING_THE_SAME[found[0]] if found[0] in MEANING_THE_SAME and rng.random() < 0.5 else found[0]

    texts = []
    for text in pair:
        text = re.sub(r"\b[A-Z][a-z]+\b", lambda found: renamed.get(found[0], found[0]), text)
        text = re.sub(r"\d+(?:,\d{3})*", number, text)
        texts.append(re.sub(r"\b[a-z]+\b", word, text))
    sentences = re.split(r"(?<=[.?!])\s+", texts[0])
    if len(sentences) > 2:
        place = rng.randrange(len(sentences) - 2)
        sentences[place], sentences[place + 1] = sentences[place + 1], sentences[place]
    elif ", " in texts[0]:
        before, after = texts[0][:-1].split(", ", 1)
        sentences = [after[0].upper() + after[1:] + ", " + before[0].lower() + before[1:] + texts[0][-1]]
    return " ".join(sentences), texts[1]


def gsm8k(real_data: Callable[[str], Path], split: str) -> list[Pair]:
    table = pq.read_table(real_data(f"gsm8k_{split}.parquet"))
    return list(zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_test_rows_are_found_among_training_rows(real_data: Callable[[str], Path], seed: int) -> None:
    rng = random.Random(seed)
    train, test = gsm8k(real_data, "train"), gsm8k(real_data, "test")
    chosen = rng.sample(range(len(test)), 50)
    planted = [test[row] if number % 2 else reworded(test[row], rng) for number, row in enumerate(chosen)]
    mixed = [*((pair, None) for pair in train), *zip(planted, chosen, strict=True)]
    rng.shuffle(mixed)

    index = reference_index({"gsm8k_test": table_of(test)})
    [hits] = contamination_hits(table_of([pair for pair, _ in mixed]), index)
    found = dict(zip(hits.rows.tolist(), hits.messages, strict=True))
    named = [
        origin
        for row, (_, origin) in enumerate(mixed)
        if origin is not None and f" row {origin + 1} of gsm8k_test " in found.get(row, "")
    ]
    assert len(named) >= 48
    assert sum(mixed[row][1] is None for row in found) <= 5


QUESTION = (
    "A carpenter builds nine oak shelves for the library in Ghent, and every shelf needs eleven brass screws, two "
    "brackets and a coat of varnish that dries overnight before the books may return."
)


def test_a_copy_is_found_in_any_spelling_and_as_a_part() -> None:
    reference = table_of([("What is the capital of Peru?", "Lima"), (QUESTION, "ninety-nine screws")])
    index = reference_index({"library": reference})
    other = "The tide was out, gulls stood along the harbour wall, and nobody had thought of closing the little kiosk."
    rows = table_of(
        [
            (other, "It stayed open until the lamps were lit along the quay and the last ferry had gone."),
            (QUESTION.upper().replace(",", ""), "99"),
            (
                QUESTION,
                "An answer in quite different words, and a long one at that, with reasons that nobody asked for. " * 3,
            ),
            (f"{other} {QUESTION} {other} {other}", "Yes"),
            ("what is  the capital of Peru?", "I do not know"),
            ("What is the capital of Peru?  ", "Lima"),
        ]
    )
    [hits] = contamination_hits(rows, index)
    assert hits.rows.tolist() == [1, 2, 3, 5]
    assert all("row 2 of library" in message for message in hits.messages[:3])
    assert hits.messages[3].startswith("100% overlap with row 1 of library")
    assert reference["id"][0].as_py() in hits.messages[3]


LAYERS = " ".join(f"sand{letter} over silt{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
PASSAGE = f"The harbour of Ostend was dug by hand, {LAYERS}"


def asked(rows: list[tuple[str, str, str | None]], messages: str | None = None) -> pa.Table:
    columns = [pa.chunked_array([list(texts)], pa.string()) for texts in zip(*rows, strict=True)]
    named = dict(zip(("input", "expected", "context"), columns, strict=True))
    return sample_table(**named, messages=pa.chunked_array([[messages] * len(rows)], pa.string()))


def test_an_instruction_over_other_contexts_is_another_question() -> None:
    other = PASSAGE.replace("sand", "loam").replace("silt", "gravel").replace("Ostend", "Antwerp by night")
    index = reference_index({"reviews": asked([(QUESTION, "yes", PASSAGE), ("Who dug it?", "men", PASSAGE)])})
    rows = [(QUESTION, "yes", other), ("Who dug it?", "men", other), ("Who dug it?", "men", None)]
    assert not contamination_hits(asked(rows), index)


def test_another_question_about_a_passage_is_another_row() -> None:
    index = reference_index({"reading": asked([("Who dug the harbour of the town?", "men", PASSAGE)])})
    rows = [
        ("When was it finished at last?", "men", PASSAGE),
        ("Who dug the harbour of the town?", "men", PASSAGE),
        ("Who dug the  harbour of the old town", "some men", PASSAGE.replace(",", ";")),
        ("Who dug the harbour of the town?", "other men", PASSAGE),
    ]
    [hits] = contamination_hits(asked(rows), index)
    assert hits.rows.tolist() == [1, 2, 3]
    assert [message.startswith("100% overlap with row 1") for message in hits.messages] == [True, False, True]


def test_short_questions_are_the_same_under_the_same_system_prompt_only() -> None:
    index = reference_index({"chats": asked([("Peru?", "Lima", None)], SYSTEM)})
    assert not contamination_hits(asked([("Peru?", "Lima", None)]), index)
    [hits] = contamination_hits(asked([("Peru?", "It is Lima", None)], SYSTEM), index)
    assert hits.messages[0].startswith("100% overlap")


SYSTEM = '{"messages":[{"role":"system","content":"Name the capital."}]}'


def test_the_overlap_is_the_share_of_ngrams() -> None:
    # 30 different words, of which the row has the first 24: 23 of 29 pairs and 22 of 28 triples, 45 of 57 in all.
    words = [
        f"{first}{second}" for first in ("ba", "ce", "di", "fo", "gu") for second in ("k", "l", "m", "n", "p", "r")
    ]
    other = [f"{word}x" for word in words[24:]]
    index = reference_index({"words": table_of([(" ".join(words), "?")])})
    [hits] = contamination_hits(table_of([(" ".join([*words[:24], *other]), "!")]), index)
    assert hits.messages[0].startswith(f"{45 / 57:.0%} overlap")
    half = table_of([(" ".join([*words[:15], *(f"{word}y" for word in words[15:])]), "!")])
    assert not contamination_hits(half, index)


def test_batches_and_two_references_do_not_change_what_is_found() -> None:
    index = reference_index({"empty": table_of([("a", "b")]), "library": table_of([("short", "x"), (QUESTION, "99")])})
    rows = table_of([(f"Nothing to see in number {number} here", "ok") for number in range(5_000)] + [(QUESTION, "")])
    [hits] = contamination_hits(rows, index)
    assert hits.rows.tolist() == [5_000] and "row 2 of library" in hits.messages[0]
    assert not contamination_hits(rows.slice(0, 100), index)
    assert not contamination_hits(rows.slice(0, 0), index)


def test_case_punctuation_numbers_and_scripts() -> None:
    def hashes(text: str) -> list[int]:
        found: list[int] = words_of(pa.array([text])).hashes.tolist()
        return found

    assert hashes("He paid $1,250.50, twice!") == hashes("he paid 7 twice")
    assert hashes("Janet’s “fresh” eggs") == hashes("janet's fresh eggs")
    assert hashes("ÉTÉ à Zürich") == hashes("été à zürich")
    assert len(hashes("我的卡在哪里")) == 6
    assert len(set(hashes("internationalisation internationalisations internationalization"))) == 3
    assert hashes("") == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=6))
def test_rows_do_not_depend_on_their_neighbours(texts: list[str]) -> None:
    together = words_of(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        alone = words_of(pa.array([text], pa.string()))
        assert together.hashes[together.rows == row].tolist() == alone.hashes.tolist()
    grams = ngrams_of(together)
    pairs = list(zip(grams.rows.tolist(), grams.hashes.tolist(), strict=True))
    distinct = grams.distinct()
    assert list(zip(distinct.rows.tolist(), distinct.hashes.tolist(), strict=True)) == sorted(set(pairs))
    assert np.all(np.diff(distinct.rows) >= 0)
