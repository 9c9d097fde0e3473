"""METEOR against NLTK's documented values; skipped where WordNet is not on the machine."""

import numpy as np
import pytest

from llmops.data.augmentation.wordnet_files import SYSTEM_FOLDER
from llmops.errors import InputError
from llmops.evaluation import measure
from llmops.evaluation.metrics import meteor

HYPOTHESES = [
    "It is a guide to action which ensures that the military always obeys the commands of the party",
    "It is to insure the troops forever hearing the activity guidebook that party direct",
]
REFERENCES = [
    "It is a guide to action that ensures that the military will forever heed Party commands",
    "It is the guiding principle which guarantees the military forces always being under the command of the Party",
    "It is the practical guide for the army always to heed the directions of the party",
]


@pytest.fixture
def wordnet() -> None:
    if not (SYSTEM_FOLDER / "data.noun").is_file():
        pytest.skip(f"{SYSTEM_FOLDER} is not there; apt-get install wordnet-base wordnet-sense-index")


def test_the_documented_values_of_nltk(wordnet: None) -> None:
    outputs = [HYPOTHESES[0], HYPOTHESES[0], "non matching hypothesis", "", "the same text again", "good day"]
    references = [
        REFERENCES[:1],
        REFERENCES,
        ["this is a cat"],
        ["a cat"],
        ["the same text again"],
        ["bad", "good day"],
    ]
    found = measure(outputs, references, names=["meteor"])["meteor"].per_sample()
    # Documentation of nltk.translate.meteor_score: 0.6944, 0.6944, 0.0.
    assert np.round(found[:3], 4).tolist() == [0.6944, 0.6944, 0.0]
    # Lavie and Agarwal 2007: one chunk of four matches is a penalty of (1/4)^3 / 2; of two, (1/2)^3 / 2.
    assert found[3:] == pytest.approx([0.0, 1 - 0.5 / 4**3, 1 - 0.5 / 2**3])


def test_synonyms_and_stems_count_as_matches(wordnet: None) -> None:
    found = measure(["car", "walking", "car"], [["auto"], ["walks"], ["banana"]], names=["meteor"])
    # One word matched in one chunk: the penalty is one half.
    assert found["meteor"].per_sample() == pytest.approx([0.5, 0.5, 0.0])


def test_without_wordnet_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise InputError(f"not in {SYSTEM_FOLDER}")

    meteor._synonyms.cache_clear()
    monkeypatch.setattr("llmops.data.augmentation.wordnet_files.find_wordnet", nowhere)
    with pytest.raises(InputError, match=r"meteor needs WordNet.*apt-get install wordnet-base wordnet-sense-index"):
        measure(["a"], [["a"]], names=["meteor"])
