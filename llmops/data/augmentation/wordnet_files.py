"""Find WordNet's dictionary files, or build the folder that NLTK reads from those of a Debian package."""

# ruff: noqa: SIM905 (lists of names read best as lines of names)

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

from llmops.digests import content_digest
from llmops.errors import InputError

SYSTEM_FOLDER = Path("/usr/share/wordnet")
"""Where Debian's wordnet-base and wordnet-sense-index put their files."""

_COPIED = (
    "cntlist.rev index.sense index.adj index.adv index.noun index.verb data.adj data.adv data.noun data.verb "
    "adj.exc adv.exc noun.exc verb.exc"
).split()
# Names and order of the lexicographer files: manual page lexnames(5WN) of WordNet 3.0.
_LEXICOGRAPHER_FILES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object "
    "noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape "
    "noun.state noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession "
    "verb.social verb.stative verb.weather adj.ppl"
).split()
_PARTS_OF_SPEECH = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def find_wordnet(folder: Path | None, home: Path, system: Path = SYSTEM_FOLDER) -> Path | None:
    """The folder of NLTK data that holds WordNet, or None where NLTK finds it by itself.

    Looked for in this order: the given folder (of NLTK data, or of dictionary files), where NLTK looks, and the
    system's dictionary files. Dictionary files are first made into a folder of NLTK data in the home.

    Raises:
        InputError: it is in none of these places.
    """
    if folder is not None:
        if _holds_corpus(folder):
            return folder
        if not (folder / "data.noun").is_file():
            raise InputError(
                f"{folder} holds no WordNet: neither corpora/wordnet nor data.noun is there; "
                "name a folder of NLTK data or of WordNet's dictionary files"
            )
        return build_wordnet(folder, home)
    if _known_to_nltk():
        return None
    if (system / "data.noun").is_file():
        return build_wordnet(system, home)
    raise InputError(
        "WordNet is not on this machine; apt-get install wordnet-base wordnet-sense-index, or "
        "python -m nltk.downloader wordnet, or name a file of your own as synonyms.thesaurus"
    )


def build_wordnet(source: Path, home: Path) -> Path:
    """Copy WordNet's dictionary files into a folder of NLTK data in the home, once, and return that.

    Copies, because NLTK refuses links; with `lexnames`, because Debian ships that as a manual page only.

    Raises:
        InputError: a dictionary file is missing.
    """
    data = home / "wordnet" / content_digest(str(source.resolve()))[:12]
    if _holds_corpus(data):
        return data
    missing = [name for name in _COPIED if not (source / name).is_file()]
    if missing:
        raise InputError(
            f"{source} lacks {', '.join(missing)}; apt-get install wordnet-base wordnet-sense-index, or name a "
            "complete folder"
        )
    data.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.parent, prefix=".building-") as beside:
        files = Path(beside) / "data" / "corpora" / "wordnet"
        files.mkdir(parents=True)
        for name in _COPIED:
            shutil.copyfile(source / name, files / name)
        (files / "lexnames").write_text(_lexnames(), encoding="ascii")
        try:
            (Path(beside) / "data").replace(data)
        except OSError:
            # Another process was quicker; what it built is the same.
            if not _holds_corpus(data):
                raise
    return data


def _lexnames() -> str:
    lines = (
        f"{number:02d}\t{name}\t{_PARTS_OF_SPEECH[name.split('.')[0]]}\n"
        for number, name in enumerate(_LEXICOGRAPHER_FILES)
    )
    return "".join(lines)


def wordnet_reader(data: Path | None) -> Any:
    """NLTK's reader of the WordNet in a folder of NLTK data (None: where NLTK looks).

    It takes three seconds and 300 MB, and is not made for several threads at once.
    """
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    if data is not None and str(data) not in nltk.data.path:
        # NLTK opens no file outside the folders of this list.
        nltk.data.path.append(str(data))
    paths = None if data is None else [str(data)]
    try:
        root = nltk.data.find("corpora/wordnet", paths)
    except LookupError:
        root = nltk.data.find("corpora/wordnet.zip/wordnet/", paths)
    with warnings.catch_warnings():
        # It tells that there are no other languages.
        warnings.simplefilter("ignore")
        return WordNetCorpusReader(root, None)


def _holds_corpus(data: Path) -> bool:
    corpora = data / "corpora"
    return (corpora / "wordnet" / "lexnames").is_file() or (corpora / "wordnet.zip").is_file()


def _known_to_nltk() -> bool:
    import nltk.data

    return any(_holds_corpus(Path(folder)) for folder in nltk.data.path)
