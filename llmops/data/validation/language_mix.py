"""Rows in another language than the dataset's: by script, and among Latin scripts by their commonest words."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Hits
from llmops.data.validation.scanned_text import matching

_WORDS = {
    "en": "the and of that this with what which when where how why are you your my his her he she they their from "
    "has is it its not no can could would should many much more each for to do does did was were will be been "
    "had have by on in at as an a or if i i'm i've don't can't there so per me we our all one than then but "
    "get got just want need",
    "de": "der die das und ist nicht ich du wir ihr ein eine einen einem einer für mit auf den dem zu von wie warum "
    "wo kann mein meine meinen sich auch wird habe hat sind bei nach oder aber wenn dass wurde werden noch im",
    "fr": "le la les des une est et que qui dans pour pas vous nous je il elle ce cette sur avec mon ma mes votre "
    "quel quelle comment pourquoi où sont ont du au aux été mais si combien ne j'ai n'est c'est d'un d'une "
    "qu'il",
    "es": "el los las una es que en por para con mi su está qué cómo cuándo dónde cuánto cuántos cuántas puedo "
    "tengo pero como del se lo más este esta son fue sus mis le la",
    "it": "il lo gli una è che di con non mio mia sono della del dei nel nella come perché dove quando quanto la le "
    "quanti quante posso ho anche questo questa ma si più alla",
    "pt": "os uma é que em para com não meu minha está você como quando onde quanto quantos posso tenho mas da dos "
    "das na ao se mais este esta são foi há",
    "nl": "de het een en van niet ik je jij wij mijn met voor op aan te dat dit wat hoe waarom waar wanneer heeft "
    "zijn ook maar bij naar hoeveel deze wordt",
    "sv": "och att det är som på ett jag inte för med av till har kan mitt hur vad varför när eller mina",
    "da": "og det er som på et jeg ikke med af til har kan mit hvordan hvad hvorfor når hvor eller mine",
    "pl": "nie się jest że jak dlaczego gdzie kiedy czy mój moja moją ile jestem są był dla przez mam można oraz który",
}
_SCRIPTS = {
    "Cyrillic script": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Arabic script": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari script": r"\p{Devanagari}",
    "Bengali": r"\p{Bengali}",
    "Tamil": r"\p{Tamil}",
    "Thai": r"\p{Thai}",
    "Korean": r"\p{Hangul}",
    "Japanese": r"[\p{Hiragana}\p{Katakana}]",
    "Chinese": r"\p{Han}",
}
LANGUAGES = ("", *_WORDS, *_SCRIPTS)
"""By code: 0 is for rows whose language cannot be told."""

_NAMES = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese",
    "nl": "Dutch", "sv": "Swedish", "da": "Danish", "pl": "Polish",
}  # fmt: skip
# English words that no other of the languages has: two of them, and a row is English without counting further.
_ENGLISH = (
    "the and that this with what which when where how why are you your my they their from would should could many"
)
_READ = 300  # characters
_MAIN = 0.9
_LEAST_ROWS = 50


def languages(texts: pa.ChunkedArray) -> np.ndarray:
    """The language of each text as its place in `LANGUAGES`, uint8, judged by the first 300 characters.

    A text is in a script's language where that has more letters than the Latin script, else in the language of
    which it holds most of the commonest words, two at least and twice as many as English ones.

    >>> texts = pa.chunked_array([["Where is my card?", "Wo ist meine Karte?", "Где моя карта?", "MasterCard"]])
    >>> [LANGUAGES[code] for code in languages(texts)]
    ['en', 'de', 'Cyrillic script', '']
    """
    texts = pc.utf8_slice_codeunits(pc.fill_null(texts, ""), 0, _READ)
    codes = np.zeros(len(texts), np.uint8)
    words = "|".join(_ENGLISH.split())
    codes[matching(texts, rf"(?is)\b(?:{words})\b.*\b(?:{words})\b")] = LANGUAGES.index("en")
    foreign = matching(texts, r"[^\x00-\x{24f}\x{2000}-\x{2fff}]")
    if len(foreign):
        found = _by_script(texts.take(pa.array(foreign)))
        codes[foreign[found > 0]] = found[found > 0]
    unknown = np.flatnonzero(codes == 0)
    if len(unknown):
        codes[unknown] = _by_words(texts.take(pa.array(unknown)))
    return codes


def _by_script(texts: pa.ChunkedArray) -> np.ndarray:
    latin = pc.count_substring_regex(texts, r"\p{Latin}").to_numpy()
    counts = np.column_stack([pc.count_substring_regex(texts, pattern).to_numpy() for pattern in _SCRIPTS.values()])
    # Japanese is written with Chinese characters too.
    names = list(_SCRIPTS)
    kana, han = names.index("Japanese"), names.index("Chinese")
    counts[:, kana] = np.where(counts[:, kana] > 0, counts[:, kana] + counts[:, han], 0)
    best = counts.argmax(axis=1)
    enough = counts[np.arange(len(best)), best] > latin
    return np.where(enough, best + 1 + len(_WORDS), 0).astype(np.uint8)


def _by_words(texts: pa.ChunkedArray) -> np.ndarray:
    lowered = pc.binary_join_element_wise(" ", pc.utf8_lower(texts), " ", "")
    # One sign for all that is no letter, so that a word lies between two of them.
    spaced = pc.replace_substring_regex(lowered, r"[^\pL'-]+", "  ")
    columns = [
        pc.count_substring_regex(spaced, f" (?:{'|'.join(words.split())}) ").to_numpy() for words in _WORDS.values()
    ]
    counts = np.column_stack(columns)
    best = counts.argmax(axis=1)
    most = counts[np.arange(len(best)), best]
    sure = (most >= 2) & ((best == 0) | (most >= 2 * counts[:, 0]))
    return np.where(sure, best + 1, 0).astype(np.uint8)


def main_language(codes: np.ndarray) -> int:
    """The code of the language that 90 % of the rows have whose language can be told, or 0."""
    known = np.bincount(codes[codes > 0], minlength=len(LANGUAGES)) if len(codes) else np.zeros(1)
    total = known.sum()
    return int(known.argmax()) if total >= _LEAST_ROWS and known.max() >= _MAIN * total else 0


def language_mix_hits(column: str, codes: np.ndarray) -> list[Hits]:
    """`language-mix` of one column, given the language of each text of the dataset."""
    main = main_language(codes)
    rows = np.flatnonzero((codes > 0) & (codes != main)) if main else np.zeros(0, np.int64)
    if not len(rows):
        return []
    usual = _name(main)
    messages = [
        f"{column} looks like {_name(code)} where nearly all rows are in {usual}; translate or drop it, if not meant"
        for code in codes[rows].tolist()
    ]
    return [Hits("language-mix", rows, messages)]


def _name(code: int) -> str:
    return _NAMES.get(LANGUAGES[code], LANGUAGES[code])
