"""WordNet's files and the synonyms drawn from them; skipped where WordNet is not installed."""

from pathlib import Path

import pytest

from llmops.data.augmentation.dictionary import Entry
from llmops.data.augmentation.wordnet import WordNet
from llmops.data.augmentation.wordnet_files import SYSTEM_FOLDER, build_wordnet, find_wordnet, wordnet_reader
from llmops.errors import InputError


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    if not (SYSTEM_FOLDER / "index.sense").is_file():
        pytest.skip(f"{SYSTEM_FOLDER} is not there; apt-get install wordnet-base wordnet-sense-index")
    return WordNet(wordnet_reader(build_wordnet(SYSTEM_FOLDER, tmp_path_factory.mktemp("home"))))


def _synonyms(found: Entry | None) -> set[str]:
    return set(found.synonyms.values()) if found else set()


@pytest.mark.parametrize(
    ("before", "word", "synonyms"),
    [
        ("to", "buy", {"purchase"}),
        ("he", "bought", {"purchased"}),
        ("is", "purchasing", set()),
        ("i", "purchasing", {"buying"}),
        ("to", "choose", {"select"}),
        ("she", "chose", {"selected"}),
        ("the", "cars", {"automobiles"}),
        ("the", "children", {"kids"}),
        ("the", "kids", {"children"}),
        ("it", "happens", {"occurs"}),
        ("it", "happened", {"occurred"}),
    ],
)
def test_inflected_synonyms(wordnet: WordNet, before: str, word: str, synonyms: set[str]) -> None:
    assert _synonyms(wordnet.entry(word, before, "")) == synonyms


@pytest.mark.parametrize("word", ["Buy", "BUY", "b2b", "achète", "", "a_b"])
def test_what_is_no_plain_word_stays(wordnet: WordNet, word: str) -> None:
    assert wordnet.entry(word, "", "") is None


def test_neighbours_decide(wordnet: WordNet) -> None:
    assert _synonyms(wordnet.entry("help", "you", "me")) == {"aid", "assist"}
    assert wordnet.entry("help", "your", "") is None
    assert wordnet.entry("choose", "to", "from") is None
    assert _synonyms(wordnet.entry("car", "the", "")) == {"automobile"}
    assert wordnet.entry("car", "cable", "") is None
    assert wordnet.entry("car", "the", "rental") is None


def test_folder_is_built_once_and_complete(tmp_path: Path, wordnet: WordNet) -> None:
    data = build_wordnet(SYSTEM_FOLDER, tmp_path)
    files = data / "corpora" / "wordnet"
    lines = [line.split("\t") for line in (files / "lexnames").read_text().splitlines()]
    assert [int(number) for number, _, _ in lines] == list(range(45))
    assert lines[0] == ["00", "adj.all", "3"] and lines[44] == ["44", "adj.ppl", "3"] and lines[28][1] == "noun.time"
    before = files.stat().st_mtime_ns
    assert find_wordnet(SYSTEM_FOLDER, tmp_path) == data
    assert files.stat().st_mtime_ns == before
    assert [path.name for path in data.parent.iterdir()] == [data.name]
    assert find_wordnet(data, tmp_path) == data


def test_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk.data

    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(InputError, match="apt-get install wordnet-base wordnet-sense-index, or python -m nltk"):
        find_wordnet(None, tmp_path, system=tmp_path / "none")
    with pytest.raises(InputError, match=r"neither corpora/wordnet nor data\.noun"):
        find_wordnet(tmp_path, tmp_path)
    (tmp_path / "data.noun").touch()
    with pytest.raises(InputError, match=r"lacks cntlist.rev, index.sense"):
        find_wordnet(tmp_path, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_nltk_data_comes_before_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk.data

    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / "wordnet.zip").touch()
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert find_wordnet(None, tmp_path / "home") is None
