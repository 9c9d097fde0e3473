"""What must survive a change of wording: placeholders, numbers, names, and whether it is negated.

All patterns scan a text in linear time, also one of a megabyte without a blank.
"""

import re
from collections import Counter

from llmops.data.augmentation.english_words import NEGATIONS, NUMBERS

PLACEHOLDER = re.compile(
    r"""
    \bhttps?://[^\s<>"']*[^\s<>"'.,;:!?)\]] | \bwww\.[^\s<>"']*[^\s<>"'.,;:!?)\]]   # addresses
  | (?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)+                                     # e-mail
  | \{\{[^{}]*\}\} | \$?\{[^{}]*\}                                                  # {{x}} {x} ${x}
  | %\(\w+\)[a-z] | %[sdifr](?!\w)                                                  # %(x)s %s
  | </?[A-Za-z][^<>]*>                                                              # <tag>
  | \[[A-Z][A-Z0-9_\ -]*\]                                                          # [SLOT]
  | \$[A-Za-z_]\w*+                                                                 # $VAR
    """,
    re.VERBOSE,
)
NUMBER = re.compile(r"[-+]?[$€£¥]?\d++(?:[.,:/]\d++)*+\w*+%?")
WORD = re.compile(r"[^\W\d_]++(?:['’][^\W\d_]++)*+")

_TOKEN = re.compile(
    rf"(?P<placeholder>{PLACEHOLDER.pattern})|(?P<number>{NUMBER.pattern})|(?P<word>{WORD.pattern})", re.X
)
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
_SENTENCE_ENDS = frozenset('.!?:;\n"“”([{*•')
_BAG = re.compile(r"[^\W_]++")


def tokens(text: str) -> list[tuple[str, re.Match[str]]]:
    """The placeholders, numbers and words of a text in their order, each with its kind."""
    return [(match.lastgroup or "", match) for match in _TOKEN.finditer(text)]


def bag_of_words(text: str) -> list[str]:
    """Words and digits in small letters, without what joins them.

    >>> bag_of_words("Card_arrival: 2 days?")
    ['card', 'arrival', '2', 'days']
    """
    return _BAG.findall(text.casefold())


def placeholders(text: str) -> Counter[str]:
    """Placeholders, tags, addresses and e-mail addresses, as written.

    >>> sorted(placeholders("Hi {name}, <b>pay</b> to a.b@c.org or see https://x.io/y."))
    ['</b>', '<b>', 'a.b@c.org', 'https://x.io/y', '{name}']
    """
    return Counter(match[0] for match in PLACEHOLDER.finditer(text))


def numbers(text: str) -> Counter[str]:
    """Numbers outside placeholders, with their currency or per cent sign; in words they count as digits.

    >>> sorted(numbers("two cards, $1,000.50 and 5%, half of it {1}"))
    ['$1000.50', '2', '5%', 'half']
    """
    found: Counter[str] = Counter()
    for kind, match in tokens(text):
        if kind == "number":
            found[_THOUSANDS.sub("", match[0])] += 1
        elif kind == "word" and match[0].casefold() in NUMBERS:
            found[NUMBERS[match[0].casefold()]] += 1
    return found


def names(text: str) -> set[str]:
    """Words with a capital letter that no beginning of a sentence explains.

    >>> sorted(names("Did Ann's bank, BNP, call? Then use my iPhone. I'm in Rome."))
    ['Ann', 'BNP', 'Rome', 'iPhone']
    """
    found = set()
    for kind, match in tokens(text):
        if kind != "word":
            continue
        word = own_form(match[0])
        if any(letter.isupper() for letter in word[1:]) or (
            word[0].isupper() and word != "I" and not starts_sentence(text, match.start())
        ):
            found.add(word)
    return found


def word_counts(text: str) -> Counter[str]:
    """How often each word occurs, as written, with possessives under their owner."""
    return Counter(own_form(match[0]) for kind, match in tokens(text) if kind == "word")


def own_form(word: str) -> str:
    """A word without its possessive or contracted ending: "Ann's" is "Ann", "I'm" is "I"."""
    return word.replace("’", "'").partition("'")[0]


def starts_sentence(text: str, position: int) -> bool:
    """Whether a word at this position begins the text, a sentence, a line or a quotation."""
    before = text[max(0, position - 40) : position].rstrip(" \t-–—")
    return not before or before[-1] in _SENTENCE_ENDS


def is_negated(text: str) -> bool:
    """Whether the text says no anywhere.

    >>> is_negated("It hasn't arrived"), is_negated("It has arrived")
    (True, False)
    """
    words = (match[0].casefold() for match in WORD.finditer(text))
    return any(word in NEGATIONS or word.endswith(("n't", "n’t")) for word in words)
