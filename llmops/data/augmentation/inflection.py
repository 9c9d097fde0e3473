"""Regular inflection of English: what an ending does to a word's spelling."""

_SIBILANTS = ("s", "x", "z", "ch", "sh")
_VOWELS = "aeiou"


def inflected(word: str, ending: str) -> str:
    """A regular noun or verb with the ending "s", "ed" or "ing" ("" leaves it as it is).

    Doubled consonants ("stopped") are irregular here: WordNet lists those as exceptions.

    >>> [inflected("supply", ending) for ending in ("s", "ed", "ing")]
    ['supplies', 'supplied', 'supplying']
    >>> [inflected("purchase", ending) for ending in ("s", "ed", "ing")]
    ['purchases', 'purchased', 'purchasing']
    >>> inflected("box", "s"), inflected("free", "ing"), inflected("tie", "ing")
    ('boxes', 'freeing', 'tying')
    """
    consonant_y = word.endswith("y") and word[-2:-1] not in _VOWELS
    if ending == "s":
        if consonant_y:
            return word[:-1] + "ies"
        return word + ("es" if word.endswith(_SIBILANTS) else "s")
    if ending == "ed":
        if consonant_y:
            return word[:-1] + "ied"
        return word + ("d" if word.endswith("e") else "ed")
    if ending == "ing":
        if word.endswith("ie"):
            return word[:-2] + "ying"
        silent_e = word.endswith("e") and not word.endswith(("ee", "ye", "oe"))
        return (word[:-1] if silent_e else word) + "ing"
    return word
