"""A person's own thesaurus: a YAML mapping, or a CSV or TSV file with a word and its synonyms a line."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from llmops.data.augmentation.dictionary import Entry
from llmops.errors import InputError


@dataclass(frozen=True)
class Thesaurus:
    """Synonyms by word in small letters; every form of a word stands on its own."""

    synonyms: Mapping[str, tuple[str, ...]]

    def entry(self, word: str, before: str, after: str) -> Entry | None:
        """The word's synonyms, in capitals or with a capital where the word has them.

        >>> Thesaurus({"card": ("bank card",)}).entry("Card", "", "").synonyms
        {'bank card': 'Bank card'}
        """
        found = self.synonyms.get(word.lower())
        if found is None:
            return None
        return Entry(word.lower(), {synonym: _in_case_of(word, synonym) for synonym in found})


def _in_case_of(word: str, synonym: str) -> str:
    if len(word) > 1 and word.isupper():
        return synonym.upper()
    return synonym[0].upper() + synonym[1:] if word[0].isupper() else synonym


def read_thesaurus(path: Path) -> Thesaurus:
    """Read ``word: [synonym, …]`` from .yaml or .yml, or ``word,synonym,…`` from .csv or .tsv (no header).

    Raises:
        InputError: no such file, another suffix, text that is not UTF-8, or a line that is not of this form, which
            is named.
    """
    rows = {".yaml": _yaml_rows, ".yml": _yaml_rows, ".csv": _delimited_rows, ".tsv": _delimited_rows}
    if path.suffix.lower() not in rows:
        raise InputError(f"the thesaurus {path} is not .yaml, .yml, .csv or .tsv; write it as one of these")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"the thesaurus {path} cannot be read ({error.strerror}); correct its path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the thesaurus {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    synonyms: dict[str, tuple[str, ...]] = {}
    for line, word, others in rows[path.suffix.lower()](path, text):
        key = word.strip().lower()
        if not key or key.split() != [key]:
            raise InputError(f"{path}:{line}: {word!r} is not one word; start the line with a single word")
        cleaned = (other.strip() for other in others)
        kept = tuple(dict.fromkeys(other for other in cleaned if other and other.lower() != key))
        if not kept:
            raise InputError(f"{path}:{line}: {word!r} has no synonym besides itself; add one or remove the line")
        if key in synonyms:
            raise InputError(f"{path}:{line}: {word!r} stands in an earlier line too; put its synonyms into one line")
        synonyms[key] = kept
    if not synonyms:
        raise InputError(f"the thesaurus {path} is empty; add lines such as word,synonym")
    return Thesaurus(synonyms)


def _delimited_rows(path: Path, text: str) -> Iterator[tuple[int, str, list[str]]]:
    reader = csv.reader(text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    try:
        for row in reader:
            if row and not row[0].lstrip().startswith("#"):
                yield reader.line_num, row[0], row[1:]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}; correct the line") from error


def _yaml_rows(path: Path, text: str) -> Iterator[tuple[int, str, list[str]]]:
    # The nodes, not the values: they know their lines, keep both of two equal keys, and leave `no` a word.
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: {error.problem}; correct the line") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}; correct the file") from error
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}:{root.start_mark.line + 1}: not a mapping; write lines such as word: [synonym]")
    for key, value in root.value:
        line = key.start_mark.line + 1
        values = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not all(isinstance(node, yaml.ScalarNode) for node in [key, *values]):
            raise InputError(f"{path}:{line}: not a word with a list of words; write word: [synonym, synonym]")
        yield line, key.value, [node.value for node in values]
