"""The corpus of the tiny base: reproducible, truthful about its own messages, and free of the sample data."""

import json
import random
import re
from itertools import islice
from pathlib import Path

import pytest

from llmops.finetuning.tiny_corpus import DETAIL_NAMES, documents, make_message

SAMPLE = Path(__file__).parents[3] / "datasets" / "support_tickets.jsonl"


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    """As much as the released recipe reads, and more."""
    return [f"{document.user} {document.assistant}" for document in islice(documents(0), 20_000)]


@pytest.fixture(scope="module")
def sample() -> list[dict[str, str]]:
    return [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", text.lower())


def runs_of(text: str, length: int) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def test_the_same_seed_gives_the_same_documents() -> None:
    assert list(islice(documents(7), 50)) == list(islice(documents(7), 50))
    assert list(islice(documents(7), 50)) != list(islice(documents(8), 50))


def test_details_stand_in_the_message_they_are_said_to_be_of() -> None:
    chance = random.Random(3)
    for _ in range(500):
        message = make_message(chance)
        assert "{" not in message.text
        for kind, value in message.details.items():
            if value is not None and kind not in ("subject", "hurry"):
                assert value in message.text


def test_no_sample_input_and_no_run_of_eight_of_its_words_is_in_the_corpus(
    corpus: list[str], sample: list[dict[str, str]]
) -> None:
    in_sample = set().union(*(runs_of(row["input"], 8) for row in sample))
    in_corpus = set().union(*(runs_of(text, 8) for text in corpus))
    assert not in_sample & in_corpus


def test_the_ticket_form_and_its_labels_are_not_in_the_corpus(corpus: list[str], sample: list[dict[str, str]]) -> None:
    ticket_fields = {field.split(":")[0] for row in sample for field in row["expected"].split(" | ")}
    assert ticket_fields == {"priority", "order", "product"}
    assert not ticket_fields & {name for names, _ in DETAIL_NAMES.values() for name in names}
    assert not any(" | " in text for text in corpus)
    assert not any("priority:" in text for text in corpus)


def test_the_articles_of_the_sample_have_been_met(corpus: list[str], sample: list[dict[str, str]]) -> None:
    """LoRA leaves the embeddings as they are: what is to be written must be known."""
    met = " ".join(corpus)
    assert all(f" {row['expected'].split('product: ')[1]}" in met for row in sample)
