"""Regular forms, against the exceptions and rules that WordNet's own morphology knows."""

import pytest

from llmops.data.augmentation.inflection import inflected


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("walk", "walks walked walking"),
        ("use", "uses used using"),
        ("carry", "carries carried carrying"),
        ("play", "plays played playing"),
        ("fetch", "fetches fetched fetching"),
        ("agree", "agrees agreed agreeing"),
        ("dye", "dyes dyed dyeing"),
        ("die", "dies died dying"),
        ("fix", "fixes fixed fixing"),
    ],
)
def test_forms(word: str, forms: str) -> None:
    assert [inflected(word, ending) for ending in ("s", "ed", "ing")] == forms.split()
    assert inflected(word, "") == word
