"""Whole batches: provenance, what is left alone, and the same result however the samples are cut."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.data.augmentation import (
    AugmentationConfig,
    Augmenter,
    InsertionConfig,
    ParaphraseConfig,
    SynonymConfig,
)
from llmops.data.augmentation.protected_text import numbers, placeholders
from llmops.data.samples import SAMPLE_SCHEMA, normalised, sample_table
from llmops.errors import InputError

WORDS = ["I", "bought", "two", "big", "cars", "5", "{x}", "in", "Rome", "<b>", "card", "quick", "it", "can", "you", "."]


def _text(values: Sequence[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)], pa.string())


@pytest.fixture(scope="module")
def thesaurus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("thesaurus") / "words.csv"
    path.write_text("big,large,huge\ncard,bank card\nquick,fast,rapid\nbought,purchased\n")
    return path


@pytest.fixture(scope="module")
def config(thesaurus: Path) -> AugmentationConfig:
    return AugmentationConfig(
        synonyms=SynonymConfig(share=0.8, copies=2, thesaurus=thesaurus), insertion=InsertionConfig(share=0.5)
    )


def _samples(rows: Sequence[tuple[str, str]]) -> pa.Table:
    return sample_table(
        input=_text([source for source, _ in rows]),
        expected=_text([expected for _, expected in rows]),
        context=_text(["some context" if index % 2 else None for index in range(len(rows))]),
        metadata={"origin": _text([f"row {index}" if index % 3 else None for index in range(len(rows))])},
        group=_text([f"group {index % 2}" for index in range(len(rows))]),
    )


def test_a_new_sample_is_its_source_but_for_the_input(thesaurus: Path) -> None:
    table = _samples([("a quick card", "fast"), ("a big card", "card")])
    config = AugmentationConfig(synonyms=SynonymConfig(share=1, thesaurus=thesaurus, words=0.1))
    table = table.append_column("line", pa.array([1, 2]))
    result = Augmenter(config).augment(table)
    assert result.table.schema.equals(SAMPLE_SCHEMA)
    assert (result.made, result.rejected) == ({"synonyms": 2}, {})
    [first, second], [_, source] = result.table.to_pylist(), table.to_pylist()
    assert first["input"] in ("a fast card", "a rapid card", "a quick bank card")
    assert second["input"] in ("a large card", "a huge card")
    for column in ("expected", "context", "group"):
        assert second[column] == source[column]
    assert second["split"] == "train" and second["quality"] is None and second["messages"] is None
    assert dict(second["metadata"]) == {
        "origin": "row 1",
        "augmented_from": source["id"],
        "augmentation": "synonyms",
    }
    assert len({first["id"], second["id"], *table["id"].to_pylist()}) == 4


ROWS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=10).map(" ".join), st.sampled_from(["car", "big", "it"])
    ),
    max_size=12,
    unique=True,
)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, size=st.integers(1, 5))
def test_same_result_in_any_batches_and_order(
    config: AugmentationConfig, rows: list[tuple[str, str]], size: int
) -> None:
    table = _samples(rows)
    augmenter = Augmenter(config)
    whole = augmenter.augment(table)
    parts = [augmenter.augment(table.slice(start, size)) for start in range(0, len(table), size)]
    assert [row for part in parts for row in part.table.to_pylist()] == whole.table.to_pylist()
    turned = augmenter.augment(table.take(pa.array(range(len(table) - 1, -1, -1), pa.int64())))
    assert sorted(turned.table["id"].to_pylist()) == sorted(whole.table["id"].to_pylist())
    for counts in ("made", "rejected"):
        summed: dict[str, int] = {}
        for part in parts:
            for name, count in getattr(part, counts).items():
                summed[name] = summed.get(name, 0) + count
        assert summed == getattr(whole, counts)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS)
def test_what_every_new_sample_keeps(config: AugmentationConfig, rows: list[tuple[str, str]]) -> None:
    table = _samples(rows)
    known = set(normalised(table["input"]).to_pylist())
    result = Augmenter(config).augment(table, known)
    sources = {row["id"]: row for row in table.to_pylist()}
    for row in result.table.to_pylist():
        source = sources[dict(row["metadata"])["augmented_from"]]
        assert row["input"] not in known
        assert numbers(row["input"]) == numbers(source["input"])
        assert placeholders(row["input"]) == placeholders(source["input"])
        assert row["input"].count("Rome") == source["input"].count("Rome")
        assert (row["expected"], row["group"], row["split"]) == (source["expected"], source["group"], "train")
    assert sum(result.made.values()) == len(result.table)


def test_known_inputs_are_rejected(thesaurus: Path) -> None:
    table = _samples([("I bought it", "x"), ("I bought 5", "y")])
    config = AugmentationConfig(synonyms=SynonymConfig(share=1, thesaurus=thesaurus))

    def known(texts: pa.ChunkedArray) -> np.ndarray:
        return np.array([text == "I purchased 5" for text in texts.to_pylist()])

    for answer in (known, {"I purchased 5"}):
        result = Augmenter(config).augment(table, answer)
        assert result.table["input"].to_pylist() == ["I purchased it"]
        assert result.rejected == {"already in the dataset": 1}


def test_equal_copies_of_one_sample_count_once(thesaurus: Path) -> None:
    config = AugmentationConfig(synonyms=SynonymConfig(share=1, copies=3, thesaurus=thesaurus))
    result = Augmenter(config).augment(_samples([("I bought it", "x"), ("nothing", "y")]))
    assert (result.made, result.rejected) == ({"synonyms": 1}, {"nothing to change": 3, "repeat": 2})


def test_what_is_left_alone(thesaurus: Path, config: AugmentationConfig) -> None:
    rows = [("I bought it", str(number)) for number in range(4)]
    table = _samples(rows).set_column(7, SAMPLE_SCHEMA.field("split"), pa.array(["train", "test", "validation", None]))
    everything = AugmentationConfig(synonyms=SynonymConfig(share=1, thesaurus=thesaurus))
    first = Augmenter(everything).augment(table)
    assert first.table["expected"].to_pylist() == ["0", "3"]
    again = Augmenter(everything).augment(first.table)
    assert (again.made, again.rejected) == ({}, {"augmented before": 2})
    conversations = table.set_column(4, SAMPLE_SCHEMA.field("messages"), pa.array(['{"messages":[]}'] * 4))
    talked = Augmenter(everything).augment(conversations)
    assert (talked.made, talked.rejected) == ({}, {"conversation": 2})


def test_off_and_empty(config: AugmentationConfig) -> None:
    for table, chosen in ((_samples([("I bought it", "x")]), AugmentationConfig()), (_samples([]), config)):
        result = Augmenter(chosen).augment(table)
        assert result.table.schema.equals(SAMPLE_SCHEMA) and len(result.table) == 0
        assert (result.made, result.rejected) == ({}, {})


def test_share_and_seed(thesaurus: Path) -> None:
    table = _samples([(f"I bought {number}", "x") for number in range(2000)])

    def chosen(share: float, seed: int) -> set[str]:
        synonyms = SynonymConfig(share=share, thesaurus=thesaurus)
        return set(
            Augmenter(AugmentationConfig(synonyms=synonyms, seed=seed)).augment(table).table["input"].to_pylist()
        )

    # Binomial(2000, 0.3): five standard deviations are 102.
    assert abs(len(chosen(0.3, 0)) - 600) < 102
    assert chosen(0.3, 0) <= chosen(0.6, 0)
    assert chosen(0.3, 0) != chosen(0.3, 1)


def test_paraphrase_by_a_given_model(samples: Callable[..., pa.Table]) -> None:
    class Shouting:
        def generate(self, inputs: Sequence[str], /, max_new_tokens: int) -> list[str]:
            answers = {"1": "What is 1 and more?", "2": "What is 3 and more?"}
            return [answers[prompt[-2]] for prompt in inputs]

    config = AugmentationConfig(paraphrase=ParaphraseConfig(share=1, model="local/x", prompts=("{text}",)))
    table = samples([("What is 1?", "a"), ("What is 2?", "b")])
    result = Augmenter(config, {"local/x": Shouting()}).augment(table)
    assert result.table["input"].to_pylist() == ["What is 1 and more?"]
    assert (result.made, result.rejected) == ({"paraphrase": 1}, {"numbers changed": 1})
    with pytest.raises(InputError, match=r"'local/x', which was not given \(given: other\)"):
        Augmenter(config, {"other": Shouting()}).augment(table)
